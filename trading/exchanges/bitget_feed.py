"""Bitget's two websockets: public (ticker, trade, books15) and private (orders, account, positions), behind a login.

Bitget wants the text `ping` at least every two minutes and answers `pong`. Subscriptions add up, so a change of what is
followed is told as a difference. A private socket says what is followed only once its login was taken.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dgbot.core.types import Balance, VenueFill
from trading.exchanges import bitget_parse as parse
from trading.exchanges import strict_json
from trading.exchanges.bitget_client import BitgetClient
from trading.exchanges.feed import Heard
from trading.exchanges.feed_events import (
    BalancesSeen,
    BookSeen,
    Channel,
    FeedRefused,
    MarketEvent,
    OrderSeen,
    PositionsSeen,
    TickerSeen,
    Topic,
    TradeSeen,
)
from trading.exchanges.strict_json import Unreadable

REAL_URL, DEMO_URL = "wss://ws.bitget.com", "wss://wspap.bitget.com"
PUBLIC, PRIVATE = "/v2/ws/public", "/v2/ws/private"
PRODUCT = "USDT-FUTURES"
PING_EVERY_S = 25.0  # Bitget asks for 30 and hangs up after 120
PUBLIC_CHANNELS = {Channel.TICKER: "ticker", Channel.TRADES: "trade", Channel.BOOK: "books15"}
PRIVATE_CHANNELS = {Channel.ORDERS: "orders", Channel.BALANCES: "account", Channel.POSITIONS: "positions"}

Argument = tuple[tuple[str, str], ...]  # one subscription, as sorted pairs


@dataclass
class _Line:
    """What one connection has been asked for. A new upgrade starts anew."""

    monotonic: Callable[[], float] = time.monotonic
    asked: frozenset[Argument] = frozenset()
    pinged_at: float = 0.0

    def begin(self) -> None:
        """A new connection: nothing is followed yet."""
        self.asked, self.pinged_at = frozenset(), self.monotonic()

    def change_to(self, wanted: frozenset[Argument]) -> list[str]:
        """Frames that turn what is followed into `wanted`."""
        frames = [_operation("unsubscribe", self.asked - wanted), _operation("subscribe", wanted - self.asked)]
        self.asked = wanted
        return [frame for frame in frames if frame]

    def due_ping(self) -> tuple[str, ...]:
        """A ping, when the last one is old; data alone does not keep the line."""
        if self.monotonic() - self.pinged_at < PING_EVERY_S:
            return ()
        self.pinged_at = self.monotonic()
        return ("ping",)


@dataclass
class BitgetPublicFeed:
    """See Dialect. Every symbol's ticker is followed along: its snapshot is how a quiet market proves that the feed lives."""

    base_url: str = REAL_URL
    _line: _Line = field(default_factory=_Line, repr=False)

    @property
    def url(self) -> str:
        """See Dialect."""
        return self.base_url + PUBLIC

    def headers(self) -> Mapping[str, str]:
        """See Dialect."""
        self._line.begin()
        return {}

    def ask(self, topics: frozenset[Topic]) -> Sequence[str]:
        """See Dialect."""
        tickers = {Topic(Channel.TICKER, topic.symbol) for topic in topics}
        return self._line.change_to(_arguments(topics | tickers, PUBLIC_CHANNELS))

    def probe(self, topics: frozenset[Topic]) -> Sequence[str]:
        """See Dialect. A ticker followed anew brings its snapshot; the pong alone would not prove that data flows."""
        tickers = _arguments({Topic(Channel.TICKER, topic.symbol) for topic in topics}, PUBLIC_CHANNELS)
        return ["ping", _operation("unsubscribe", tickers), _operation("subscribe", tickers)]

    def hear(self, frame: str) -> Heard:
        """See Dialect."""
        if frame == "pong":
            return Heard()
        row = strict_json.mapping(strict_json.loads(frame), name="frame")
        if "event" in row:
            return Heard(_refusals(row))
        return Heard(tuple(_readable(lambda: _market_events(row))), is_life=True, replies=self._line.due_ping())


@dataclass
class BitgetPrivateFeed:
    """See Dialect. One account's orders, balances and positions. Silence is usual here: a pong shows life."""

    client: BitgetClient
    base_url: str = REAL_URL
    _line: _Line = field(default_factory=_Line, repr=False)
    _wanted: frozenset[Argument] = frozenset()
    _is_logged_in: bool = False

    @property
    def url(self) -> str:
        """See Dialect."""
        return self.base_url + PRIVATE

    def headers(self) -> Mapping[str, str]:
        """See Dialect. The login comes as the first frame."""
        self._line.begin()
        self._is_logged_in = False
        return {}

    def ask(self, topics: frozenset[Topic]) -> Sequence[str]:
        """See Dialect. Before the login is taken only the wish is kept."""
        self._wanted = _arguments(topics, PRIVATE_CHANNELS)
        if self._is_logged_in:
            return self._line.change_to(self._wanted)
        return [json.dumps({"op": "login", "args": [self.client.login()]})]

    def probe(self, topics: frozenset[Topic]) -> Sequence[str]:
        """See Dialect."""
        return ["ping"]

    def hear(self, frame: str) -> Heard:
        """See Dialect."""
        if frame == "pong":
            return Heard(is_life=self._is_logged_in)
        row = strict_json.mapping(strict_json.loads(frame), name="frame")
        if row.get("event") == "login" and str(row.get("code", 0)) == "0":
            self._is_logged_in = True
            return Heard(is_life=True, replies=(*self._line.change_to(self._wanted), "ping"))
        if "event" in row:
            return Heard(_refusals(row), replies=self._line.due_ping())
        return Heard(tuple(_readable(lambda: _account_events(row))), is_life=True, replies=self._line.due_ping())


