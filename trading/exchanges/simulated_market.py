"""A market that is a pure function of (symbol, seed, origin, time): every process computes the same prices without a message.

Nothing is stored: chapters of the path are drawn when asked for and the latest kept. The history begins HISTORY before the
origin, so that a strategy is warm at the first slot; the future has no end.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import COLUMNS, Candles
from dgbot.core.clock import from_nanoseconds, to_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from dgbot.core.money import round_nearest
from dgbot.core.types import MarketTrade, OrderBook, Side, TradingRules
from trading.exchanges import upbit_rules
from trading.exchanges.simulated_book import book_around
from trading.exchanges.simulated_paths import (
    CHAPTER_HOURS,
    MINUTES_PER_HOUR,
    STEPS_PER_HOUR,
    STEPS_PER_MINUTE,
    Kind,
    Plan,
    generator,
    paint,
    plan,
)

EXCHANGE = "simulated"
HISTORY_CHAPTERS = 21
TOLD = {HISTORY_CHAPTERS - 1: Kind.RANGE, HISTORY_CHAPTERS: Kind.OPENING}  # every market starts trading the same way
HISTORY = timedelta(hours=HISTORY_CHAPTERS * CHAPTER_HOURS)

BASE_PRICES = {"KRW-BTC": 1e8, "KRW-ETH": 4e6, "KRW-SOL": 2.2e5, "KRW-XRP": 3000.0, "KRW-DOGE": 250.0}
OTHER_PRICES = (20.0, 50_000.0)  # a symbol not listed gets a level of its own between these
TURNOVER_PER_HOUR = 1.2e10  # KRW in a usual hour

HOUR_NS = Interval.HOUR_1.nanoseconds
CHAPTER_NS = CHAPTER_HOURS * HOUR_NS
STEP_NS = HOUR_NS // STEPS_PER_HOUR
MINUTE_NS = Interval.MINUTE_1.nanoseconds
BOOK_EVERY_NS = 2_000_000_000
LAST_TRADE_NS = 59_999_000_000  # a minute's last trade: at its closing price, still inside it
TRADE_OFFSETS = np.append(np.arange(60, dtype=np.int64) * 1_000_000_000, LAST_TRADE_NS)  # one a second, and the last
PLANS, PATHS, BOOKS = 0, 1, 2  # streams of randomness

Numbers = NDArray[np.float64]
Table = dict[str, NDArray[np.generic]]


class SimulatedMarket:
    """One symbol. origin: aware; its whole hour is the market time of the first slot. Raises BadInput unless a KRW market."""

    def __init__(self, symbol: str, seed: int, origin: datetime) -> None:
        self.symbol = symbol
        self.origin = Interval.HOUR_1.open_of(origin)
        self.starts_at = self.origin - HISTORY
        self.trading_rules: TradingRules = upbit_rules.rules(symbol, upbit_rules.NEWEST)
        self._key = int.from_bytes(sha256(f"dgbot market 1\n{symbol}\n{seed}".encode()).digest()[:16], "big")
        self._base = _base_price(symbol)
        self._start_ns = to_nanoseconds(self.starts_at)
        self._starts = np.array([float(start) for start, _ in self.trading_rules.tick_bands])[::-1]
        self._ticks = np.array([float(tick) for _, tick in self.trading_rules.tick_bands])[::-1]
        self._levels, self._lock = [0.0], Lock()  # log price at the start of each chapter, relative to the base
        self._path = lru_cache(maxsize=64)(self._draw_path)
        self._hours = lru_cache(maxsize=2048)(self._draw_hours)
        self._minutes = lru_cache(maxsize=64)(self._draw_minutes)
        self._trades = lru_cache(maxsize=4)(self._draw_trades)

    def price_at(self, instant: datetime) -> Decimal:
        """The last price at `instant` (aware), quote, on the tick. Raises BadInput before the history begins."""
        hour, inside = divmod(self._since_start(instant), HOUR_NS)
        chapter, row = divmod(hour, CHAPTER_HOURS)
        step, rest = divmod(inside, STEP_NS)
        steps = self._path(chapter)[0][row]
        before, after = float(steps[step]), float(steps[step + 1])
        between = Decimal(repr(before + (after - before) * (rest / STEP_NS)))
        return round_nearest(between, step=self.trading_rules.tick(between))

    def candles(self, interval: Interval, start: datetime, end: datetime) -> Candles:
        """Candles opened in [start, end), both aware, closed or not: the caller knows what time it is.

        An hour without a trade has none. They are what `trades` adds up to, on every interval.
        """
        first = max(-(-to_nanoseconds(start) // interval.nanoseconds), -(-self._start_ns // interval.nanoseconds))
        last = max(-(-to_nanoseconds(end) // interval.nanoseconds), first)
        columns = self._grouped(interval, first * interval.nanoseconds, last * interval.nanoseconds)
        return Candles(exchange=EXCHANGE, symbol=self.symbol, interval=interval, **columns)  # type: ignore[arg-type]

    def closed_candles(self, interval: Interval, until: datetime) -> Candles:
        """Every candle of the history and since, closed at `until` (aware); the first is the anchor."""
        return self.candles(interval, self.starts_at, until - interval.length + timedelta(microseconds=1))

    def trades(self, after: datetime, until: datetime) -> list[MarketTrade]:
        """Executions between strangers in (after, until], both aware, oldest first. None before the history begins."""
        first, last = (max(to_nanoseconds(instant) + 1, self._start_ns) for instant in (after, until))
        chapters = range((first - self._start_ns) // CHAPTER_NS, -(-(last - self._start_ns) // CHAPTER_NS))
        return [trade for chapter in chapters for trade in self._trades_of(chapter, first, last)]

    def _trades_of(self, chapter: int, first: int, last: int) -> list[MarketTrade]:
        instants, prices, amounts = self._trades(chapter)
        rises = np.diff(prices, prepend=prices[0]) >= 0
        part = slice(*np.searchsorted(instants, [first, last]))
        return [
            MarketTrade(
                symbol=self.symbol,
                sequence=int(instant - self._start_ns) // 1_000_000,
                price=Decimal(repr(float(price))),
                amount=Decimal(f"{amount:.8f}"),
                side=Side.BUY if is_rise else Side.SELL,
                executed_at=from_nanoseconds(instant),
            )
            for instant, price, amount, is_rise in zip(instants[part], prices[part], amounts[part], rises[part], strict=True)
        ]

    def order_book_at(self, instant: datetime) -> OrderBook:
        """Both sides around the last price; lively and quiet times have their own depth."""
        random = generator(self._key, stream=BOOKS, number=to_nanoseconds(instant) // BOOK_EVERY_NS)
        price, activity = self.price_at(instant), self._activity_at(instant)
        return book_around(random, price=price, activity=activity, rules=self.trading_rules, known_at=instant)

    def _since_start(self, instant: datetime) -> int:
        since = to_nanoseconds(instant) - self._start_ns
        if since < 0:
            raise BadInput(f"The simulated market begins at {self.starts_at.isoformat()}; {instant.isoformat()} is before.")
        return since

    def _activity_at(self, instant: datetime) -> float:
        chapter, hour = divmod(self._since_start(instant) // HOUR_NS, CHAPTER_HOURS)
        return float(self._plan(chapter).activity[hour])

    def _plan(self, chapter: int) -> Plan:
        while len(self._levels) <= chapter:
            self._reach(len(self._levels))
        return self._planned(chapter, away=self._levels[chapter])

    def _reach(self, chapter: int) -> None:
        with self._lock:
            if len(self._levels) == chapter:  # another thread may have come first
                before = self._levels[-1]
                self._levels.append(before + self._planned(chapter - 1, away=before).displacement)

    def _planned(self, chapter: int, *, away: float) -> Plan:
        random = generator(self._key, stream=PLANS, number=chapter)
        return plan(random, away=away, kind=TOLD.get(chapter))

    def _draw_path(self, chapter: int) -> tuple[Numbers, Numbers]:
        """Prices (CHAPTER_HOURS, STEPS_PER_HOUR + 1) on the tick, and volumes of the minutes (CHAPTER_HOURS, 60) in base."""
        planned = self._plan(chapter)
        path, shares = paint(generator(self._key, stream=PATHS, number=chapter), planned)
        prices = self._on_tick(self._base * np.exp(self._levels[chapter] + path))
        usual_volume = TURNOVER_PER_HOUR / self._base
        return prices, np.round(usual_volume * planned.activity[:, None] * shares, 8)

    def _draw_minutes(self, chapter: int) -> Table:
        prices, volumes = self._path(chapter)
        ends = np.arange(MINUTES_PER_HOUR) * STEPS_PER_MINUTE
        windows = prices[:, ends[:, None] + np.arange(STEPS_PER_MINUTE + 1)]
        return self._table(chapter, windows.reshape(-1, STEPS_PER_MINUTE + 1), volumes.reshape(-1), step_ns=Interval.MINUTE_1.nanoseconds)

    def _draw_hours(self, chapter: int) -> Table:
        prices, volumes = self._path(chapter)
        return self._table(chapter, prices, np.round(volumes.sum(axis=1), 8), step_ns=HOUR_NS)

    def _draw_trades(self, chapter: int) -> tuple[NDArray[np.int64], Numbers, Numbers]:
        """Instants (ns), prices on the tick and amounts (base) of the trades whose minutes add up to the minute candles."""
        prices, volumes = self._path(chapter)
        minute_starts = np.arange(MINUTES_PER_HOUR) * STEPS_PER_MINUTE
        windows = prices[:, minute_starts[:, None] + np.arange(STEPS_PER_MINUTE + 1)].reshape(-1, STEPS_PER_MINUTE + 1)
        step, rest = np.divmod(TRADE_OFFSETS[:-1], STEP_NS)
        inside = windows[:, step] + (windows[:, step + 1] - windows[:, step]) * (rest / STEP_NS)
        traded = np.column_stack([self._on_tick(inside), windows[:, -1]])
        lots = np.rint(volumes.reshape(-1) * 1e8).astype(np.int64)
        shares = np.repeat(lots[:, None] // len(TRADE_OFFSETS), len(TRADE_OFFSETS), axis=1)
        shares[:, 0] += lots - shares.sum(axis=1)
        opened = self._start_ns + chapter * CHAPTER_NS + np.arange(len(windows), dtype=np.int64) * MINUTE_NS
        happened = shares.reshape(-1) > 0
        instants = (opened[:, None] + TRADE_OFFSETS).reshape(-1)
        return instants[happened], traded.reshape(-1)[happened], shares.reshape(-1)[happened] / 1e8

    def _draw_seconds(self, chapter: int, interval: Interval) -> Table:
        """Candles under a minute: each minute's last trade closes its last one."""
        instants, prices, amounts = self._trades(chapter)
        opened = instants // interval.nanoseconds * interval.nanoseconds
        starts = np.flatnonzero(np.diff(opened, prepend=-1))
        return {
            "open_time": opened[starts],
            "open": prices[starts],
            "high": np.maximum.reduceat(prices, starts),
            "low": np.minimum.reduceat(prices, starts),
            "close": prices[np.append(starts[1:], len(opened)) - 1],
            "volume": np.round(np.add.reduceat(amounts, starts), 8),
        }

    def _table(self, chapter: int, windows: Numbers, volume: Numbers, *, step_ns: int) -> Table:
        opened = self._start_ns + chapter * CHAPTER_NS + np.arange(len(windows), dtype=np.int64) * step_ns
        high, low = windows.max(axis=1), windows.min(axis=1)
        columns = (opened, windows[:, 0], high, low, windows[:, -1], volume)
        return {name: column[volume > 0] for name, column in zip(COLUMNS, columns, strict=True)}

    def _grouped(self, interval: Interval, first_ns: int, last_ns: int) -> Table:
        is_whole = last_ns > first_ns
        first, stop = (first_ns - self._start_ns) // CHAPTER_NS, -(-(last_ns - self._start_ns) // CHAPTER_NS)
        tables = [self._drawn(interval, chapter) for chapter in (range(first, stop) if is_whole else range(1))]
        joined = {name: np.concatenate([table[name] for table in tables]) for name in COLUMNS}
        start, stop = np.searchsorted(joined["open_time"], [first_ns, last_ns])
        return _grouped_by(interval, {name: column[start:stop] for name, column in joined.items()})

    def _drawn(self, interval: Interval, chapter: int) -> Table:
        if interval.seconds >= Interval.HOUR_1.seconds:
            return self._hours(chapter)
        return self._minutes(chapter) if interval.seconds >= Interval.MINUTE_1.seconds else self._draw_seconds(chapter, interval)

    def _on_tick(self, prices: Numbers) -> Numbers:
        ticks = self._ticks[np.searchsorted(self._starts, prices, side="right") - 1]
        return np.round(np.maximum(np.rint(prices / ticks), 1) * ticks, 8)


def _grouped_by(interval: Interval, columns: Table) -> Table:
    opened = columns["open_time"] // interval.nanoseconds * interval.nanoseconds
    starts = np.flatnonzero(np.diff(opened, prepend=-1))
    if len(starts) == len(opened):
        return columns | {"open_time": opened}
    return {
        "open_time": opened[starts],
        "open": columns["open"][starts],
        "high": np.maximum.reduceat(columns["high"], starts),
        "low": np.minimum.reduceat(columns["low"], starts),
        "close": columns["close"][np.append(starts[1:], len(opened)) - 1],
        "volume": np.round(np.add.reduceat(columns["volume"], starts), 8),
    }


def _base_price(symbol: str) -> float:
    if symbol in BASE_PRICES:
        return BASE_PRICES[symbol]
    low, high = OTHER_PRICES
    share = int.from_bytes(sha256(symbol.encode()).digest()[:4], "big") / 2**32
    return float(low * (high / low) ** share)
