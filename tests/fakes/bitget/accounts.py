"""Who may ask: keys, signatures, clocks, rights and the demo header, checked as Bitget documents them."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from tests.fakes.bitget.errors import BitgetError
from tests.fakes.core.clock import FakeClock
from tests.fakes.core.server import Request

OLDEST_SIGNATURE_S = 30.0
PRIVATE_HEADERS = {"ACCESS-KEY": "40001", "ACCESS-SIGN": "40003", "ACCESS-TIMESTAMP": "40005", "ACCESS-PASSPHRASE": "40011"}


@dataclass
class FakeAccount:
    """One account with one key. rights: Bitget's four-letter words; ips: the list the key is tied to, empty for none."""

    name: str = "alice"
    key: str = "bg_0123456789abcdef"
    secret: str = "s3cret-of-alice"
    passphrase: str = "phrase of alice"
    is_demo: bool = False
    is_unified: bool = False
    rights: tuple[str, ...] = ("coor", "coow", "cpor", "cpow", "stor")
    ips: str = "203.0.113.7"
    allowed_peers: tuple[str, ...] | None = None  # None: from anywhere
    position_mode: str = "one_way_mode"
    margin_modes: dict[str, str] = field(default_factory=dict)
    leverages: dict[str, tuple[str, str]] = field(default_factory=dict)  # long, short
    crossed_leverages: dict[str, str] = field(default_factory=dict)

    def margin_mode(self, raw: str) -> str:
        """`crossed` until it was set, as at Bitget."""
        return self.margin_modes.get(raw, "crossed")

    def leverage(self, raw: str) -> str:
        """What a new position gets."""
        if self.margin_mode(raw) == "crossed":
            return self.crossed_leverages.get(raw, "10")
        return self.leverages.get(raw, ("10", "10"))[0]


def sign(secret: str, text: str) -> str:
    """Base64 of the HMAC-SHA256."""
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


def signed_text(request: Request) -> str:
    """What Bitget signs: time, method, path, the decoded query in the order of its keys, the raw body."""
    query = ""
    if request.method == "GET" and request.raw_query:
        pairs = parse_qsl(request.raw_query, keep_blank_values=True)
        if [name for name, _ in pairs] != sorted(name for name, _ in pairs):
            raise BitgetError("40009", "sign signature error: the query is not sorted")
        query = "?" + unquote(request.raw_query)
    return f"{request.headers['ACCESS-TIMESTAMP']}{request.method}{request.path}{query}{request.body.decode()}"


def authenticate(request: Request, accounts: dict[str, FakeAccount], clock: FakeClock) -> FakeAccount:
    """The account of a signed request. Raises BitgetError."""
    for name, code in PRIVATE_HEADERS.items():
        if not request.headers.get(name):
            raise BitgetError(code, f"{name} cannot be empty")
    account = accounts.get(request.headers["ACCESS-KEY"])
    if account is None:
        raise BitgetError("40037", "Apikey does not exist")
    check_time(request.headers["ACCESS-TIMESTAMP"], clock)
    if request.headers["ACCESS-PASSPHRASE"] != account.passphrase:
        raise BitgetError("40012", "apikey/password is incorrect")
    if not hmac.compare_digest(request.headers["ACCESS-SIGN"], sign(account.secret, signed_text(request))):
        raise BitgetError("40009", "sign signature error")
    if account.is_demo != (request.headers.get("PAPTRADING") == "1"):
        raise BitgetError("40099", "exchange environment is incorrect")
    if account.is_unified:
        raise BitgetError("40085", "You are in Unified Account mode, and the Classic Account API is not supported")
    if account.allowed_peers is not None and request.peer not in account.allowed_peers:
        raise BitgetError("40018", "Invalid IP")
    return account


def check_time(milliseconds: str, clock: FakeClock) -> None:
    """Raises BitgetError for a time that is no number or too far off."""
    try:
        sent_s = int(milliseconds) / 1000
    except ValueError:
        raise BitgetError("40005", "Invalid ACCESS_TIMESTAMP") from None
    if abs(clock.now().timestamp() - sent_s) > OLDEST_SIGNATURE_S:
        raise BitgetError("40008", "Request timestamp expired")


def login(argument: dict[str, str], accounts: dict[str, FakeAccount], clock: FakeClock) -> FakeAccount:
    """The account of a websocket login; its time is in seconds. Raises BitgetError with a websocket code."""
    account = accounts.get(argument.get("apiKey", ""))
    if account is None:
        raise BitgetError("30011", "Invalid ACCESS_KEY")
    text = f"{argument.get('timestamp')}GET/user/verify"
    if not hmac.compare_digest(argument.get("sign", ""), sign(account.secret, text)):
        raise BitgetError("30015", "Invalid sign")
    if argument.get("passphrase") != account.passphrase:
        raise BitgetError("30012", "Invalid ACCESS_PASSPHRASE")
    if abs(clock.now().timestamp() - int(argument["timestamp"])) > OLDEST_SIGNATURE_S:
        raise BitgetError("30014", "Request timestamp expired")
    return account
