"""What Upbit's refusals mean: certainly not placed, a key that is not taken, or unknown. Only status and `error.name` count.

What is not listed here never counts as a refusal of a write. Source: docs.upbit.com (errors), the order path §2.4 and
docs/decisions/0018-what-counts-as-refused-at-upbit.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dgbot.core.errors import (
    ClientIdKnown,
    CredentialsRefused,
    ExchangeError,
    ExchangeMaintenance,
    ExchangeRejected,
    ExchangeUnavailable,
    OutcomeUnknown,
    RateLimited,
)
from trading.exchanges import strict_json

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 400, 401, 403, 404
BANNED, TOO_MANY, SERVER_ERROR, UNAVAILABLE = 418, 429, 500, 503
UNTOLD_BAN_S = 60.0  # a block's length grows and is told in a body nobody documented
LONGEST_BAN_S = 86_400.0

ORDER_NOT_FOUND = "order_not_found"
MARKET_OFFLINE = "market_offline"
REFUSED = frozenset(
    [
        *(
            f"{name}_{side}"
            for name in ("insufficient_funds", "under_min_total", "over_krw_funds", "invalid_price")
            for side in ("bid", "ask")
        ),
        "create_bid_error",
        "create_ask_error",
        "validation_error",
        "invalid_parameter",
        "invaild_parameter",  # sic, in the documentation
        "invalid_time_in_force",
        "invalid_post_only",
        "notfoundmarket",
        "QUERY_PARAMETER_NOT_SUPPORTED",
        "thirdparty_agreement_required",
        MARKET_OFFLINE,
    ]
)
# The identifier has been used: an earlier request was recorded, which proves nothing more. As third parties report the name.
DUPLICATE_ID = frozenset({"duplicated_identifier"})
# Refused before the order was looked at. `nonce_used` is not among them: the first copy may have been accepted.
KEY_REFUSED = frozenset(
    [
        "jwt_verification",
        "invalid_query_payload",
        "expired_access_key",
        "invalid_access_key",
        "no_authorization_ip",
        "no_authorization_i_p",  # as recorded by one source, and as pyupbit spells it
        "no_authorization_token",
        "out_of_scope",
    ]
)


@dataclass(frozen=True)
class Refusal:
    """An answer that is not a success. name: Upbit's `error.name`, empty where the body is no such form."""

    status: int
    name: str = ""
    message: str = ""


def refusal_of(status: int, body: bytes) -> Refusal:
    """Read an error body, whatever it is: JSON of either kind, plain text, a proxy's page."""
    try:
        told = strict_json.mapping(strict_json.loads(body), name="error body").get("error")
    except strict_json.Unreadable:
        return Refusal(status, message=_clean(body.decode("utf-8", errors="replace")))
    if not isinstance(told, Mapping):
        return Refusal(status)
    return Refusal(status, name=_clean(str(told.get("name", ""))), message=_clean(str(told.get("message", ""))))


def of_read(refusal: Refusal, *, what: str, retry_after: str | None = None) -> ExchangeError:
    """The error of a question that was refused."""
    told = _told(refusal, what)
    if refusal.status in (TOO_MANY, BANNED):
        seconds = pause_s(refusal, retry_after=retry_after)
        return RateLimited(f"{told}; nothing is sent for {seconds:g} s", retry_after_s=seconds)
    if refusal.name == MARKET_OFFLINE or refusal.status == UNAVAILABLE:
        return ExchangeMaintenance(f"{told}; Upbit or this market is closed for now")
    if refusal.name in KEY_REFUSED and refusal.status in (UNAUTHORIZED, FORBIDDEN):
        return CredentialsRefused(f"{told}; check the key, its rights, its IP list and its expiry")
    return ExchangeUnavailable(told)


def of_write(refusal: Refusal, *, what: str) -> ExchangeError:
    """The error of an order or a cancel that was refused; unlisted means unknown."""
    told = _told(refusal, what)
    if refusal.name in DUPLICATE_ID:
        return ClientIdKnown(f"{told}; what became of the earlier request must be asked by its identifier")
    if refusal.name in KEY_REFUSED and refusal.status in (UNAUTHORIZED, FORBIDDEN):
        return CredentialsRefused(f"{told}; it was certainly not accepted: check the key, its rights, its IP list and its expiry")
    if refusal.name in REFUSED and refusal.status in (BAD_REQUEST, FORBIDDEN):
        return ExchangeRejected(f"{told}; it was certainly not accepted", code=refusal.name)
    return OutcomeUnknown(f"{told}; whether it was accepted must be asked by its identifier")


def pause_s(refusal: Refusal, *, retry_after: str | None) -> float:
    """Seconds to send nothing after 429 (until the next whole second) or 418 (as told, else a minute)."""
    if retry_after is not None and retry_after.strip().isdigit():
        return min(float(retry_after), LONGEST_BAN_S)
    if refusal.status == TOO_MANY:
        return 1.0
    told = [float(word) for word in refusal.message.replace(".", " ").split() if word.isdigit() and len(word) < 6]
    return min(max(told), LONGEST_BAN_S) if told and math.isfinite(max(told)) else UNTOLD_BAN_S


def _told(refusal: Refusal, what: str) -> str:
    word = f"{refusal.name} ({refusal.message})" if refusal.name else refusal.message or "an answer that cannot be read"
    return f"Upbit answered {what} with HTTP {refusal.status}, {word}"


def _clean(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text[:200]).strip()
