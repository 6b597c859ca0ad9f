"""The public endpoints: markets, candles, trades, tickers, books. Numbers are JSON numbers here, newest first."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from dgbot.core.interval import Interval
from dgbot.core.types import Candle, Side
from tests.fakes.core.engine import Engine
from tests.fakes.core.orders import Market, Print
from tests.fakes.core.server import Request
from tests.fakes.upbit.errors import UpbitRefusal
from tests.fakes.upbit.parameters import Parameters, instant
from tests.fakes.upbit.rendering import KOREA

CandlesOf = Callable[[str, Interval, datetime, datetime], Sequence[Candle]]
UNITS = {1, 3, 5, 10, 15, 30, 60, 240}
MISSING = "Missing request parameter error. Check the required parameters!"
INVALID = "Invalid parameter. Check the given value!"
BOOK_LEVELS = 30
FIRST_DAY = datetime(2017, 9, 25, tzinfo=UTC)


class QuotationDesk:
    """What anybody may ask."""

    def __init__(self, engine: Engine, *, candles: CandlesOf | None = None) -> None:
        self.engine = engine
        self.candles_of: CandlesOf = candles or self.candles_of_prints

    def markets(self, request: Request) -> list[dict[str, Any]]:
        """GET /v1/market/all, with both spellings of the wish for details."""
        asked = Parameters(request.raw_query)
        is_detailed = "true" in (asked.one("is_details"), asked.one("isDetails"))
        return [_market_body(market, is_detailed=is_detailed) for market in self.engine.markets.values()]

    def candles(self, request: Request) -> list[dict[str, Any]]:
        """GET /v1/candles/seconds, /minutes/{unit}, /days: sparse, newest first, the forming one included."""
        parts = request.path.split("/")[3:]
        interval, unit = _interval(parts)
        asked = Parameters(request.raw_query)
        market = self._market(asked.one("market"))
        count = asked.number("count", default=1, maximum=200)
        to = instant(asked.one("to") or "9999-12-31T00:00:00Z")
        end = min(to, self.engine.clock.now())
        oldest = end - timedelta(days=92) if interval.seconds < 60 else FIRST_DAY
        found: list[Candle] = []
        span, stop = interval.length * count * 4, end
        while len(found) < count and stop > oldest:  # sparse markets need more than `count` intervals
            start = max(stop - span, oldest)
            found = [*self.candles_of(market.symbol, interval, start, stop), *found]
            stop, span = start, span * 8
        return [_candle_body(market.symbol, candle, unit=unit, interval=interval) for candle in reversed(found[-count:])]

    def trades(self, request: Request) -> list[dict[str, Any]]:
        """GET /v1/trades/ticks: one UTC day, newest first, `cursor` is a sequential id."""
        asked = Parameters(request.raw_query)
        market = self._market(asked.one("market"))
        count = asked.number("count", default=1, maximum=500)
        days = asked.number("days_ago", default=0, maximum=7) if asked.one("days_ago") else 0
        day = (self.engine.clock.now() - timedelta(days=days)).date()
        latest = datetime.combine(day, time.max, tzinfo=UTC)
        to, cursor = asked.one("to"), asked.one("cursor")
        if to is not None:
            latest = datetime.combine(day, time.fromisoformat(to if ":" in to else f"{to[:2]}:{to[2:4]}:{to[4:6]}"), tzinfo=UTC)
        with self.engine.lock:
            found = [
                printed
                for printed in self.engine.prints[market.symbol]
                if printed.executed_at.date() == day
                and printed.executed_at <= latest
                and (cursor is None or printed.sequence < int(cursor))
            ]
        return [_trade_body(printed) for printed in reversed(found[-count:])]

    def ticker(self, request: Request) -> list[dict[str, Any]]:
        """GET /v1/ticker."""
        return [ticker_body(self.engine, self._market(symbol)) for symbol in self._wanted(request)]

    def ticker_all(self, request: Request) -> list[dict[str, Any]]:
        """GET /v1/ticker/all."""
        quotes = set(Parameters(request.raw_query).many("quote_currencies"))
        return [ticker_body(self.engine, market) for market in self.engine.markets.values() if market.quote in quotes]

    def orderbook(self, request: Request) -> list[dict[str, Any]]:
        """GET /v1/orderbook."""
        count = Parameters(request.raw_query).number("count", default=BOOK_LEVELS, maximum=BOOK_LEVELS)
        return [book_body(self.engine, self._market(symbol), count=count) for symbol in self._wanted(request)]

    def instruments(self, request: Request) -> list[dict[str, Any]]:
        """GET /v1/orderbook/instruments: the tick of the band the price is in now."""
        return [
            {
                "market": market.symbol,
                "quote_currency": market.quote,
                "tick_size": f"{market.tick(self.engine.last_price(market.symbol) or Decimal(1)):f}",
                "supported_levels": ["0"],
            }
            for market in map(self._market, self._wanted(request))
        ]

    def candles_of_prints(self, symbol: str, interval: Interval, start: datetime, end: datetime) -> list[Candle]:
        """Candles of what was traded here: an interval without a trade has none."""
        candles: dict[datetime, Candle] = {}
        with self.engine.lock:
            prints = self.engine.prints[symbol]
            first = bisect_left(prints, start, key=lambda printed: printed.executed_at)
            for printed in prints[first:]:
                opened = interval.open_of(printed.executed_at)
                if not start <= opened < end:
                    continue
                before, price = candles.get(opened), printed.price
                candles[opened] = Candle(
                    opened_at=opened,
                    open=before.open if before else price,
                    high=max(before.high, price) if before else price,
                    low=min(before.low, price) if before else price,
                    close=price,
                    volume=(before.volume if before else Decimal(0)) + printed.amount,
                )
        return [candles[opened] for opened in sorted(candles)]

    def _wanted(self, request: Request) -> list[str]:
        symbols = Parameters(request.raw_query).many("markets")
        if not symbols:
            raise UpbitRefusal(400, 400, MISSING)
        return symbols

    def _market(self, symbol: str | None) -> Market:
        if not symbol:
            raise UpbitRefusal(400, 400, MISSING)
        if symbol not in self.engine.markets:
            raise UpbitRefusal(404, 404, "Code not found")
        return self.engine.markets[symbol]


def _interval(parts: list[str]) -> tuple[Interval, int | None]:
    if parts == ["seconds"]:
        return Interval.SECOND_1, None
    if parts == ["days"]:
        return Interval.DAY_1, None
    if len(parts) == 2 and parts[0] == "minutes" and parts[1].isdigit() and int(parts[1]) in UNITS:
        unit = int(parts[1])
        return next(interval for interval in Interval if interval.seconds == unit * 60), unit
    raise UpbitRefusal(400, 400, INVALID)


def milliseconds(at: datetime) -> int:
    """Since 1970."""
    return int(at.timestamp() * 1000)


def _market_body(market: Market, *, is_detailed: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"market": market.symbol, "korean_name": market.base, "english_name": market.base.title()}
    if is_detailed:
        cautions = ("PRICE_FLUCTUATIONS", "TRADING_VOLUME_SOARING", "DEPOSIT_AMOUNT_SOARING", "GLOBAL_PRICE_DIFFERENCES")
        raised = set(market.info.get("cautions", ()))
        body["market_event"] = {
            "warning": "WARNING" in raised,
            "caution": {name: name in raised for name in (*cautions, "CONCENTRATION_OF_SMALL_ACCOUNTS")},
        }
    return body


def _candle_body(symbol: str, candle: Candle, *, unit: int | None, interval: Interval) -> dict[str, Any]:
    middle = (candle.high + candle.low) / 2
    body: dict[str, Any] = {
        "market": symbol,
        "candle_date_time_utc": candle.opened_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "candle_date_time_kst": candle.opened_at.astimezone(KOREA).strftime("%Y-%m-%dT%H:%M:%S"),
        "opening_price": float(candle.open),
        "high_price": float(candle.high),
        "low_price": float(candle.low),
        "trade_price": float(candle.close),
        "timestamp": milliseconds(candle.opened_at + interval.length) - 1,
        "candle_acc_trade_price": float(middle * candle.volume),
        "candle_acc_trade_volume": float(candle.volume),
    }
    if unit is not None:
        body["unit"] = unit
    if interval is Interval.DAY_1:
        body |= {"prev_closing_price": float(candle.open), "change_price": float(candle.close - candle.open), "change_rate": 0.0}
    return body


def _trade_body(printed: Print) -> dict[str, Any]:
    at = printed.executed_at.astimezone(UTC)
    return {
        "market": printed.market,
        "trade_date_utc": at.strftime("%Y-%m-%d"),
        "trade_time_utc": at.strftime("%H:%M:%S"),
        "timestamp": milliseconds(at),
        "trade_price": float(printed.price),
        "trade_volume": float(printed.amount),
        "prev_closing_price": float(printed.price),
        "change_price": 0.0,
        "ask_bid": "BID" if printed.taker_side is Side.BUY else "ASK",
        "sequential_id": printed.sequence,
    }


def ticker_body(engine: Engine, market: Market) -> dict[str, Any]:
    """A ticker; without a trade yet its price is what the book shows."""
    now = engine.clock.now()
    prints = engine.prints[market.symbol]
    price = float(engine.last_price(market.symbol) or 0)
    at = prints[-1].executed_at if prints else now
    return {
        "market": market.symbol,
        "trade_date": at.astimezone(UTC).strftime("%Y%m%d"),
        "trade_time": at.astimezone(UTC).strftime("%H%M%S"),
        "trade_date_kst": at.astimezone(KOREA).strftime("%Y%m%d"),
        "trade_time_kst": at.astimezone(KOREA).strftime("%H%M%S"),
        "trade_timestamp": milliseconds(at),
        **{f"{word}_price": price for word in ("opening", "high", "low", "trade", "prev_closing")},
        "change": "EVEN",
        "change_price": 0.0,
        "change_rate": 0.0,
        "signed_change_price": 0.0,
        "signed_change_rate": 0.0,
        "trade_volume": float(prints[-1].amount) if prints else 0.0,
        **{f"acc_trade_{word}": 0.0 for word in ("price", "price_24h", "volume", "volume_24h")},
        "highest_52_week_price": price,
        "highest_52_week_date": "2026-10-09",
        "lowest_52_week_price": price,
        "lowest_52_week_date": "2026-02-06",
        "timestamp": milliseconds(now),
    }


def book_body(engine: Engine, market: Market, *, count: int) -> dict[str, Any]:
    """A book; the shorter side is padded with price 0 and size 0."""
    now = engine.clock.now()
    with engine.lock:
        sides = {side: list(engine.books[market.symbol].levels(now, side))[:count] for side in Side}
    bids, asks = sides[Side.BUY], sides[Side.SELL]
    units = []
    for place in range(max(len(bids), len(asks))):
        bid, ask = bids[place] if place < len(bids) else None, asks[place] if place < len(asks) else None
        units.append(
            {
                "ask_price": _short(ask.price) if ask else 0,
                "bid_price": _short(bid.price) if bid else 0,
                "ask_size": float(ask.amount) if ask else 0,
                "bid_size": float(bid.amount) if bid else 0,
            }
        )
    return {
        "market": market.symbol,
        "timestamp": milliseconds(now),
        "total_ask_size": float(sum(level.amount for level in asks)),
        "total_bid_size": float(sum(level.amount for level in bids)),
        "orderbook_units": units,
        "level": 0,
    }


def _short(price: Decimal) -> int | float:
    return int(price) if price == price.to_integral_value() else float(price)
