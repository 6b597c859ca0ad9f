"""What an exchange's answer to a write proves. What is not certainly a refusal, and not certainly unsent, proves nothing."""

from dataclasses import dataclass

from dgbot.core.errors import ClientIdKnown, CredentialsRefused, ExchangeRejected, ExchangeUnavailable
from trading.domain.order_path.values import Waits


@dataclass(frozen=True, slots=True)
class NotSent:
    """Zero bytes left."""

    why: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Certainly not accepted."""

    code: str
    why: str
    is_key_refused: bool = False  # the exchange does not know us: the whole account is concerned


@dataclass(frozen=True, slots=True)
class Unclear:
    """The exchange may have it. is_duplicate: it has seen this client id before, so an earlier request was recorded."""

    why: str
    is_duplicate: bool = False


Verdict = NotSent | Rejected | Unclear


def verdict_on(error: Exception, *, took_s: float, waits: Waits) -> Verdict:
    """What an exception raised by `place` or `cancel` proves.

    took_s: from the call to the answer. A refusal that comes after the time-out may be that of a copy which something on the way
    has made – its signature too old, the money spent by the first – and proves nothing of the first.
    """
    if took_s > waits.submit_timeout_s and not isinstance(error, ExchangeUnavailable):
        return Unclear(f"refused after {took_s:.0f} s: {error}")
    if isinstance(error, ExchangeUnavailable):
        return NotSent(str(error))
    if isinstance(error, ExchangeRejected):
        return Rejected(error.code, str(error))
    if isinstance(error, CredentialsRefused):
        return Rejected("credentials_refused", str(error), is_key_refused=True)
    return Unclear(f"{type(error).__name__}: {error}", is_duplicate=isinstance(error, ClientIdKnown))
