"""Candles from an exchange into the archive, cache first: only what is neither stored nor confirmed as absent is asked for.

What arrives is stored every few pages, so that an interruption at any moment costs those pages and nothing else: whoever goes on
asks for the rest, and ends with the same series as one download would have.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from backtests.candles import archive
from backtests.candles.archive import Conflict
from backtests.candles.checks import find_problems
from backtests.candles.series import COLUMNS, Candles
from backtests.candles.spans import NOTHING, Spans, united
from backtests.candles.windows import Window, confirmed_by, inside, plan
from dgbot.core.clock import to_nanoseconds
from dgbot.core.errors import BadInput, ExchangeError, RateLimited
from dgbot.core.interval import Interval
from dgbot.core.protocols import CandleSource
from dgbot.core.types import Candle

MOST_PAUSES, LONGEST_PAUSE_S = 10, 10.0  # for one question; then whoever asked for the download tries later
STORE_EVERY = 10_000  # slots; storing rewrites the series' file


@dataclass(frozen=True)
class Wanted:
    """Candles of one series opened in [start, end), aware UTC."""

    exchange: str
    symbol: str
    interval: Interval
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Progress:
    """How far a download is. Counts are questions to the exchange and candles."""

    windows_done: int
    windows_total: int
    added: int
    differing: int  # candles the exchange now tells with other values; the stored ones stay

    @property
    def is_complete(self) -> bool:
        """Whether every question has been answered and stored."""
        return self.windows_done == self.windows_total


@dataclass
class _Basket:
    """Answers that are not stored yet."""

    candles: list[Candle] = field(default_factory=list)
    confirmed: Spans = field(default_factory=lambda: NOTHING)
    windows: int = 0
    slots: int = 0


def download(
    source: CandleSource,
    wanted: Wanted,
    *,
    root: Path,
    now: datetime,
    page: int = 200,
    store_every: int = STORE_EVERY,
    told: Callable[[Progress], None] = lambda _: None,
    must_stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Ask `source` for what the archive lacks of `wanted` and store it. Safe to repeat and to interrupt.

    now: market time of the source (aware); nothing that closes later is asked for. page: candles in one question.
    told: called after each stored part. must_stop: asked after each question; True stores and returns an incomplete Progress.
    Raises what the source raises, after storing what had arrived, and BadInput for an answer that cannot be used.
    """
    windows = _plan(wanted, root=root, now=now, page=page)
    progress, basket = Progress(windows_done=0, windows_total=len(windows), added=0, differing=0), _Basket()
    told(progress)
    for window in windows:
        try:
            _ask(source, wanted, window, basket=basket, now=now)
        except ExchangeError:
            told(_stored(basket, wanted, progress, root=root))
            raise
        is_last = progress.windows_done + basket.windows == len(windows)
        stops = must_stop()
        if is_last or stops or basket.slots >= store_every:
            progress, basket = _stored(basket, wanted, progress, root=root), _Basket()
            told(progress)
        if stops:
            break
    return progress


def _plan(wanted: Wanted, *, root: Path, now: datetime, page: int) -> tuple[Window, ...]:
    path = root / archive.relative_path(wanted.exchange, wanted.symbol, wanted.interval)
    stored = archive.load(root, wanted.exchange, wanted.symbol, wanted.interval).open_time if path.exists() else np.empty(0, dtype=np.int64)
    known = archive.confirmed_empty(root, wanted.exchange, wanted.symbol, wanted.interval)
    end = min(wanted.end, wanted.interval.open_of(now))  # the candle that holds `now` is not closed
    return plan(stored, interval=wanted.interval, start=wanted.start, end=end, page=page, confirmed=known)


def _ask(source: CandleSource, wanted: Wanted, window: Window, *, basket: _Basket, now: datetime) -> None:
    answer = _answer(source, wanted, window)
    opened = np.array([to_nanoseconds(candle.opened_at) for candle in answer], dtype=np.int64)
    outside = ~inside(opened, window)
    if outside.any():
        first = answer[int(np.argmax(outside))].opened_at.isoformat()
        raise BadInput(
            f"{wanted.exchange} was asked for {wanted.symbol} from {window.start.isoformat()} to {window.end.isoformat()} and told "
            f"{int(outside.sum())} candles outside, the first opened at {first}; nothing of this answer was stored."
        )
    _check(answer, wanted, now=now)
    basket.candles.extend(answer)
    basket.confirmed = united(basket.confirmed, confirmed_by(opened, window, interval=wanted.interval, now=now))
    basket.windows += 1
    basket.slots += int((window.end - window.start) / wanted.interval.length)


def _answer(source: CandleSource, wanted: Wanted, window: Window) -> Sequence[Candle]:
    """Asks again after the pause that a limit of requests demands, a few times: that is the usual pace of a long download."""
    for _ in range(MOST_PAUSES):
        try:
            return source.candles(wanted.symbol, wanted.interval, start=window.start, end=window.end)
        except RateLimited as error:
            time.sleep(min(error.retry_after_s, LONGEST_PAUSE_S))
    return source.candles(wanted.symbol, wanted.interval, start=window.start, end=window.end)


def _check(answer: Sequence[Candle], wanted: Wanted, *, now: datetime) -> None:
    columns = _columns(answer)
    problems = find_problems(columns.pop("open_time"), columns, interval=wanted.interval, now=now)
    if problems:
        faults = "; ".join(f"{problem.count} {problem.kind}{problem.detail}" for problem in problems)
        first = answer[problems[0].first].opened_at.isoformat()
        raise BadInput(f"{wanted.exchange} told candles of {wanted.symbol} {wanted.interval} that cannot be true ({first}): {faults}.")


def _stored(basket: _Basket, wanted: Wanted, progress: Progress, *, root: Path) -> Progress:
    candles = Candles(exchange=wanted.exchange, symbol=wanted.symbol, interval=wanted.interval, **_columns(basket.candles))
    merged = archive.merge(candles, root, conflict=Conflict.KEEP, confirmed=basket.confirmed)
    return Progress(
        windows_done=progress.windows_done + basket.windows,
        windows_total=progress.windows_total,
        added=progress.added + merged.added,
        differing=progress.differing + merged.differing,
    )


def _columns(answer: Sequence[Candle]) -> dict[str, Any]:
    columns: dict[str, Any] = {name: np.array([float(getattr(candle, name)) for candle in answer]) for name in COLUMNS[1:]}
    return {"open_time": np.array([to_nanoseconds(candle.opened_at) for candle in answer], dtype=np.int64), **columns}
