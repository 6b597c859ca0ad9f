"""The one place that speaks to Bitget: ccxt signs, a budget paces, one bounded request leaves, a checked answer comes back.

ccxt's unified methods are not used: they speak in floats, round in silence, and hide what Bitget answered. Its signing,
endpoint table and demo header are. See docs/decisions/0019-bitget-through-ccxt.md.
"""

import importlib
import importlib.util
import logging
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from dgbot.core.errors import CredentialsRefused, ExchangeUnavailable, OutcomeUnknown
from trading.exchanges import bitget_errors as errors
from trading.exchanges import strict_json
from trading.exchanges.bounded_http import BoundedHttp, HttpAnswer, NoAnswer, NothingSent
from trading.exchanges.budget import BITGET_LIMITS, Budget, LocalBudget
from trading.exchanges.keys import ApiKey

log = logging.getLogger(__name__)

DEMO_HEADER = "PAPTRADING"
TIME_PATH = "/api/v2/public/time"  # the one question that ccxt asks without the demo header
# ccxt signs requests with its own broker id, for which it may be paid; ours are nobody's.
NO_BROKER = ""
LARGEST_ANSWER = 4 * 1024 * 1024  # the list of all contracts has about half a megabyte
LARGEST_WRITE_ANSWER = 256 * 1024
CLOCK_GOOD_FOR_S = 600.0
WRITE_WITHIN_S = 3.0  # the permit of an exit


@dataclass(frozen=True)
class Endpoint:
    """One of ccxt's endpoints by its name there, with the rate limit that counts it. is_order: goes ahead of plain reads."""

    name: str
    group: str
    is_order: bool = False

    @property
    def is_private(self) -> bool:
        """Whether it is signed."""
        return self.name.startswith("private_")

    @property
    def words(self) -> str:
        """The path for messages: `mix/order/detail`."""
        return self.name.partition("_v2_")[2].replace("_", "/")


TIME = Endpoint("public_common_get_v2_public_time", "public")


@dataclass(frozen=True)
class Answer:
    """The `data` of a successful answer and the exchange's clock when it was given, ms since 1970."""

    data: Any
    server_ms: int


