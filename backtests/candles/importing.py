"""Candle files from outside, read strictly: a file is imported whole or refused with one sentence that says where it is wrong.

Two forms are known. Ours: `timestamp,open,high,low,close,volume[,value]`, ISO open times. pyupbit's: a DataFrame of
`get_ohlcv` written by `to_csv` or `to_parquet`, an unnamed index of naive Korean times. What a file does not say – the zone of
a naive time, the interval of a single row – is asked for by option, never guessed.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.checks import Problem, find_problems
from backtests.candles.files import RawColumns, read_columns
from backtests.candles.gaps import Gap, count_missing, find_gaps
from backtests.candles.series import PRICE_COLUMNS, Candles
from backtests.candles.timestamps import ZONES, read_times
from dgbot.core.clock import from_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval, interval_of_seconds

GAPS_SHOWN = 10


@dataclass(frozen=True)
class ImportReport:
    """What was read from a file. Times are aware UTC; `gaps` are the first GAPS_SHOWN of `gap_count`."""

    source_name: str
    form: str  # ours · pyupbit
    timezone: str  # the zone the stamps were taken to be in, and who said so
    interval: Interval
    rows: int
    first_opened_at: datetime
    last_opened_at: datetime
    gaps: tuple[Gap, ...]
    gap_count: int
    missing_count: int


@dataclass(frozen=True)
class Imported:
    """The candles of a file and what is to be said about them."""

    candles: Candles
    report: ImportReport


def read_file(
    path: Path, *, exchange: str, symbol: str, now: datetime, interval: Interval | None = None, timezone: str | None = None
) -> Imported:
    """The candles of a CSV (plain or gzip) or Parquet file, every one closed at `now` (aware).

    interval: None takes the most common step. timezone: the zone of naive stamps, one of ZONES; needed unless the file says it.
    Raises BadInput with one sentence naming the column, line or timestamp that is wrong; then nothing of the file is used.
    """
    if timezone is not None and timezone not in ZONES:
        raise BadInput(f"--timezone must be one of {', '.join(ZONES)}, was {timezone!r}.")
    raw = read_columns(path)
    times, zone = read_times(raw, timezone=timezone)
    found = _interval_of(raw, times, wanted=interval)
    columns: dict[str, Any] = {name: raw.numbers(name) for name in (*PRICE_COLUMNS, "volume")}
    problems = find_problems(times, columns, interval=found, now=now)
    if problems:
        raise BadInput(f"{raw.name}: nothing imported; {'; '.join(_told(problem, raw, times) for problem in problems)}.")
    candles = Candles(exchange=exchange, symbol=symbol, interval=found, open_time=times, **columns)
    return Imported(candles=candles, report=_report(raw, candles, zone=zone))


def _report(raw: RawColumns, candles: Candles, *, zone: str) -> ImportReport:
    gaps = find_gaps(candles.open_time, interval=candles.interval)
    return ImportReport(
        source_name=raw.name,
        form=raw.form,
        timezone=zone,
        interval=candles.interval,
        rows=len(candles),
        first_opened_at=from_nanoseconds(candles.open_time[0]),
        last_opened_at=from_nanoseconds(candles.open_time[-1]),
        gaps=gaps[:GAPS_SHOWN],
        gap_count=len(gaps),
        missing_count=count_missing(gaps),
    )


def _told(problem: Problem, raw: RawColumns, times: NDArray[np.int64]) -> str:
    opened_at = from_nanoseconds(times[problem.first]).isoformat()
    return f"{problem.count} {problem.kind} (first: {raw.place(problem.first)}, {opened_at}{problem.detail})"


def _interval_of(raw: RawColumns, times: NDArray[np.int64], *, wanted: Interval | None) -> Interval:
    steps = np.diff(np.sort(times)).astype(np.int64)
    steps = steps[steps > 0]
    if wanted is None:
        return _most_common(raw, steps)
    if len(steps) and not np.any(steps == wanted.nanoseconds):
        raise BadInput(f"{raw.name}: no two rows are {wanted} apart, the closest are {_length(int(steps.min()))}; --interval is wrong.")
    return wanted


def _most_common(raw: RawColumns, steps: NDArray[np.int64]) -> Interval:
    if len(steps) == 0:
        raise BadInput(f"{raw.name}: one timestamp does not tell the interval; give --interval, for example --interval 1h.")
    step, _ = min(Counter(steps.tolist()).most_common(), key=lambda item: (-item[1], item[0]))
    interval = interval_of_seconds(step // 1_000_000_000) if step % 1_000_000_000 == 0 else None
    if interval is None:
        known = ", ".join(Interval)
        raise BadInput(f"{raw.name}: the most common step between rows is {_length(step)}, which is no interval; give --interval: {known}.")
    return interval


def _length(nanoseconds: int) -> str:
    interval = interval_of_seconds(nanoseconds // 1_000_000_000)
    return str(interval) if interval and nanoseconds % 1_000_000_000 == 0 else str(timedelta(microseconds=nanoseconds / 1000))
