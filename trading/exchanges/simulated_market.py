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
from dgbot.core.clock import to_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from dgbot.core.money import round_nearest
from dgbot.core.types import OrderBook, TradingRules
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
STEP_NS = HOUR_NS // STEPS_PER_HOUR
BOOK_EVERY_NS = 2_000_000_000
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

        An hour without a trade has none. Raises BadInput for intervals under a minute.
        """
        if interval.seconds < 60:
            raise BadInput(f"The simulated market has no {interval} candles; the shortest are 1m.")
        first = max(-(-to_nanoseconds(start) // interval.nanoseconds), -(-self._start_ns // interval.nanoseconds))
        last = max(-(-to_nanoseconds(end) // interval.nanoseconds), first)
        columns = self._grouped(interval, first * interval.nanoseconds, last * interval.nanoseconds)
        return Candles(exchange=EXCHANGE, symbol=self.symbol, interval=interval, **columns)  # type: ignore[arg-type]

    def closed_candles(self, interval: Interval, until: datetime) -> Candles:
        """Every candle of the history and since, closed at `until` (aware); the first is the anchor."""
        return self.candles(interval, self.starts_at, until - interval.length + timedelta(microseconds=1))

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

    def _table(self, chapter: int, windows: Numbers, volume: Numbers, *, step_ns: int) -> Table:
        opened = self._start_ns + chapter * CHAPTER_HOURS * HOUR_NS + np.arange(len(windows), dtype=np.int64) * step_ns
        high, low = windows.max(axis=1), windows.min(axis=1)
        columns = (opened, windows[:, 0], high, low, windows[:, -1], volume)
        return {name: column[volume > 0] for name, column in zip(COLUMNS, columns, strict=True)}

    def _grouped(self, interval: Interval, first_ns: int, last_ns: int) -> Table:
        draw = self._hours if interval.seconds >= Interval.HOUR_1.seconds else self._minutes
        length = CHAPTER_HOURS * HOUR_NS
        chapters = (
            range((first_ns - self._start_ns) // length, -(-(last_ns - self._start_ns) // length)) if last_ns > first_ns else range(1)
        )
        tables = [draw(chapter) for chapter in chapters]
        joined = {name: np.concatenate([table[name] for table in tables]) for name in COLUMNS}
        start, stop = np.searchsorted(joined["open_time"], [first_ns, last_ns])
        return _grouped_by(interval, {name: column[start:stop] for name, column in joined.items()})

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