@dataclass
class BitgetClient:
    """Signed and public requests of one account. Safe to share between threads: ccxt's state is kept under a lock."""

    base_url: str
    key: ApiKey | None = None
    is_demo: bool = False
    http: BoundedHttp = field(default_factory=BoundedHttp)
    budget: Budget = field(default_factory=lambda: LocalBudget(BITGET_LIMITS, share=1.0))
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _clock_known_until: float = 0.0

    def __post_init__(self) -> None:
        self._ccxt = _signer()(
            {
                "apiKey": self.key.access_key if self.key else None,
                "secret": self.key.secret_key if self.key else None,
                "password": self.key.passphrase if self.key else None,
                "enableRateLimit": False,  # the budget paces: ccxt would sleep before every order, and knows of no other process
                # Unset, ccxt would ask for the account's kind by itself and take any failure for an answer.
                "options": {"uta": False, "defaultType": "swap", "sandboxMode": self.is_demo, "broker": NO_BROKER},
            }
        )
        urls = self._ccxt.urls["api"]
        self._ccxt.urls["api"] = {name: self.base_url if isinstance(url, str) else url for name, url in urls.items()}

    def __repr__(self) -> str:
        return f"BitgetClient({self.base_url}, {'demo' if self.is_demo else 'real'}, {'with' if self.key else 'without'} key)"

    def read(self, endpoint: Endpoint, **params: str) -> Answer:
        """Ask a question, signed where the endpoint needs it. Raises ExchangeUnavailable and its kin, CredentialsRefused."""
        if not endpoint.is_private:
            return self._read(endpoint, params)
        self._need_key(endpoint.words)
        self._keep_clock()
        try:
            return self._read(endpoint, params)
        except ClockRefused:
            self.forget_clock()
            raise

    def write(self, endpoint: Endpoint, what: str, params: Mapping[str, object], *, within_s: float = WRITE_WITHIN_S) -> Answer:
        """Send one order or setting, once.

        what: words for messages, with the client id where there is one. within_s: waiting for a turn, measuring the clock
        and connecting may take so long; after that nothing is sent any more.
        Raises ExchangeRejected or CredentialsRefused when it was certainly not accepted, ExchangeUnavailable when
        certainly no byte of it left, OutcomeUnknown for all else.
        """
        not_after = time.monotonic() + within_s
        self._need_key(endpoint.words)
        if not self._clock_known_until:
            self._keep_clock()  # the first signature of this process, or the last one was refused for its time
        try:
            answer = self._exchange(endpoint, params, not_after=not_after)
        except NothingSent as error:
            raise ExchangeUnavailable(f"{what} was not sent: {error}") from error
        except NoAnswer as error:
            raise OutcomeUnknown(f"{what}: {error}") from error
        status, code, message, body = self._opened(answer)
        if answer.status == 200 and code == errors.SUCCESS:
            return _told(body, what=what, error=OutcomeUnknown)
        if code in errors.CLOCK_IS_WRONG:
            self.forget_clock()
        self._keep_still(endpoint, status=status, code=code)
        raise errors.of_write(what=what, status=status, code=code, message=message)

    def server_ms(self) -> int:
        """The exchange's clock, ms since 1970."""
        answer = self._read(TIME, {})
        try:
            return int(answer.data["serverTime"])
        except (KeyError, TypeError, ValueError) as error:
            raise ExchangeUnavailable(f"Bitget told no time: {answer.data!r:.100}") from error

    def forget_clock(self) -> None:
        """Measure the clock again before the next signature."""
        self._clock_known_until = 0.0

    def measured_now_ms(self) -> int:
        """The exchange's clock without asking, unless it has not been measured for long. Raises ExchangeUnavailable."""
        self._keep_clock()
        return self.now_ms()

    def now_ms(self) -> int:
        """This machine's clock, corrected to the exchange's as last measured; uncorrected before that."""
        return time.time_ns() // 1_000_000 - int(self._ccxt.options.get("timeDifference") or 0)

    def login(self) -> dict[str, str]:
        """The argument of a websocket's login."""
        self._need_key("login")
        assert self.key is not None
        timestamp = str(self.now_ms() // 1000)
        text = f"{timestamp}GET/user/verify".encode()
        sign = self._ccxt.hmac(text, self.key.secret_key.encode(), _sha256(), "base64")
        return {"apiKey": self.key.access_key, "passphrase": self.key.passphrase, "timestamp": timestamp, "sign": sign}

    def _read(self, endpoint: Endpoint, params: Mapping[str, object]) -> Answer:
        what = endpoint.words
        try:
            answer = self._exchange(endpoint, params)
        except (NothingSent, NoAnswer) as error:
            raise ExchangeUnavailable(str(error)) from error
        status, code, message, body = self._opened(answer)
        if answer.status == 200 and code == errors.SUCCESS:
            return _told(body, what=what, error=ExchangeUnavailable)
        if code in errors.CLOCK_IS_WRONG:
            raise ClockRefused(f"Bitget refused the time of {what}, code {code}; the clock is measured again")
        if code in errors.NO_SUCH_MARKET and status < errors.SERVER_ERROR:
            raise NoSuchMarket(f"Bitget answered {what} with code {code} ({message[:200]})")
        if code in errors.NOT_FOUND and status < errors.SERVER_ERROR:
            raise NotFound(f"Bitget answered {what} with code {code} ({message[:200]})")
        self._keep_still(endpoint, status=status, code=code)
        raise errors.of_read(what=what, status=status, code=code, message=message)

    def _exchange(self, endpoint: Endpoint, params: Mapping[str, object], *, not_after: float | None = None) -> HttpAnswer:
        """Wait for a turn, sign, check the demo header and send."""
        self.budget.acquire(endpoint.group, is_order=endpoint.is_order)
        with self._lock:
            request = getattr(self._ccxt, endpoint.name)(dict(params))  # our `fetch` hands it back signed instead of sending it
        headers = {str(name): str(value) for name, value in (request["headers"] or {}).items() if value}
        self._check_demo(request["url"], headers)
        body = request["body"].encode() if request["body"] else None
        largest = LARGEST_WRITE_ANSWER if request["method"] == "POST" else LARGEST_ANSWER
        return self.http.send(request["method"], request["url"], headers=headers, body=body, largest_answer=largest, not_after=not_after)

    def _opened(self, answer: HttpAnswer) -> tuple[int, str, str, Mapping[str, Any]]:
        """Status, code, message and body of an answer; the code is empty when it is not in Bitget's form."""
        status, code, message, body = _opened(answer)
        return status, code, self.key.scrubbed(message) if self.key else message, body

    def _keep_still(self, endpoint: Endpoint, *, status: int, code: str) -> None:
        if status == errors.TOO_MANY or code in errors.BUSY:
            self.budget.banned(seconds=errors.RETRY_AFTER_S, group=endpoint.group)

    def _check_demo(self, url: str, headers: Mapping[str, str]) -> None:
        """Demo money and real money are one header apart, so every single request is checked."""
        if url.endswith(TIME_PATH):
            return
        has_header = headers.get(DEMO_HEADER) == "1"
        if has_header != self.is_demo:
            kind, state = ("demo", "lacks") if self.is_demo else ("real", "carries")
            raise CredentialsRefused(f"Request not sent: the account is {kind}, and the request {state} the header {DEMO_HEADER}.")

    def _need_key(self, what: str) -> None:
        if self.key is None:
            raise CredentialsRefused(f"Bitget's {what} needs a key, and this account has none.")

    def _keep_clock(self) -> None:
        if time.monotonic() < self._clock_known_until:
            return
        before = time.time_ns()
        server_ms = self.server_ms()
        after = time.time_ns()
        difference_ms = (before + after) // 2_000_000 - server_ms
        self._ccxt.options["timeDifference"] = difference_ms
        self._clock_known_until = time.monotonic() + CLOCK_GOOD_FOR_S


class ClockRefused(ExchangeUnavailable):
    """The signature's time was refused; the clock is measured before the next one."""


class NoSuchMarket(ExchangeUnavailable):
    """Bitget does not know a parameter's value, such as the symbol."""


class NotFound(ExchangeUnavailable):
    """Bitget says there is no such order. Whoever asked decides what that proves."""


def _opened(answer: HttpAnswer) -> tuple[int, str, str, Mapping[str, Any]]:
    try:
        body = strict_json.loads(answer.body)
    except ValueError as error:
        return answer.status, "", f"a body that is not Bitget's: {error}"[:200], {}
    if not isinstance(body, dict) or not isinstance(body.get("code"), str | int):
        return answer.status, "", "a body that is not Bitget's", {}
    return answer.status, str(body["code"]), str(body.get("msg") or ""), body


def _told(body: Mapping[str, Any], *, what: str, error: type[ExchangeUnavailable] | type[OutcomeUnknown]) -> Answer:
    try:
        return Answer(body["data"], int(body["requestTime"]))
    except (KeyError, TypeError, ValueError) as problem:
        raise error(f"Bitget answered {what} with success but without data and time") from problem


def _sha256() -> Any:
    import hashlib

    return hashlib.sha256


@lru_cache(maxsize=1)
def _signer() -> Any:
    """ccxt's Bitget class, made to hand out signed requests instead of sending them."""
    bitget = _ccxt_bitget()

    class Signer(bitget):  # type: ignore[valid-type, misc]
        """Signs; sends nothing itself."""

        def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> dict[str, Any]:
            return {"url": url, "method": method, "headers": headers, "body": body}

    return Signer


def _ccxt_bitget() -> Any:
    """The class `ccxt.bitget.bitget`, without the hundred other exchanges that `import ccxt` would load (2 s, 60 MB)."""
    if "ccxt" in sys.modules:
        return importlib.import_module("ccxt.bitget").bitget
    spec = importlib.util.find_spec("ccxt")
    if spec is None:
        raise ImportError("ccxt is not installed")
    package = importlib.util.module_from_spec(spec)  # found, not executed
    sys.modules["ccxt"] = package
    try:
        return importlib.import_module("ccxt.bitget").bitget
    finally:
        del sys.modules["ccxt"]  # whoever imports ccxt afterwards gets the whole of it
