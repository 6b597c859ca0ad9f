"""Cutting a series so that no bar that helped to choose also judges: hold-out and walk-forward, both with a purge.

    |──────────── search ────────────|─ purge ─|──── hold-out ────|

Sources: Pardo, "The Evaluation and Optimization of Trading Strategies", 2008 (walk-forward); López de Prado, "Advances in Financial
Machine Learning", 2018, ch. 7 (purge). Signals always begin at the series' first candle, so a part is a range of traded bars and
never a series of its own; the purge is as long as the longest look-back or holding, and so no answer after it stands on a bar before.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from backtests.candles.series import Candles
from backtests.engine import Setup
from backtests.strategies.base import Parameters, Strategy
from dgbot.core.clock import from_nanoseconds, to_nanoseconds
from dgbot.core.errors import BadInput

FEWEST_BARS = 100  # a part with fewer tells nothing


@dataclass(frozen=True)
class Span:
    """Bars [first, last), indices into the series."""

    first: int
    last: int

    def __len__(self) -> int:
        return max(self.last - self.first, 0)


@dataclass(frozen=True)
class Split:
    """One cut: what may be chosen by, what judges, and how many bars between them belong to neither."""

    search: Span
    judge: Span

    @property
    def purged(self) -> int:
        """Bars between the two."""
        return self.judge.first - self.search.last


def traded(candles: Candles, setup: Setup) -> Span:
    """The bars a setup trades in. Raises BadInput when there are none."""
    opened = candles.open_time
    first = 0 if setup.start is None else int(opened.searchsorted(to_nanoseconds(setup.start)))
    last = len(opened) if setup.end is None else int(opened.searchsorted(to_nanoseconds(setup.end)))
    if first >= last:
        raise BadInput(f"There is no candle of {candles.symbol} to trade in; the series holds {len(opened)}.")
    return Span(first, last)


def within(setup: Setup, candles: Candles, span: Span) -> Setup:
    """The setup that trades the bars of `span` alone."""
    start, last = from_nanoseconds(int(candles.open_time[span.first])), from_nanoseconds(int(candles.open_time[span.last - 1]))
    return replace(setup, start=start, end=last + candles.interval.length)


def purge_bars(strategy: Strategy[Any], sets: Iterable[Parameters], *, holding_bars: int = 0) -> int:
    """The longest of every set's look-back and `holding_bars`, the longest a position was or may be held."""
    return max(holding_bars, max((strategy.look_back(parameters) for parameters in sets), default=0))


def hold_out(span: Span, *, share: float, purge: int) -> Split:
    """The newest `share` (fraction) of `span` judges, `purge` bars before it belong to nobody, the rest may be searched.

    Raises BadInput for a share outside 0…1 and when a part would hold fewer than FEWEST_BARS bars.
    """
    if not 0 < share < 1:
        raise BadInput(f"The hold-out must be a share between 0 and 1 of the candles, was {share:g}.")
    first = span.last - round(len(span) * share)
    split = Split(search=Span(span.first, first - purge), judge=Span(first, span.last))
    _check((split,), span=span, purge=purge)
    return split


def walk_forward(span: Span, *, folds: int, purge: int) -> tuple[Split, ...]:
    """`folds` cuts, oldest first: block k is judged by what blocks 0…k−1 chose, `span` being folds + 1 equal blocks.

    The searched part grows from fold to fold (anchored), because signals begin at the anchor in any case.
    Raises BadInput for fewer than one fold and when a part would hold fewer than FEWEST_BARS bars.
    """
    if folds < 1:
        raise BadInput(f"A walk forward needs at least 1 fold, was {folds}.")
    edges = [span.first + len(span) * number // (folds + 1) for number in range(folds + 2)]
    cuts = tuple(Split(search=Span(span.first, begin - purge), judge=Span(begin, end)) for begin, end in pairwise(edges[1:]))
    _check(cuts, span=span, purge=purge)
    return cuts


def _check(splits: tuple[Split, ...], *, span: Span, purge: int) -> None:
    shortest = min(min(len(split.search), len(split.judge)) for split in splits)
    if shortest < FEWEST_BARS:
        raise BadInput(
            f"{len(span)} candles are too few to search, purge {purge} and judge: a part would hold {shortest}, "
            f"it needs {FEWEST_BARS}; take more candles, fewer folds, or bound the parameters to shorter look-backs."
        )
