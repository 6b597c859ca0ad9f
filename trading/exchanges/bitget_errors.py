"""What Bitget's error codes mean for an order: certainly refused, certainly unknown, or a key that is not taken.

A code that is not listed here never counts as a refusal of a write: the order may exist. Reads fail softly instead.
Source: Bitget's documentation, the code table of ccxt 4.5.90, and the order path, section 2.4.
"""

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

SUCCESS = "00000"
RETRY_AFTER_S = 1.0  # limits are counted per second; Bitget confirms no header that says more

NOT_FOUND = frozenset({"40109", "40768", "43001", "43025", "25204"})
# The id has been used: that proves an earlier request was recorded, and nothing more.
DUPLICATE_ID = frozenset({"40786", "40708", "43118", "45034", "50060", "25212"})
CLOCK_IS_WRONG = frozenset({"40004", "40005", "40008"})
BUSY = frozenset({"429", "1001", "30014", "30026"})
CLOSED_FOR_NOW = frozenset({"40200", "40308", "41114", "43115"})
KEY_REFUSED = frozenset(
    {"40001", "40002", "40003", "40006", "40009", "40011", "40012", "40014", "40016", "40018", "40031", "40037", "40085", "40099"}
)
NO_SUCH_MARKET = frozenset({"40034", "40102", "40309"})
UNIFIED_ACCOUNT = "40085"
NO_POSITION = frozenset({"22002", "25227"})
MODE_IS_HELD = frozenset({"45117"})  # margin or position mode cannot change while a position or an order exists
# "Certainly not accepted": balance, size, price, mode and parameter rules, checked before anything is recorded.
REFUSED = (
    frozenset({"40762", "43012", "40711", "40712", "25202", "25203"})  # money
    | frozenset({"45110", "40108", "40706", "40808", "40917", "41103", "43011", "45122", "40774"})  # size, price, mode
    | frozenset(
        {"40007", "40017", "400172", "40019", "40020", "40034", "40102", "40103", "40302", "40304", "40305", "40404", "40500"}
    )  # form
    | frozenset({"40309"})  # the contract has been removed
    | NO_POSITION
    | MODE_IS_HELD
)
SERVER_ERROR, TOO_MANY, UNAVAILABLE = 500, 429, 503


def of_read(*, what: str, status: int, code: str, message: str) -> ExchangeError:
    """The error of a question that was answered with `code` (empty: the answer was not Bitget's form)."""
    told = _told(what, status=status, code=code, message=message)
    if code in BUSY or status == TOO_MANY:
        return RateLimited(f"{told}; wait {RETRY_AFTER_S:g} s", retry_after_s=RETRY_AFTER_S)
    if code in CLOSED_FOR_NOW or status == UNAVAILABLE:
        return ExchangeMaintenance(f"{told}; Bitget is closed for now")
    if code in KEY_REFUSED:
        return CredentialsRefused(f"{told}; {_remedy(code)}")
    return ExchangeUnavailable(told)


def of_write(*, what: str, status: int, code: str, message: str) -> ExchangeError:
    """The error of an order or setting that was answered with `code`; unlisted means unknown."""
    told = _told(what, status=status, code=code, message=message)
    if not code or status >= SERVER_ERROR or status == TOO_MANY or code in BUSY:
        return OutcomeUnknown(f"{told}; whether it was accepted must be asked by its client id")
    if code in DUPLICATE_ID:
        return ClientIdKnown(f"{told}; what became of the earlier request must be asked by its client id")
    if code in KEY_REFUSED:
        return CredentialsRefused(f"{told}; it was certainly not accepted; {_remedy(code)}")
    if code in REFUSED or code in CLOCK_IS_WRONG or code in NOT_FOUND:
        return ExchangeRejected(f"{told}; it was certainly not accepted", code=code)
    return OutcomeUnknown(f"{told}; whether it was accepted must be asked by its client id")


def _remedy(code: str) -> str:
    if code == UNIFIED_ACCOUNT:
        return "this version trades Classic accounts only: use one, or switch this one back at Bitget"
    return "check the key, its passphrase, its rights and its IP list"


def _told(what: str, *, status: int, code: str, message: str) -> str:
    word = f"code {code} ({message[:200]})" if code else message[:200] or "an answer that cannot be read"
    return f"Bitget answered {what} with HTTP {status}, {word}"
