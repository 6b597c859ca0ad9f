"""A series at one look, as numbers for a drawing: what is covered when, where it is not, the price, and the outliers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtests.candles.quality import find_outliers
from backtests.candles.series import Candles
from backtests.candles.spans import NOTHING, Spans, covered_before, slots_of, united
from dgbot.core.clock import from_nanoseconds

WIDTH, PRICE_HEIGHT, BAR_TOP, BAR_HEIGHT = 960, 150, 166, 22
CELLS, POINTS = 480, 480
SMALLEST = 3.0  # wide enough to be seen: one missing hour of four years is 0.03 units
MOST_OUTLIERS = 200
FULL, CONFIRMED, MISSING = "full", "confirmed", "missing"


@dataclass(frozen=True)
class Stretch:
    """A piece of the bar in drawing units, all of one kind: full, confirmed or missing."""

    kind: str
    left: float
    width: float
    label: str


@dataclass(frozen=True)
class Picture:
    """Everything a template needs to draw. Prices rise upward; `line` is an SVG list of points."""

    line: str
    stretches: tuple[Stretch, ...]
    outliers: tuple[tuple[float, float, str], ...]  # left, top, label
    ticks: tuple[tuple[float, str], ...]  # left, date
    highest: float
    lowest: float


def draw(candles: Candles, *, confirmed: Spans = NOTHING) -> Picture:
    """The picture of a series with at least one candle. confirmed: time the exchange says it has no candles for."""
    start, end = int(candles.open_time[0]), int(candles.open_time[-1]) + candles.interval.nanoseconds
    scale = WIDTH / (end - start)
    low, high = float(candles.low.min()), float(candles.high.max())
    left = np.asarray((candles.open_time - start) * scale, dtype=np.float64)
    top = np.asarray((high - candles.close) / ((high - low) or 1.0) * PRICE_HEIGHT, dtype=np.float64)
    marked = np.flatnonzero(find_outliers(candles))[:MOST_OUTLIERS]
    return Picture(
        line=_line(left, top),
        stretches=_stretches(candles, confirmed, start=start, end=end, scale=scale),
        outliers=tuple(
            (
                round(float(left[at]), 1),
                round(float(top[at]), 1),
                f"{from_nanoseconds(candles.open_time[at]):%Y-%m-%d %H:%M} UTC: {candles.close[at]:,.15g}",
            )
            for at in marked
        ),
        ticks=tuple(
            (round(share * WIDTH, 1), f"{from_nanoseconds(start + int((end - start) * share)):%Y-%m-%d}")
            for share in (0, 0.25, 0.5, 0.75, 1)
        ),
        highest=high,
        lowest=low,
    )


def _line(left: NDArray[np.float64], top: NDArray[np.float64]) -> str:
    """The closes, thinned so that each group shows its highest and its lowest."""
    size = max(1, -(-len(left) // POINTS))
    starts = np.arange(0, len(left), size)
    lows, highs = np.minimum.reduceat(top, starts), np.maximum.reduceat(top, starts)
    points = [
        (left[at], value) for at, low, high in zip(starts, lows, highs, strict=True) for value in ((low, high) if size > 1 else (low,))
    ]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _stretches(candles: Candles, confirmed: Spans, *, start: int, end: int, scale: float) -> tuple[Stretch, ...]:
    edges = np.linspace(start, end, CELLS + 1).astype(np.int64)
    there = slots_of(candles.open_time, interval=candles.interval)
    length = np.diff(edges)
    uncovered = length - np.diff(covered_before(there, edges))
    unexplained = length - np.diff(covered_before(united(there, confirmed), edges))
    kinds = np.where(unexplained > 0, 2, np.where(uncovered > 0, 1, 0))
    first = np.flatnonzero(np.diff(kinds, prepend=-1))
    drawn = []
    for at, until in zip(first.tolist(), [*first[1:].tolist(), CELLS], strict=True):
        kind = (FULL, CONFIRMED, MISSING)[kinds[at]]
        count = int((uncovered if kind == CONFIRMED else unexplained)[at:until].sum()) // candles.interval.nanoseconds
        width = max(float(edges[until] - edges[at]) * scale, SMALLEST)
        label = f"{from_nanoseconds(edges[at]):%Y-%m-%d %H:%M} – {from_nanoseconds(edges[until]):%Y-%m-%d %H:%M} UTC"
        drawn.append(
            Stretch(
                kind=kind,
                left=float(edges[at] - start) * scale,
                width=width,
                label=label + (f": {max(count, 1):,}" if kind != FULL else ""),
            )
        )
    return tuple(sorted(drawn, key=lambda stretch: (FULL, CONFIRMED, MISSING).index(stretch.kind)))  # what matters is drawn last