# --- Asking ---
def _arguments(topics: Iterable[Topic], channels: Mapping[Channel, str]) -> frozenset[Argument]:
    return frozenset(_argument(topic, channels[topic.channel]) for topic in topics if topic.channel in channels)


def _argument(topic: Topic, channel: str) -> Argument:
    name = "coin" if channel == "account" else "instId"
    value = parse.raw_symbol(topic.symbol) if channel in PUBLIC_CHANNELS.values() else "default"
    return (("channel", channel), (name, value), ("instType", PRODUCT))


def _operation(word: str, arguments: frozenset[Argument]) -> str:
    return json.dumps({"op": word, "args": [dict(one) for one in sorted(arguments)]}) if arguments else ""


# --- Hearing ---
def _refusals(row: Mapping[str, object]) -> tuple[FeedRefused, ...]:
    if row["event"] != "error":
        return ()  # a subscription or its end was acknowledged
    return (FeedRefused(f"{row.get('code')}: {str(row.get('msg'))[:200]}"),)


def _readable(make: Callable[[], Iterable[MarketEvent]]) -> list[MarketEvent]:
    try:
        return list(make())
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise Unreadable(f"a frame that cannot be read: {type(error).__name__}: {error}"[:300]) from None


def _market_events(row: Mapping[str, object]) -> Iterable[MarketEvent]:
    argument, data = strict_json.mapping(row["arg"], name="arg"), parse.rows(row["data"])
    channel, symbol = argument["channel"], parse.our_symbol(str(argument["instId"]))
    if argument.get("instType") != PRODUCT:
        raise Unreadable(f"a frame of {str(argument.get('instType'))[:40]!r} instead of {PRODUCT}")
    if channel == "ticker":
        return [TickerSeen(parse.ticker(one, symbol=symbol)) for one in data]
    if channel == "trade":
        trades = [parse.market_trade(one, symbol=symbol) for one in data]
        return [TradeSeen(trade) for trade in sorted(trades, key=lambda trade: trade.sequence)]
    if channel == "books15":
        return [BookSeen(parse.order_book(one, symbol=symbol)) for one in data]
    raise Unreadable(f"the channel {str(channel)[:40]!r} is not one that was asked for")


def _account_events(row: Mapping[str, object]) -> Iterable[MarketEvent]:
    channel, data = strict_json.mapping(row["arg"], name="arg")["channel"], parse.rows(row["data"])
    known_at = parse.moment(row["ts"])
    if channel == "orders":
        return [_order(one) for one in data]
    if channel == "account":
        return [BalancesSeen(tuple(_balance(one) for one in data), known_at)]
    if channel == "positions":
        held = tuple(parse.position({**one, "symbol": one["instId"]}) for one in data if parse.number(one, "total"))
        return [PositionsSeen(held, known_at)]
    raise Unreadable(f"the channel {str(channel)[:40]!r} is not one that was asked for")


def _order(row: parse.Row) -> OrderSeen:
    order = parse.order({**row, "symbol": row["instId"], "baseVolume": row.get("accBaseVolume") or "0"})
    fill = _fill(row, order_id=order.exchange_order_id, client_id=order.client_id) if row.get("tradeId") else None
    return OrderSeen(
        exchange_order_id=order.exchange_order_id,
        client_id=order.client_id,
        symbol=order.symbol,
        side=order.side,
        status=order.status,
        filled_amount=order.filled_amount,
        known_at=parse.moment(row["uTime"]),
        fill=fill,
        is_maker=row.get("tradeScope") in ("M", "maker") if fill is not None and row.get("tradeScope") else None,
        raw=dict(row),
    )


def _fill(row: parse.Row, *, order_id: str, client_id: str | None) -> VenueFill:
    """In a push with a trade id, `baseVolume` is this execution and `accBaseVolume` the whole."""
    detail = {"feeCoin": row.get("fillFeeCoin") or parse.QUOTE, "totalFee": row.get("fillFee") or "0"}
    told = {
        "tradeId": row["tradeId"],
        "orderId": order_id,
        "symbol": row["instId"],
        "side": row["side"],
        "posMode": row.get("posMode"),
        "tradeSide": row.get("tradeSide"),
        "price": row["fillPrice"],
        "baseVolume": row["baseVolume"],
        "feeDetail": [detail],
        "cTime": row["fillTime"],
    }
    return parse.fill(told, client_id=client_id)


def _balance(row: parse.Row) -> Balance:
    """A push calls them otherwise: free is what new positions may take."""
    free = parse.number_or_none(row, "maxOpenPosAvailable")
    return Balance(
        asset=parse.text(row, "marginCoin"),
        free=free if free is not None else parse.number(row, "available"),
        locked=parse.number(row, "frozen"),
    )
