"""What can go wrong at an edge, each class saying what to do next."""


class DgbotError(Exception):
    """A refusal with one clear sentence: the fact, the value, the limit and the remedy."""


class BadInput(DgbotError):
    """A file, form, setting or answer that cannot be used. Nothing was changed."""


class SecondFactorMissing(BadInput):
    """What was asked for needs a second factor that has just been proven: prove it, then ask again. Nothing was changed."""


class VenueUnavailable(DgbotError):
    """This mode cannot trade here. The sentence says why and what would change it."""


class BooksDisagree(DgbotError):
    """A stored figure does not follow from the append-only rows: something wrote past the rules; look before trading on."""


class ExchangeError(DgbotError):
    """Base of everything an exchange adapter raises."""


class ExchangeUnavailable(ExchangeError):
    """No answer to a read, or certainly no byte of a write was sent: wait and try again."""


class ExchangeMaintenance(ExchangeUnavailable):
    """The exchange says it is closed for now: wait; verdicts drawn from silence are void."""


class RateLimited(ExchangeUnavailable):
    """Too many requests: wait `retry_after_s`, then try again."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(ExchangeError):
    """A write may or may not have happened: never repeat it, ask by client id."""


class ClientIdKnown(OutcomeUnknown):
    """The exchange has had this client id before: an earlier request was recorded, whatever came of it. Ask by client id."""


class ExchangeRejected(ExchangeError):
    """The exchange certainly refused this order: give it up. `code` is the exchange's word."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class CredentialsRefused(ExchangeError):
    """The key is wrong, expired or lacks a right: stop the account."""
