"""The order id we choose: 31 characters, fixed for an order's life, enough to adopt the order after a restore.

mode (1) · deployment (3) · bot (6) · order (20, 100 random bits) · check (1), all in RFC 4648 base32.
"""

from dataclasses import dataclass

from dgbot.core.types import Mode

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
LENGTH = 31
ORDER_BITS = 100
PREFIX = {Mode.SIMULATED: "S", Mode.REPLAY: "R", Mode.PAPER: "P", Mode.LIVE: "L"}


@dataclass(frozen=True)
class ClientId:
    """What a client id tells."""

    mode: Mode
    deployment: str
    bot_id: int


def make(*, mode: Mode, deployment: str, bot_id: int, random_bits: int) -> str:
    """A client id. deployment: 3 base32 characters. random_bits: ORDER_BITS fresh random bits.

    Raises ValueError when a part does not fit.
    """
    if len(deployment) != 3 or any(character not in ALPHABET for character in deployment):
        raise ValueError(f"deployment must be 3 characters of {ALPHABET}, was {deployment!r}")
    body = PREFIX[mode] + deployment + _encode(bot_id, length=6) + _encode(random_bits, length=20)
    return body + _check(body)


def parse(text: str) -> ClientId | None:
    """What `text` tells, or None when it is not one of ours."""
    modes = {prefix: mode for mode, prefix in PREFIX.items()}
    if len(text) != LENGTH or any(character not in ALPHABET for character in text):
        return None
    if text[0] not in modes or _check(text[:-1]) != text[-1]:
        return None
    bot_id = 0
    for character in text[4:10]:
        bot_id = bot_id * 32 + ALPHABET.index(character)
    return ClientId(mode=modes[text[0]], deployment=text[1:4], bot_id=bot_id)


def _encode(number: int, *, length: int) -> str:
    if not 0 <= number < 32**length:
        raise ValueError(f"{number} does not fit {length} base32 characters")
    return "".join(ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))


def _check(body: str) -> str:
    # Odd weights are invertible modulo 32, so any single wrong character changes the sum.
    return ALPHABET[sum((2 * place + 1) * ALPHABET.index(character) for place, character in enumerate(body)) % 32]
