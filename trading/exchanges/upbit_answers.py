"""Upbit's answers as typed values. Whatever does not fit is Unreadable: never a zero, never another market's figure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

from dgbot.core.interval import Interval
from dgbot.core.money import SMALLEST_STEP, round_down
from dgbot.core.types import (
    Balance,
    Candle,
    Fees,
    Level,
    MarketTrade,
    OrderBook,
    OrderType,
    Side,
    Ticker,
    VenueFill,
    VenueOrder,
    VenueOrderStatus,
)
from trading.exchanges import strict_json as read
from trading.exchanges.strict_json import Unreadable
from trading.exchanges.upbit_rules import LOT_STEP

Row = Mapping[str, object]
UTC_TEXT = timedelta(0)  # candle times are written without their zone, which is UTC
SIDES = {"bid": Side.BUY, "ask": Side.SELL}
TYPES = {"limit": OrderType.LIMIT, "price": OrderType.MARKET, "market": OrderType.MARKET, "best": OrderType.MARKET}
LIVE, DONE, CANCELLED = ("wait", "watch"), "done", "cancel"
ROUNDING_ALLOWANCE = Decimal("1.1")  # of a lot's average price, when only sums are told


def rows(body: object, *, name: str) -> list[Row]:
    """A list of objects."""
    return [read.mapping(row, name=name) for row in read.sequence(body, name=name)]


def sole(body: object, *, symbol: str, name: str) -> Row:
    """The one row of a list, and it is `symbol`'s."""
    found = rows(body, name=name)
    if len(found) != 1:
        raise Unreadable(f"{name} of {symbol} has {len(found)} rows instead of one")
    return of_symbol(found[0], symbol, name=name)


def of_symbol(row: Row, symbol: str, *, name: str, field: str = "market") -> Row:
    """The row itself, if it speaks of `symbol`."""
    if row.get(field) != symbol:
        raise Unreadable(f"{name} of {symbol} was asked, {str(row.get(field))[:40]!r} was answered")
    return row


# --- public ---
def candle(row: Row, *, symbol: str, interval: Interval) -> Candle:
    """One candle, on the interval's grid, its prices in order."""
    of_symbol(row, symbol, name="candle")
    opened = read.moment(row, "candle_date_time_utc", zone=UTC_TEXT)
    made = Candle(
        opened_at=opened,
        open=read.positive(row, "opening_price"),
        high=read.positive(row, "high_price"),
        low=read.positive(row, "low_price"),
        close=read.positive(row, "trade_price"),
        volume=read.decimal(row, "candle_acc_trade_volume"),
    )
    if interval.open_of(opened) != opened:
        raise Unreadable(f"a {interval} candle of {symbol} opens at {opened.isoformat()}, off its grid")
    if not made.low <= min(made.open, made.close) <= max(made.open, made.close) <= made.high:
        raise Unreadable(f"the candle of {symbol} at {opened.isoformat()} has its high below its low, open or close")
    return made


def ticker(row: Row, *, symbol: str, field: str = "market") -> Ticker:
    """The last price and when Upbit told it."""
    of_symbol(row, symbol, name="ticker", field=field)
    return Ticker(symbol=symbol, price=read.positive(row, "trade_price"), known_at=read.moment_of_ms(row, "timestamp"))


def book(row: Row, *, symbol: str, field: str = "market") -> OrderBook:
    """Both sides, best first. A side with fewer levels is padded with price 0, which is no level."""
    of_symbol(row, symbol, name="orderbook", field=field)
    units = rows(row.get("orderbook_units"), name="orderbook_units")
    return OrderBook(
        symbol=symbol,
        bids=_side(units, "bid", best_first=-1),
        asks=_side(units, "ask", best_first=1),
        known_at=read.moment_of_ms(row, "timestamp"),
    )


def _side(units: Sequence[Row], word: str, *, best_first: int) -> tuple[Level, ...]:
    levels = [Level(price=read.decimal(unit, f"{word}_price"), amount=read.decimal(unit, f"{word}_size")) for unit in units]
    told = [level for level in levels if level.price > 0 and level.amount > 0]
    return tuple(sorted(told, key=lambda level: best_first * level.price))


def market_trade(row: Row, *, symbol: str, field: str = "market", moment: str = "timestamp") -> MarketTrade:
    """One execution between strangers; `ask_bid` is the taker's side."""
    of_symbol(row, symbol, name="trade", field=field)
    side = {"BID": Side.BUY, "ASK": Side.SELL}.get(read.words(row, "ask_bid"))
    if side is None:
        raise Unreadable(f"ask_bid must be BID or ASK, was {str(row.get('ask_bid'))[:20]!r}")
    return MarketTrade(
        symbol=symbol,
        sequence=read.whole(row, "sequential_id"),
        price=read.positive(row, "trade_price"),
        amount=read.positive(row, "trade_volume"),
        side=side,
        executed_at=read.moment_of_ms(row, moment),
    )


# --- the account ---
def balance(row: Row) -> Balance:
    """One asset; `balance` is the free part."""
    return Balance(asset=read.words(row, "currency"), free=read.decimal(row, "balance"), locked=read.decimal(row, "locked"))


def fees(body: object, *, symbol: str) -> Fees:
    """The dearer of both sides, from orders/chance."""
    row = read.mapping(body, name="orders/chance")
    of_symbol(read.mapping(row.get("market"), name="market"), symbol, name="orders/chance", field="id")
    rates = {name: read.decimal(row, name) for name in ("bid_fee", "ask_fee", "maker_bid_fee", "maker_ask_fee")}
    if max(rates.values()) >= 1:
        raise Unreadable(f"a fee of {symbol} is {max(rates.values())}, which is no fraction")
    return Fees(
        maker_rate=max(rates["maker_bid_fee"], rates["maker_ask_fee"]),
        taker_rate=max(rates["bid_fee"], rates["ask_fee"]),
    )


