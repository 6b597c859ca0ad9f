"""Upbit's two websockets: public (ticker, trade, orderbook) and private (myOrder, myAsset)."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dgbot.core.types import Side, VenueFill, VenueOrderStatus
from trading.exchanges import strict_json as read
from trading.exchanges import upbit_answers
from trading.exchanges.feed import Heard
from trading.exchanges.feed_events import (
    BalancesSeen,
    BookSeen,
    Channel,
    FeedRefused,
    MarketEvent,
    OrderSeen,
    TickerSeen,
    Topic,
    TradeSeen,
)
from trading.exchanges.strict_json import Unreadable

if TYPE_CHECKING:  # signing loads pyupbit, and pandas with it
    from trading.exchanges.upbit_signing import Signer

BASE_URL = "wss://api.upbit.com"
PUBLIC, PRIVATE = "/websocket/v1", "/websocket/v1/private"
TYPES = {Channel.TICKER: "ticker", Channel.TRADES: "trade", Channel.BOOK: "orderbook"}
STATES = {
    "wait": VenueOrderStatus.OPEN,
    "watch": VenueOrderStatus.OPEN,
    "trade": VenueOrderStatus.PARTIALLY_FILLED,
    "done": VenueOrderStatus.FILLED,
    "cancel": VenueOrderStatus.CANCELLED,
}


@dataclass(frozen=True)
class UpbitPublicFeed:
    """See Dialect. Every symbol's ticker is asked for along: its snapshot is how a quiet market proves that the feed lives."""

    base_url: str = BASE_URL

    @property
    def url(self) -> str:
        """See Dialect."""
        return self.base_url + PUBLIC

    def headers(self) -> Mapping[str, str]:
        """See Dialect. An Origin header would limit us to one request in ten seconds."""
        return {}

    def ask(self, topics: frozenset[Topic]) -> Sequence[str]:
        """See Dialect. A second request replaces the first, so it always names the complete set."""
        symbols = {channel: sorted({topic.symbol for topic in topics if topic.channel is channel}) for channel in TYPES}
        symbols[Channel.TICKER] = sorted({topic.symbol for topic in topics})
        wanted: list[dict[str, object]] = [{"ticket": str(uuid.uuid4())}]
        wanted += [{"type": TYPES[channel], "codes": codes} for channel, codes in symbols.items() if codes]
        return [json.dumps([*wanted, {"format": "DEFAULT"}])]

    def probe(self, topics: frozenset[Topic]) -> Sequence[str]:
        """See Dialect. Asking again brings snapshots."""
        return self.ask(topics)

    def hear(self, frame: str) -> Heard:
        """See Dialect."""
        return _hear(frame, _market_event, status_is_life=False)


@dataclass(frozen=True)
class UpbitPrivateFeed:
    """See Dialect. Orders and balances of one key's pocket, on one socket. Silence is usual here: PING brings a status."""

    signer: "Signer"
    base_url: str = BASE_URL

    @property
    def url(self) -> str:
        """See Dialect."""
        return self.base_url + PRIVATE

    def headers(self) -> Mapping[str, str]:
        """See Dialect. A fresh token: a nonce is taken once."""
        return self.signer.socket_headers()

    def ask(self, topics: frozenset[Topic]) -> Sequence[str]:
        """See Dialect. myAsset takes no codes; myOrder without codes is all of them. PING first: the answer shows life at once."""
        channels = {topic.channel for topic in topics}
        wanted: list[dict[str, object]] = [{"ticket": str(uuid.uuid4())}]
        wanted += [{"type": "myOrder"}] if Channel.ORDERS in channels else []
        wanted += [{"type": "myAsset"}] if Channel.BALANCES in channels else []
        return [json.dumps([*wanted, {"format": "DEFAULT"}]), "PING"]

    def probe(self, topics: frozenset[Topic]) -> Sequence[str]:
        """See Dialect."""
        return ["PING"]

    def hear(self, frame: str) -> Heard:
        """See Dialect."""
        return _hear(frame, _account_event, status_is_life=True)


def _hear(frame: str, understand: Callable[[Mapping[str, object]], MarketEvent], *, status_is_life: bool) -> Heard:
    told = read.loads(frame)
    messages = told if isinstance(told, list) else [told]  # the list formats wrap each message
    events: list[MarketEvent | FeedRefused] = []
    is_life = False
    for message in messages:
        row = read.mapping(message, name="frame")
        if "error" in row:
            error = read.mapping(row["error"], name="error")
            events.append(FeedRefused(f"{error.get('name')}: {str(error.get('message'))[:200]}"))
        elif "status" in row and "type" not in row:
            is_life = is_life or status_is_life
        else:
            events.append(understand(row))
            is_life = True
    return Heard(tuple(events), is_life=is_life)


def _market_event(row: Mapping[str, object]) -> MarketEvent:
    kind, symbol = read.words(row, "type"), read.words(row, "code")
    if kind == "ticker":
        return TickerSeen(upbit_answers.ticker(row, symbol=symbol, field="code"))
    if kind == "trade":
        return TradeSeen(upbit_answers.market_trade(row, symbol=symbol, field="code", moment="trade_timestamp"))
    if kind == "orderbook":
        return BookSeen(upbit_answers.book(row, symbol=symbol, field="code"))
    raise Unreadable(f"the type {kind[:40]!r} is not one that was asked for")


def _account_event(row: Mapping[str, object]) -> MarketEvent:
    kind = read.words(row, "type")
    if kind == "myOrder":
        return _order(row)
    if kind == "myAsset":
        assets = upbit_answers.rows(row.get("assets"), name="assets")
        return BalancesSeen(tuple(upbit_answers.balance(one) for one in assets), known_at=read.moment_of_ms(row, "asset_timestamp"))
    raise Unreadable(f"the type {kind[:40]!r} is not one that was asked for")


def _order(row: Mapping[str, object]) -> OrderSeen:
    side = {"BID": Side.BUY, "ASK": Side.SELL}.get(read.words(row, "ask_bid"))
    if side is None:
        raise Unreadable(f"ask_bid must be BID or ASK, was {str(row.get('ask_bid'))[:20]!r}")
    state = read.words(row, "state")
    client_id = None if row.get("identifier") is None else read.words(row, "identifier")
    return OrderSeen(
        exchange_order_id=read.words(row, "uuid"),
        client_id=client_id,
        symbol=read.words(row, "code"),
        side=side,
        status=STATES.get(state),
        filled_amount=read.decimal(row, "executed_volume"),
        known_at=read.moment_of_ms(row, "timestamp"),
        fill=_fill(row, client_id=client_id, side=side) if state == "trade" else None,
        is_maker=row.get("is_maker") is True if state == "trade" and row.get("is_maker") is not None else None,
        raw=dict(row),
    )


def _fill(row: Mapping[str, object], *, client_id: str | None, side: Side) -> VenueFill:
    """With state `trade`, price and volume describe the execution; only here is its own fee told."""
    symbol = read.words(row, "code")
    return VenueFill(
        exchange_trade_id=read.words(row, "trade_uuid"),
        exchange_order_id=read.words(row, "uuid"),
        client_id=client_id,
        symbol=symbol,
        side=side,
        price=read.positive(row, "price"),
        amount=read.positive(row, "volume"),
        fee=read.decimal(row, "trade_fee"),
        fee_currency=symbol.partition("-")[0],
        executed_at=read.moment_of_ms(row, "trade_timestamp"),
    )
