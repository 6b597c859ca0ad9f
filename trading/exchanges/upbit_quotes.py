"""Upbit's public market data, for whoever asks: no key, no pyupbit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TypeVar

from dgbot.core.clock import SystemClock
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.interval import Interval
from dgbot.core.protocols import Clock
from dgbot.core.types import Candle, Capabilities, MarketTrade, OrderBook, Ticker, TradingRules
from trading.exchanges import strict_json, upbit_answers, upbit_rules
from trading.exchanges.strict_json import Unreadable
from trading.exchanges.upbit_http import Parameters, UpbitHttp

CAPABILITIES = Capabilities(
    market_buy_in_quote=True,
    short_selling=False,
    resident_stops=False,
    fees_in_quote=True,
    intervals=frozenset(Interval) - {Interval.SECOND_5},
    candles_per_page=200,
    closed_orders_window=timedelta(days=7),
    book_depth=30,
    streams_trades=True,
    streams_orders=True,
)
PATHS = {Interval.SECOND_1: "seconds", Interval.DAY_1: "days"}
TRADES_PER_PAGE = 500
MOST_TRADE_PAGES = 60  # thirty thousand executions; a gap larger than that is told, not filled
TRADE_DAYS = 7  # how far back the exchange lists executions
SYMBOLS_PER_QUESTION = 100
QUOTE = "KRW"
MAXIMUM_TOTAL = Decimal(1_000_000_000)  # KRW

T = TypeVar("T")


@dataclass
class UpbitQuotes:
    """Upbit's KRW markets. clock: tells which candles are closed.

    Grids come from the table by date; `markets` also asks Upbit for today's ticks and remembers where they differ.
    """

    http: UpbitHttp = field(default_factory=UpbitHttp)
    clock: Clock = field(default_factory=SystemClock)
    _cautions: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _told_bands: dict[str, tuple[datetime, upbit_rules.Bands]] = field(default_factory=dict, repr=False)

    @property
    def capabilities(self) -> Capabilities:
        """See Exchange."""
        return CAPABILITIES

    # --- markets and rules ---
    def markets(self) -> Sequence[TradingRules]:
        """See Quotes. Three questions: markets with their warnings, ticks in force and the prices they are in force at."""
        body = self._ask("/v1/market/all", group="market", parameters={"is_details": "true"})
        cautions = usable(lambda: _cautions(body))
        symbols = [symbol for symbol in cautions if symbol.startswith(f"{QUOTE}-")]
        self._learn_ticks(symbols)
        self._cautions = cautions
        now = self.clock.now()
        return [self.trading_rules(symbol, at=now) for symbol in symbols]

    def trading_rules(self, symbol: str, *, at: datetime) -> TradingRules:
        """See Quotes. Asks nobody: the table by date, corrected by what `markets` was told before `at`, with its last warnings."""
        rules = upbit_rules.rules(symbol, at)
        told_at, bands = self._told_bands.get(symbol, (at, rules.tick_bands))
        return replace(
            rules,
            tick_bands=rules.tick_bands if told_at > at else bands,
            maximum_total=MAXIMUM_TOTAL,
            cautions=self._cautions.get(symbol, ()),
        )

    def _learn_ticks(self, symbols: Sequence[str]) -> None:
        now = self.clock.now()
        for chunk in (symbols[start : start + SYMBOLS_PER_QUESTION] for start in range(0, len(symbols), SYMBOLS_PER_QUESTION)):
            wanted: Parameters = {"markets": ",".join(chunk)}
            instruments = self._ask("/v1/orderbook/instruments", group="orderbook", parameters=wanted)
            tickers = self._ask("/v1/ticker", group="ticker", parameters=wanted)
            prices = usable(partial(_by_market, tickers, "trade_price"))
            ticks = usable(partial(_by_market, instruments, "tick_size"))
            for symbol in chunk:
                if symbol in prices and symbol in ticks:
                    bands = upbit_rules.rules(symbol, now).tick_bands
                    self._told_bands[symbol] = (now, _with_tick(bands, price=prices[symbol], tick=ticks[symbol]))

    # --- candles ---
    def candles(self, symbol: str, interval: Interval, *, start: datetime, end: datetime) -> Sequence[Candle]:
        """See CandleSource. Closed candles only; an interval nobody traded in has none, so pages follow what came, not the count."""
        if interval not in CAPABILITIES.intervals:
            raise BadInput(f"Upbit has no {interval} candles; it has {', '.join(sorted(CAPABILITIES.intervals))}.")
        now = self.clock.now()
        last_open = interval.open_of(now) - interval.length
        found: dict[datetime, Candle] = {}
        before = min(end, last_open + interval.length)
        while before > start:
            page = self._candle_page(symbol, interval, before=before)
            found |= {candle.opened_at: candle for candle in page if start <= candle.opened_at < end and candle.opened_at <= last_open}
            if not page:
                break
            oldest = min(candle.opened_at for candle in page)
            if oldest >= before:
                raise ExchangeUnavailable(
                    f"Upbit answered candles of {symbol} from {oldest.isoformat()} on, not before {before.isoformat()}"
                )
            before = oldest
        return [found[opened] for opened in sorted(found)]

    def _candle_page(self, symbol: str, interval: Interval, *, before: datetime) -> list[Candle]:
        path = PATHS.get(interval, f"minutes/{interval.seconds // 60}")
        to = before.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = self._ask(f"/v1/candles/{path}", group="candles", parameters={"market": symbol, "to": to, "count": "200"})
        return usable(
            lambda: [upbit_answers.candle(row, symbol=symbol, interval=interval) for row in upbit_answers.rows(body, name="candles")]
        )

    # --- prices ---
    def ticker(self, symbol: str) -> Ticker:
        """See Quotes."""
        body = self._ask("/v1/ticker", group="ticker", parameters={"markets": symbol})
        return usable(lambda: upbit_answers.ticker(upbit_answers.sole(body, symbol=symbol, name="ticker"), symbol=symbol))

    def order_book(self, symbol: str) -> OrderBook:
        """See Quotes. Thirty levels a side."""
        body = self._ask("/v1/orderbook", group="orderbook", parameters={"markets": symbol})
        return usable(lambda: upbit_answers.book(upbit_answers.sole(body, symbol=symbol, name="orderbook"), symbol=symbol))

    def market_trades(self, symbol: str, *, since: datetime) -> Sequence[MarketTrade]:
        """See Quotes. Up to seven days back; Upbit lists them day by day, newest first."""
        today = self.clock.now().astimezone(UTC).date()
        days = (today - since.astimezone(UTC).date()).days
        if days > TRADE_DAYS:
            raise ExchangeUnavailable(f"Upbit lists executions of {TRADE_DAYS} days; {since.isoformat()} is before: use candles instead")
        found: dict[int, MarketTrade] = {}
        pages = MOST_TRADE_PAGES
        for days_ago in range(max(days, 0) + 1):
            pages = self._trades_of_day(symbol, days_ago=days_ago, since=since, found=found, pages=pages)
        return sorted(found.values(), key=lambda trade: (trade.executed_at, trade.sequence))

    def _trades_of_day(self, symbol: str, *, days_ago: int, since: datetime, found: dict[int, MarketTrade], pages: int) -> int:
        """Add a day's executions from `since` on to `found`; returns how many pages may still be asked for."""
        cursor: int | None = None
        while pages > 0:
            pages -= 1
            wanted = {"market": symbol, "count": str(TRADES_PER_PAGE)}
            wanted |= {"days_ago": str(days_ago)} if days_ago else {}
            wanted |= {"cursor": str(cursor)} if cursor is not None else {}
            body = self._ask("/v1/trades/ticks", group="trades", parameters=wanted)
            page = usable(partial(_trades, body, symbol=symbol))
            found |= {trade.sequence: trade for trade in page if trade.executed_at >= since}
            oldest = min((trade.sequence for trade in page), default=None)
            if oldest is None or len(page) < TRADES_PER_PAGE or min(trade.executed_at for trade in page) < since:
                return pages
            if cursor is not None and oldest >= cursor:
                raise ExchangeUnavailable(f"Upbit answered the same executions of {symbol} again instead of earlier ones")
            cursor = oldest
        raise ExchangeUnavailable(f"{symbol} had more than {MOST_TRADE_PAGES * TRADES_PER_PAGE} executions since {since.isoformat()}")

    def server_time(self) -> datetime:
        """See Quotes. Upbit has no question for it; the `Date` header of an answer tells the second."""
        told = self.http.public("/v1/orderbook", group="orderbook", parameters={"markets": "KRW-BTC", "count": "1"})
        try:
            return parsedate_to_datetime(told.date or "").astimezone(UTC)
        except ValueError:
            raise ExchangeUnavailable(f"Upbit's answer has no usable Date header: {str(told.date)[:40]!r}") from None

    def _ask(self, path: str, *, group: str, parameters: Parameters) -> object:
        return self.http.public(path, group=group, parameters=parameters).body


