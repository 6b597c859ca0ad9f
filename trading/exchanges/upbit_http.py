"""One request to Upbit: counted, bounded, its answer read strictly, its failures in our few classes.

No pyupbit here: whoever only reads prices need not load it. Signed calls come through `upbit_signing`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import quote

from dgbot.core.errors import ExchangeError, ExchangeUnavailable, OutcomeUnknown
from trading.exchanges import strict_json, upbit_errors
from trading.exchanges.bounded_http import BoundedHttp, HttpAnswer, NoAnswer, NothingSent
from trading.exchanges.budget import Budget, Unlimited
from trading.exchanges.upbit_errors import BANNED, TOO_MANY, Refusal

BASE_URL = "https://api.upbit.com"
LARGEST_READ = 4 * 2**20  # a thousand closed orders are about 600 KiB
LARGEST_WRITE = 256 * 2**10
REMAINING = "remaining-req"

Parameters = Mapping[str, str | list[str]]


@dataclass(frozen=True)
class Call:
    """What is asked, and what its failure means. group: of the rate limits."""

    method: str
    path: str
    group: str
    is_write: bool = False
    is_order: bool = False  # placing, cancelling, looking up: kept ahead of other reads

    @property
    def name(self) -> str:
        """For messages: no query, so no ids and never a secret."""
        return f"{self.method} {self.path}"


class Refused(Exception):
    """An answer of 4xx or 5xx, for the adapter to judge."""

    def __init__(self, call: Call, refusal: Refusal, *, retry_after: str | None) -> None:
        super().__init__(f"{call.name}: {refusal.status} {refusal.name}")
        self.call, self.refusal, self.retry_after = call, refusal, retry_after

    def as_error(self) -> ExchangeError:
        """One of our classes."""
        if self.call.is_write:
            return upbit_errors.of_write(self.refusal, what=self.call.name)
        return upbit_errors.of_read(self.refusal, what=self.call.name, retry_after=self.retry_after)


@dataclass(frozen=True)
class Told:
    """A success. remaining_req is parseable even when the exchange sent none; date: the `Date` header."""

    body: object
    remaining_req: str
    date: str | None


@dataclass
class UpbitHttp:
    """Sends calls to one base URL. Safe to share between threads."""

    base_url: str = BASE_URL
    http: BoundedHttp = field(default_factory=BoundedHttp)
    budget: Budget = field(default_factory=Unlimited)

    def send(
        self, call: Call, *, parameters: Parameters | None = None, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Told:
        """One request, never repeated.

        Raises Refused for a refusal, ExchangeUnavailable when certainly nothing was sent or a read has no answer,
        RateLimited when the budget or a ban forbids sending, OutcomeUnknown for a write whose answer says nothing.
        """
        self.budget.acquire(call.group, is_order=call.is_order)
        url = f"{self.base_url}{call.path}{wire_query(parameters or {})}"
        try:
            answer = self.http.send(
                call.method, url, headers=headers or {}, body=body, largest_answer=LARGEST_WRITE if call.is_write else LARGEST_READ
            )
        except NothingSent as error:
            raise ExchangeUnavailable(f"{call.name} was not sent: {error}") from error
        except NoAnswer as error:
            raise _silence(call, str(error)) from error
        self._learn(call, answer)
        if not 200 <= answer.status < 300:
            raise Refused(call, upbit_errors.refusal_of(answer.status, answer.body), retry_after=answer.headers.get("retry-after"))
        try:
            told = strict_json.loads(answer.body)
        except strict_json.Unreadable as error:
            raise _silence(call, str(error)) from error
        return Told(told, remaining_req=_remaining(call, answer.headers.get(REMAINING, "")), date=answer.headers.get("date"))

    def public(self, path: str, *, group: str, parameters: Parameters) -> Told:
        """A question anybody may ask. Raises ExchangeUnavailable and its kin."""
        try:
            return self.send(Call("GET", path, group), parameters=parameters, headers={"Accept": "application/json"})
        except Refused as refused:
            raise refused.as_error() from refused

    def _learn(self, call: Call, answer: HttpAnswer) -> None:
        left = _left(answer.headers.get(REMAINING, ""))
        if left is not None:
            self.budget.learned(call.group, remaining=left)
        if answer.status in (TOO_MANY, BANNED):
            refusal = upbit_errors.refusal_of(answer.status, answer.body)
            seconds = upbit_errors.pause_s(refusal, retry_after=answer.headers.get("retry-after"))
            self.budget.banned(seconds=seconds, group=call.group if answer.status == TOO_MANY else None)


def wire_query(parameters: Parameters) -> str:
    """The query with its question mark, percent-encoded; empty without parameters."""
    encoded = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs(parameters))
    return f"?{encoded}" if encoded else ""


def pairs(parameters: Parameters) -> list[tuple[str, str]]:
    """Names and values in the order sent; a list repeats its name."""
    return [(name, one) for name, value in parameters.items() for one in (value if isinstance(value, list) else [value])]


def _silence(call: Call, why: str) -> ExchangeError:
    if call.is_write:
        return OutcomeUnknown(f"{call.name} may or may not have happened: {why}; ask by its identifier")
    return ExchangeUnavailable(f"{call.name} got no usable answer: {why}")


def _left(header: str) -> float | None:
    """The `sec` of `group=order; min=480; sec=7`; `min` is a relic."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == "sec" and value.isdigit() and len(value) < 6:
            return float(Decimal(value))
    return None


def _remaining(call: Call, header: str) -> str:
    """A header pyupbit can parse: without one it would throw a successful answer away."""
    left = _left(header)
    return f"group={call.group}; min=0; sec={0 if left is None else int(left)}"
