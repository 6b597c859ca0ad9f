"""Candle files from outside, read strictly: a file is imported whole or refused with one sentence that says where it is wrong.

Forms are told by their headers (`headers`): ours, pyupbit's DataFrames, Upbit's own answers, Korean vendors', and any file with
columns of the usual names. What a file does not say – the zone of a naive time, the unit of a number, what a comma means, the
interval of a single row – is asked for by option, never guessed. What is left out of a file for certain reasons is reported.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from backtests.candles.checks import Problem, find_problems
from backtests.candles.files import ENCODINGS, UTF8, RawColumns, read_columns
from backtests.candles.gaps import Gap, count_missing, find_gaps
from backtests.candles.numbers import THOUSANDS
from backtests.candles.series import PRICE_COLUMNS, Candles
from backtests.candles.tidying import Dropped, Note, Rows, is_newest_small, tidy
from backtests.candles.timestamps import UNITS, ZONES, read_times
from dgbot.core.clock import from_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval, interval_of_seconds

GAPS_SHOWN = 10


@dataclass(frozen=True)
class ImportOptions:
    """What the operator says about a file because the file does not. None: the file must say it.

    timezone: of naive stamps, one of ZONES. time_unit: of numeric stamps, one of UNITS. thousands: `comma` or `none`.
    drop_newest: leave the newest candle out; exporters often write it while it is still forming.
    """

    interval: Interval | None = None
    timezone: str | None = None
    time_unit: str | None = None
    thousands: str | None = None
    encoding: str = UTF8
    drop_newest: bool = False


@dataclass(frozen=True)
class ImportReport:
    """What was read from a file. Times are aware UTC; `gaps` are the first GAPS_SHOWN of `gap_count`."""

    source_name: str
    form: str  # see headers
    timezone: str  # the zone the stamps were taken to be in, and who said so
    interval: Interval
    rows: int
    first_opened_at: datetime
    last_opened_at: datetime
    gaps: tuple[Gap, ...]
    gap_count: int
    missing_count: int
    dropped: tuple[Dropped, ...] = ()
    ignored_columns: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Imported:
    """The candles of a file and what is to be said about them."""

    candles: Candles
    report: ImportReport


def read_file(path: Path, *, exchange: str, symbol: str, now: datetime, options: ImportOptions | None = None, name: str = "") -> Imported:
    """The candles of a CSV (plain, gzip or zip) or Parquet file, every one closed at `now` (aware).

    name: what to call the file. Without `options.interval` the most common step is taken.
    Raises BadInput with one sentence naming the column, line or timestamp that is wrong; then nothing of the file is used.
    """
    options = options or ImportOptions()
    _check_options(options)
    raw = read_columns(path, encoding=options.encoding, name=name)
    times, zone = read_times(raw, timezone=options.timezone, time_unit=options.time_unit)
    columns = {column: raw.numbers(column, thousands=options.thousands) for column in (*PRICE_COLUMNS, "volume")}
    interval = _interval_of(raw, times, wanted=options.interval)
    rows, notes = Rows(times, columns, place=raw.place), []
    if rows.is_descending:
        rows, notes = rows.reversed(), [Note.NEWEST_FIRST]
    rows, dropped = tidy(rows, interval=interval, now=now, drop_newest=options.drop_newest)
    problems = find_problems(rows.times, rows.columns, interval=interval, now=now)
    if problems:
        raise BadInput(f"{raw.name}: nothing imported; {'; '.join(_told(problem, rows) for problem in problems)}.")
    candles = Candles(exchange=exchange, symbol=symbol, interval=interval, open_time=rows.times, **cast(dict[str, Any], rows.columns))
    if len(candles) == 0:
        raise BadInput(f"{raw.name}: nothing imported; no closed candle is left.")
    notes += [Note.SHORTENED] if raw.is_shortened("volume") else []
    notes += [Note.NEWEST_IS_SMALL] if not dropped and is_newest_small(candles.volume) else []
    return Imported(candles=candles, report=_report(raw, candles, zone=zone, dropped=dropped, notes=tuple(notes)))


def _check_options(options: ImportOptions) -> None:
    for option, value, known in (
        ("--timezone", options.timezone, ZONES),
        ("--time-unit", options.time_unit, UNITS),
        ("--thousands", options.thousands, THOUSANDS),
        ("--encoding", options.encoding, ENCODINGS),
    ):
        if value is not None and value not in known:
            raise BadInput(f"{option} must be one of {', '.join(known)}, was {value!r}.")


def _report(raw: RawColumns, candles: Candles, *, zone: str, dropped: tuple[Dropped, ...], notes: tuple[Note, ...]) -> ImportReport:
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
        dropped=dropped,
        ignored_columns=raw.layout.ignored,
        notes=notes,
    )


def _told(problem: Problem, rows: Rows) -> str:
    opened_at = from_nanoseconds(rows.times[problem.first]).isoformat()
    return f"{problem.count} {problem.kind} (first: {rows.place(problem.first)}, {opened_at}{problem.detail})"


def _interval_of(raw: RawColumns, times: NDArray[np.int64], *, wanted: Interval | None) -> Interval:
    steps = np.diff(times)
    if np.any(steps <= 0):
        steps = np.diff(np.unique(times))
    if wanted is None:
        return _most_common(raw, steps)
    if len(steps) and not np.any(steps == wanted.nanoseconds):
        raise BadInput(f"{raw.name}: no two rows are {wanted} apart, the closest are {_length(int(steps.min()))}; --interval is wrong.")
    return wanted


def _most_common(raw: RawColumns, steps: NDArray[np.int64]) -> Interval:
    if len(steps) == 0:
        raise BadInput(f"{raw.name}: one timestamp does not tell the interval; give --interval, for example --interval 1h.")
    lengths, counts = np.unique(steps, return_counts=True)
    step = int(lengths[np.argmax(counts)])  # of equally common ones the shortest
    interval = interval_of_seconds(step // 1_000_000_000) if step % 1_000_000_000 == 0 else None
    if interval is None:
        known = ", ".join(Interval)
        raise BadInput(f"{raw.name}: the most common step between rows is {_length(step)}, which is no interval; give --interval: {known}.")
    return interval


def _length(nanoseconds: int) -> str:
    interval = interval_of_seconds(nanoseconds // 1_000_000_000)
    return str(interval) if interval and nanoseconds % 1_000_000_000 == 0 else str(timedelta(microseconds=nanoseconds / 1000))
