"""What is wrong with a series, as a value: each kind of finding with its count, its places and how much it matters."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.checks import find_problems
from backtests.candles.gaps import Gap, find_gaps
from backtests.candles.series import COLUMNS, Candles
from backtests.candles.spans import NOTHING, Spans, slots_of
from dgbot.core.clock import from_nanoseconds

SPANS_KEPT = 50  # places told for each finding; the count tells of all
OUTLIER_SIGMAS = 20.0  # robust standard deviations of the returns nearby
OUTLIER_AT_LEAST = 0.03  # as a fraction of the price; quiet markets have tiny deviations
COMES_BACK = 0.6  # the share of a jump that the next candle takes back when the price was a mistake
BLOCK = 256  # candles over which the usual movement is judged, with their neighbours
FROZEN_FROM = 12  # equal candles with volume in a row: a collector that repeats itself
STALE_AFTER = timedelta(days=2)  # two daily syncs missed
BAD_MISSING_SHARE = 0.01


class Kind(StrEnum):
    """What is wrong."""

    MISSING = "missing"  # candles that nobody accounts for
    CONFIRMED = "confirmed"  # candles that the exchange says it does not have: no fault
    DUPLICATE = "duplicate"
    INCONSISTENT = "inconsistent"  # OHLC contradict each other, or are not legal numbers, or stand off the grid
    OUTLIER = "outlier"  # a price that jumps and comes straight back
    FROZEN = "frozen"  # the same candle over and over
    STALE = "stale"  # the series ends long ago


class Severity(StrEnum):
    """How much it matters, rising."""

    GOOD = "good"
    NOTICE = "notice"  # nothing to do
    WARNING = "warning"  # results near these places are doubtful
    BAD = "bad"  # do not use before it is repaired


RANK = list(Severity)


@dataclass(frozen=True)
class Finding:
    """`count` candles with one fault. spans: the first SPANS_KEPT places, (opened, closed) as aware UTC, oldest first."""

    kind: Kind
    severity: Severity
    count: int
    spans: tuple[tuple[datetime, datetime], ...]


@dataclass(frozen=True)
class QualityReport:
    """The findings about a series, in a fixed order; none means a whole, consistent, recent series."""

    checked_at: datetime
    rows: int
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> Severity:
        """The worst of all findings."""
        return max((finding.severity for finding in self.findings), key=RANK.index, default=Severity.GOOD)

    def count(self, kind: Kind) -> int:
        """Candles with this fault."""
        return sum(finding.count for finding in self.findings if finding.kind is kind)

    def as_json(self) -> dict[str, Any]:
        """A form that JSON can hold; `report_from_json` reads it back."""
        return {
            "checked_at": self.checked_at.isoformat(),
            "rows": self.rows,
            "findings": [
                {**asdict(finding), "spans": [[start.isoformat(), end.isoformat()] for start, end in finding.spans]}
                for finding in self.findings
            ],
        }


def report_from_json(value: dict[str, Any]) -> QualityReport:
    """The report that `as_json` wrote."""
    findings = tuple(
        Finding(
            kind=Kind(told["kind"]),
            severity=Severity(told["severity"]),
            count=told["count"],
            spans=tuple((datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in told["spans"]),
        )
        for told in value["findings"]
    )
    return QualityReport(checked_at=datetime.fromisoformat(value["checked_at"]), rows=value["rows"], findings=findings)


def judge(candles: Candles, *, now: datetime, confirmed: Spans = NOTHING) -> QualityReport:
    """Everything that is wrong with `candles` at `now` (aware). confirmed: time the exchange says it has no candles for."""
    return QualityReport(checked_at=now, rows=len(candles), findings=tuple(_findings(candles, now=now, confirmed=confirmed)))


def find_outliers(candles: Candles) -> NDArray[np.bool_]:
    """(n,) bool: closes that jump away and come straight back, and wicks far beyond what is usual nearby.

    A jump that stays is a move of the market and no outlier. The threshold is OUTLIER_SIGMAS robust deviations (1.4826 × the
    median absolute return of the BLOCK and its neighbours), and never under OUTLIER_AT_LEAST.
    """
    if len(candles) < 3 or not _is_positive(candles):
        return np.zeros(len(candles), dtype=bool)
    closes = np.log(candles.close)
    steps = np.diff(closes, prepend=closes[:1])
    limit = np.maximum(OUTLIER_SIGMAS * _usual_step(steps), OUTLIER_AT_LEAST)
    back = np.append(-steps[1:], 0.0)  # what the next candle takes back, with the sign of the jump
    jumps = (np.abs(steps) > limit) & (back * np.sign(steps) > COMES_BACK * np.abs(steps))
    top, bottom = np.maximum(candles.open, candles.close), np.minimum(candles.open, candles.close)
    wicks = (np.log(candles.high / top) > 2 * limit) | (np.log(bottom / candles.low) > 2 * limit)
    return np.asarray(jumps | wicks)


def find_frozen(candles: Candles) -> NDArray[np.bool_]:
    """(n,) bool: candles that repeat the one before in all five values although something was traded, FROZEN_FROM times or more."""
    if len(candles) < FROZEN_FROM:
        return np.zeros(len(candles), dtype=bool)
    repeats = candles.volume > 0
    for name in COLUMNS[1:]:
        column = getattr(candles, name)
        repeats &= np.concatenate([[False], column[1:] == column[:-1]])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], repeats, [False]]).astype(np.int8)))
    frozen = np.zeros(len(candles), dtype=bool)
    for start, end in edges.reshape(-1, 2).tolist():
        if end - start >= FROZEN_FROM:
            frozen[start:end] = True
    return frozen


def _findings(candles: Candles, *, now: datetime, confirmed: Spans) -> Iterator[Finding]:
    yield from _missing(candles, confirmed=confirmed)
    yield from _illegal(candles, now=now)
    outliers, frozen = find_outliers(candles), find_frozen(candles)
    if outliers.any():
        yield _at(Kind.OUTLIER, Severity.WARNING, candles, outliers)
    if frozen.any():
        yield _at(Kind.FROZEN, Severity.WARNING, candles, frozen)
    closed_at = candles.last_closed_at
    if closed_at is not None and now - closed_at > max(STALE_AFTER, 2 * candles.interval.length):
        late = int((now - closed_at) / candles.interval.length)
        yield Finding(kind=Kind.STALE, severity=Severity.NOTICE, count=late, spans=((closed_at, now),))


def _missing(candles: Candles, *, confirmed: Spans) -> Iterator[Finding]:
    gaps = find_gaps(candles.open_time, interval=candles.interval, confirmed=confirmed) if len(candles) else ()
    open_ones, told = [gap for gap in gaps if gap.unexplained], [gap for gap in gaps if gap.confirmed]
    if open_ones:
        count = sum(gap.unexplained for gap in open_ones)
        is_much = count > BAD_MISSING_SHARE * (len(candles) + count)
        yield _gaps(Kind.MISSING, Severity.BAD if is_much else Severity.WARNING, candles, open_ones, count)
    if told:
        yield _gaps(Kind.CONFIRMED, Severity.NOTICE, candles, told, sum(gap.confirmed for gap in told))


def _gaps(kind: Kind, severity: Severity, candles: Candles, gaps: list[Gap], count: int) -> Finding:
    spans = tuple((gap.after + candles.interval.length, gap.before) for gap in gaps[:SPANS_KEPT])
    return Finding(kind=kind, severity=severity, count=count, spans=spans)


def _illegal(candles: Candles, *, now: datetime) -> Iterator[Finding]:
    """The archive refuses such rows; they mean a file that was written by somebody else."""
    columns = {name: getattr(candles, name) for name in COLUMNS[1:]}
    for problem in find_problems(candles.open_time, columns, interval=candles.interval, now=now):
        opened = from_nanoseconds(candles.open_time[problem.first])
        kind = Kind.DUPLICATE if problem.kind == "duplicate" else Kind.INCONSISTENT
        yield Finding(kind=kind, severity=Severity.BAD, count=problem.count, spans=((opened, opened + candles.interval.length),))


def _at(kind: Kind, severity: Severity, candles: Candles, which: NDArray[np.bool_]) -> Finding:
    spans = slots_of(candles.open_time[which], interval=candles.interval)
    told = tuple((from_nanoseconds(start), from_nanoseconds(end)) for start, end in spans[:SPANS_KEPT].tolist())
    return Finding(kind=kind, severity=severity, count=int(which.sum()), spans=told)


def _usual_step(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,): the robust standard deviation of the steps around each, from medians of BLOCK-wise neighbourhoods."""
    size = min(BLOCK, len(steps))
    blocks = -(-len(steps) // size)
    padded = np.concatenate([np.abs(steps), np.abs(steps[-size:])])[: blocks * size]  # the last block borrows from before it
    rows = padded.reshape(blocks, size)
    around = np.concatenate([rows[[0, *range(blocks - 1)]], rows, rows[[*range(1, blocks), blocks - 1]]], axis=1)
    return np.asarray(1.4826 * np.repeat(np.median(around, axis=1), size)[: len(steps)])


def _is_positive(candles: Candles) -> bool:
    return all(bool(np.all(np.isfinite(getattr(candles, name)) & (getattr(candles, name) > 0))) for name in COLUMNS[1:5])