def usable(parse: Callable[[], T]) -> T:
    """The parsed answer to a question. Raises ExchangeUnavailable when it says nothing usable."""
    try:
        return parse()
    except Unreadable as error:
        raise ExchangeUnavailable(f"Upbit's answer cannot be used: {error}") from error


def _cautions(body: object) -> dict[str, tuple[str, ...]]:
    """Upbit's warnings by market; every market has an entry."""
    found = {}
    for row in upbit_answers.rows(body, name="market/all"):
        event = strict_json.mapping(row.get("market_event", {}), name="market_event")
        raised = strict_json.mapping(event.get("caution", {}), name="caution")
        words = [name for name, is_raised in raised.items() if is_raised is True]
        found[strict_json.words(row, "market")] = tuple((["WARNING"] if event.get("warning") is True else []) + words)
    return found


def _trades(body: object, *, symbol: str) -> list[MarketTrade]:
    return [upbit_answers.market_trade(row, symbol=symbol) for row in upbit_answers.rows(body, name="trades")]


def _by_market(body: object, name: str) -> dict[str, Decimal]:
    return {strict_json.words(row, "market"): strict_json.positive(row, name) for row in upbit_answers.rows(body, name=name)}


def _with_tick(bands: upbit_rules.Bands, *, price: Decimal, tick: Decimal) -> upbit_rules.Bands:
    """The table with Upbit's own word for the band `price` is in."""
    own = next(start for start, _ in bands if price >= start)
    return tuple((start, tick if start == own else known) for start, known in bands)