def order(body: object) -> VenueOrder:
    """An order, with its fills where Upbit tells them (only when one order is asked for)."""
    row = read.mapping(body, name="order")
    side, kind = SIDES.get(read.words(row, "side")), read.words(row, "ord_type")
    if side is None or kind not in TYPES:
        raise Unreadable(f"an order has side {str(row.get('side'))[:20]!r} and type {kind[:20]!r}")
    price, volume, filled = read.optional(row, "price"), read.optional(row, "volume"), read.decimal(row, "executed_volume")
    is_in_quote = side is Side.BUY and kind in ("price", "best")
    if (price is None if is_in_quote else volume is None) or (volume is not None and filled > volume):
        raise Unreadable(f"an order of type {kind} has price {price}, volume {volume} and executed volume {filled}")
    identifier = row.get("identifier")
    client_id = None if identifier is None else read.words(row, "identifier")
    fills = _fills(row, client_id=client_id, side=side, filled=filled)
    return VenueOrder(
        exchange_order_id=read.words(row, "uuid"),
        client_id=client_id,
        symbol=read.words(row, "market"),
        side=side,
        order_type=TYPES[kind],
        status=_status(row, is_in_quote=is_in_quote, filled=filled, fills=fills),
        filled_amount=filled,
        created_at=read.moment(row, "created_at"),
        amount=None if is_in_quote else volume,
        quote_amount=price if is_in_quote else None,
        price=price if kind == "limit" else None,
        fills=fills,
        raw=dict(row),
    )


def _status(row: Row, *, is_in_quote: bool, filled: Decimal, fills: Sequence[VenueFill]) -> VenueOrderStatus:
    state = read.words(row, "state")
    if state in LIVE:
        return VenueOrderStatus.PARTIALLY_FILLED if filled else VenueOrderStatus.OPEN
    if state == DONE:
        return VenueOrderStatus.FILLED
    if state != CANCELLED:
        raise Unreadable(f"an order is in the state {state[:20]!r}, which Upbit does not document")
    # A market buy ends as `cancel` although it did all it could: less money than one lot costs is left, and given back.
    if is_in_quote and filled and _left_in_quote(row, fills) < _lot_cost(row, fills, filled=filled):
        return VenueOrderStatus.FILLED
    return VenueOrderStatus.CANCELLED


def _funds(row: Row, fills: Sequence[VenueFill]) -> Decimal:
    told = read.optional(row, "executed_funds")
    return sum((fill.price * fill.amount for fill in fills), Decimal(0)) if told is None else told


def _left_in_quote(row: Row, fills: Sequence[VenueFill]) -> Decimal:
    return (read.optional(row, "price") or Decimal(0)) - _funds(row, fills)


def _lot_cost(row: Row, fills: Sequence[VenueFill], *, filled: Decimal) -> Decimal:
    if fills:
        return max(fill.price for fill in fills) * LOT_STEP
    return _funds(row, fills) / filled * LOT_STEP * ROUNDING_ALLOWANCE


def _fills(row: Row, *, client_id: str | None, side: Side, filled: Decimal) -> tuple[VenueFill, ...]:
    told = row.get("trades")
    if told is None:
        return ()
    trades = [read.mapping(trade, name="trades") for trade in read.sequence(told, name="trades")]
    amounts = [read.positive(trade, "volume") for trade in trades]
    if sum(amounts, Decimal(0)) > filled:
        raise Unreadable(f"an order's trades sum to {sum(amounts)}, more than its executed volume {filled}")
    symbol, paid = read.words(row, "market"), read.decimal(row, "paid_fee")
    with localcontext(prec=60):
        funds = sum((read.positive(trade, "price") * amount for trade, amount in zip(trades, amounts, strict=True)), Decimal(0))
        # Only the sum of fees is told. Its share is exact while all executions are listed, which the sum of volumes shows.
        rate = paid / funds if funds and sum(amounts, Decimal(0)) == filled else None
    if rate is None and trades:
        return ()  # some executions are still missing: better none than wrong fees, which can never be taken back
    fills = [
        VenueFill(
            exchange_trade_id=read.words(trade, "uuid"),
            exchange_order_id=read.words(row, "uuid"),
            client_id=client_id,
            symbol=read.words(of_symbol(trade, symbol, name="trade"), "market"),
            side=side,
            price=read.positive(trade, "price"),
            amount=amount,
            fee=round_down(read.positive(trade, "price") * amount * (rate or Decimal(0)), step=SMALLEST_STEP),
            fee_currency=symbol.partition("-")[0],
            executed_at=read.moment(trade, "created_at"),
        )
        for trade, amount in zip(trades, amounts, strict=True)
    ]
    if len({fill.exchange_trade_id for fill in fills}) != len(fills):
        raise Unreadable("an order lists the same trade twice")
    return tuple(sorted(fills, key=lambda fill: (fill.executed_at, fill.exchange_trade_id)))


def expiry(body: object, *, access_key: str) -> datetime | None:
    """When our key ends, from the list of keys; None when the list does not name it."""
    mine = [row for row in rows(body, name="api_keys") if row.get("access_key") == access_key]
    return read.moment(mine[0], "expire_at") if mine else None
