"""Finds a strategy that looks ahead: cut the later bars off, and nothing already said may change."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from backtests.candles.series import Candles
from backtests.strategies.base import COLUMNS, Signals


@dataclass(frozen=True)
class Leak:
    """What changed: the answer at `bar` in `column`, known with `candle_count` candles, is another with all of them."""

    column: str
    bar: int
    candle_count: int

    def __str__(self) -> str:
        return f"{self.column} at bar {self.bar} is not the same with {self.candle_count} candles as with later ones: it looks ahead"


def find_leak(signals: Callable[[Candles], Signals], candles: Candles, *, counts: Iterable[int] | None = None) -> Leak | None:
    """The first answer that depends on a later candle, None when there is none.

    signals: the strategy with its parameters bound. counts: how many candles to leave, each once; by default every number.
    """
    whole = columns_of(signals(candles))
    for count in range(len(candles) + 1) if counts is None else counts:
        for name, column in columns_of(signals(candles.prefix(count))).items():
            differs = ~np.equal(column, whole[name][:count]) & ~(np.isnan(column) & np.isnan(whole[name][:count]))
            if differs.any():
                return Leak(column=name, bar=int(np.argmax(differs)), candle_count=count)
    return None


def columns_of(signals: Signals) -> dict[str, np.ndarray]:
    """Every column and every gate by name."""
    return {name: getattr(signals, name) for name in COLUMNS} | {f"gate {name}": gate for name, gate in signals.gates.items()}
