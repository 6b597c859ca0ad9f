"""An opened key, on its short way from the vault to an adapter. Nothing that prints it shows it."""

from dataclasses import dataclass, field

HIDDEN = "••••"
SHOWN = 4  # characters of an access key, enough to tell two keys apart


@dataclass(frozen=True)
class ApiKey:
    """What an exchange gave its customer. passphrase: Bitget's third part, empty elsewhere."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    passphrase: str = field(default="", repr=False)

    def __str__(self) -> str:
        return masked(self.access_key)

    def __reduce__(self) -> str:
        raise TypeError("a key is never pickled")

    def scrubbed(self, text: str) -> str:
        """`text` without the parts of this key, should an exchange or a library have quoted them."""
        for part in (self.access_key, self.secret_key, self.passphrase):
            text = text.replace(part, HIDDEN) if part else text
        return text


def masked(access_key: str) -> str:
    """The last characters of an access key; of a short one none."""
    return HIDDEN + (access_key[-SHOWN:] if len(access_key) >= 4 * SHOWN else "")
