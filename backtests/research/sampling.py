"""Parameter sets that cover a space evenly: scrambled Sobol points over typed, bounded parameters.

Sources: Sobol 1967; Owen, "Scrambling Sobol' and Niederreiter–Xing points", Journal of Complexity 14 (4), 1998. A whole number gets
every value between its bounds with the same weight; where a range spans WIDE or more, its logarithm is covered evenly, so that 2…20
bars get as many sets as 200…2,000. Exits are drawn EXITS_PER_SIGNAL times as densely as signals: sets that differ in exits alone
share their signals in the engine, and cost a tenth.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.strategies.base import Parameters, Strategy
from backtests.strategies.exits import ExitParameters
from dgbot.core.errors import BadInput

WIDE = 50.0
EXITS_PER_SIGNAL = 16


@dataclass(frozen=True)
class Range:
    """Where one parameter may lie, both ends included."""

    low: float
    high: float
    kind: type

    @property
    def is_wide(self) -> bool:
        """Whether its logarithm is covered rather than itself."""
        return self.low > 0 and self.high / self.low >= WIDE

    def at(self, place: float) -> float:
        """The value at `place` in [0, 1)."""
        if self.kind is bool:
            return bool(place >= 0.5) if self.low != self.high else bool(self.low)
        low, high = (self.low, self.high + 1) if self.kind is int else (self.low, self.high)
        value = math.exp(math.log(low) + place * math.log(high / low)) if self.is_wide else low + place * (high - low)
        if self.kind is int:
            return int(min(max(math.floor(value + 1e-9), self.low), self.high))
        return min(max(value, self.low), self.high)


def space_of(strategy: Strategy[Any], narrowed: Mapping[str, tuple[float, float]] | None = None) -> dict[str, Range]:
    """Every parameter's range, its own bounds unless `narrowed` says less. Equal ends fix it.

    Raises BadInput for an unknown name and for a range that is empty or outside the parameter's own bounds.
    """
    narrowed, kinds = narrowed or {}, strategy.parameters.kinds()
    unknown = sorted(set(narrowed) - set(kinds))
    if unknown:
        raise BadInput(f"Parameter {unknown[0]!r} is not known; known are {', '.join(kinds)}.")
    space = {}
    for name, bounds in strategy.parameters.bounds().items():
        low, high = narrowed.get(name, (bounds.low, bounds.high))
        if not bounds.low <= low <= high <= bounds.high:
            raise BadInput(f"Parameter {name} cannot be searched in {low:g}…{high:g}; it must lie in {bounds.low:g}…{bounds.high:g}.")
        if kinds[name] is int and (low != int(low) or high != int(high)):
            raise BadInput(f"Parameter {name} takes whole numbers; {low:g}…{high:g} are none.")
        space[name] = Range(low=low, high=high, kind=kinds[name])
    return space


def sobol_sets(strategy: Strategy[Any], space: Mapping[str, Range], *, seed: int, start: int, count: int) -> list[Parameters]:
    """Sets number `start` … `start + count` of the sequence that `seed` names: the same for every call, however it is cut."""
    exits = {one.name for one in fields(ExitParameters)} if issubclass(strategy.parameters, ExitParameters) else set()
    open_names = [name for name, one in space.items() if one.low != one.high]
    signal_names, exit_names = [name for name in open_names if name not in exits], [name for name in open_names if name in exits]
    density = EXITS_PER_SIGNAL if signal_names and exit_names else 1
    first = start // density
    signals = _points(len(signal_names), seed=seed, start=first, count=(start + count - 1) // density - first + 1)
    of_exits = _points(len(exit_names), seed=seed + 1, start=start, count=count)
    fixed = {name: one.at(0.0) for name, one in space.items() if one.low == one.high}
    sets = []
    for number in range(count):
        row = signals[(start + number) // density - first]
        values = fixed | dict(_placed(signal_names, row, space)) | dict(_placed(exit_names, of_exits[number], space))
        sets.append(strategy.parameters.of(values))
    return sets


def neighbours(parameters: Parameters, space: Mapping[str, Range], *, step: float = 0.1) -> list[Parameters]:
    """Sets that differ from `parameters` in one open parameter by `step` of its range, both ways; whole numbers by at least 1.

    A yes-or-no parameter has its opposite. Steps that would leave the range are cut to its end; what stays equal is left out.
    """
    found: dict[Parameters, None] = {}
    for name, one in space.items():
        value = getattr(parameters, name)
        for moved in _steps(float(value), one, step=step):
            given = {each: getattr(parameters, each) for each in space} | {name: moved}
            found[type(parameters).of(given)] = None
    found.pop(parameters, None)
    return list(found)


def _steps(value: float, one: Range, *, step: float) -> Iterator[float]:
    if one.low == one.high:
        return
    if one.kind is bool:
        yield not value
        return
    for sign in (-1, 1):
        moved = value * (one.high / one.low) ** (sign * step) if one.is_wide else value + sign * step * (one.high - one.low)
        if one.kind is int:
            moved = min(math.floor(moved), value - 1) if sign < 0 else max(math.ceil(moved), value + 1)
        bounded = min(max(moved, one.low), one.high)
        yield int(bounded) if one.kind is int else bounded


def _points(dimensions: int, *, seed: int, start: int, count: int) -> NDArray[np.float64]:
    if not dimensions:
        return np.zeros((count, 0))
    from scipy.stats import qmc  # a second of import, needed by searches alone

    engine = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed))
    if start:
        engine.fast_forward(start)
    # A power of two keeps the points balanced; what is too much is left out.
    drawn: NDArray[np.float64] = engine.random(1 << (count - 1).bit_length())[:count]
    return drawn


def _placed(names: Sequence[str], places: NDArray[np.float64], space: Mapping[str, Range]) -> Iterator[tuple[str, float]]:
    return ((name, space[name].at(float(place))) for name, place in zip(names, places, strict=True))
