"""What a strategy is: parameters that know their bounds, signals that know what is unknown, and a name."""

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from dgbot.core.errors import BadInput

UNKNOWN, NO, YES = -1, 0, 1

Answers = NDArray[np.int8]
Numbers = NDArray[np.float64]
P = TypeVar("P", bound="Parameters")


@dataclass(frozen=True)
class Bounds:
    """What a form says of one parameter; both limits are allowed values."""

    low: float
    high: float
    unit: str
    help: str


def bounded(default: float, *, low: float, high: float, unit: str, help: str) -> Any:
    """A parameter: a dataclass field with its bounds. An integer field takes whole numbers only."""
    return field(default=default, metadata={"bounds": Bounds(low=low, high=high, unit=unit, help=help)})


@dataclass(frozen=True)
class Parameters:
    """Base of every strategy's parameters: numbers with bounds, the defaults are the strategy as designed."""

    @classmethod
    def bounds(cls) -> dict[str, Bounds]:
        """Name → bounds, in the order of a form."""
        return {one.name: one.metadata["bounds"] for one in fields(cls)}

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Self:
        """Parameters from a form or a stored row; what is not given keeps its default. Raises BadInput with one sentence."""
        unknown = sorted(set(values) - set(cls.bounds()))
        if unknown:
            raise BadInput(f"Parameter {unknown[0]!r} is not known; known are {', '.join(cls.bounds())}.")
        parameters = cls(**{one.name: _number(one, values[one.name]) for one in fields(cls) if one.name in values})
        parameters.validate()
        return parameters

    def validate(self) -> None:
        """Raises BadInput naming the first parameter of a wrong kind or outside its bounds."""
        for one in fields(self):
            value, bounds = _number(one, getattr(self, one.name)), one.metadata["bounds"]
            if not bounds.low <= value <= bounds.high:
                raise BadInput(f"Parameter {one.name} is {value:g} {bounds.unit}; it must lie in {bounds.low:g}…{bounds.high:g}.")


@dataclass(frozen=True, eq=False)
class Signals:
    """What a strategy says at each close: arrays (n,), one value per candle.

    entry: int8, YES enters long at the next open, NO does not, UNKNOWN where a gate or the stop distance is unknown.
    stop_distance, target_distance, fakeout_distance: float64, quote currency, measured from the entry price; NaN unknown.
    strength: float64, ADX14; NaN unknown. gates: name → int8 in YES, NO, UNKNOWN, for hit rates.
    """

    entry: Answers
    stop_distance: Numbers
    target_distance: Numbers
    fakeout_distance: Numbers
    strength: Numbers
    gates: dict[str, Answers]

    def hit_rates(self) -> dict[str, float]:
        """Share of the bars at which each gate was open, of those where it was known; NaN when it never was."""
        return {name: _share(answers) for name, answers in self.gates.items()}


@dataclass(frozen=True)
class Strategy(Generic[P]):
    """A strategy by name. warm_up: bars, from the anchor on, at which every answer is unknown."""

    name: str
    parameters: type[P]
    warm_up: Callable[[P], int]
    signals: Callable[[Candles, P], Signals]


def answers(condition: NDArray[np.bool_], *inputs: Numbers) -> Answers:
    """YES or NO by `condition`, UNKNOWN where one of the `inputs` it compares is NaN. All (n,)."""
    is_known = np.isfinite(inputs).all(axis=0)
    return np.where(is_known, np.where(condition, YES, NO), UNKNOWN).astype(np.int8)


def all_open(gates: Mapping[str, Answers]) -> Answers:
    """YES where every gate is, UNKNOWN where one is unknown, NO elsewhere. (n,) int8."""
    stacked = np.stack(list(gates.values()))
    is_known = (stacked != UNKNOWN).all(axis=0)
    return np.where(is_known, (stacked == YES).all(axis=0), UNKNOWN).astype(np.int8)


def _share(answers: Answers) -> float:
    known = answers[answers != UNKNOWN]
    return float(np.mean(known == YES)) if len(known) else math.nan


def _number(one: Field[Any], value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or (one.type is int and value != int(value)):  # type: ignore[call-overload]
        raise BadInput(f"Parameter {one.name} must be a {'whole ' if one.type is int else ''}number, was {value!r}.")
    return one.type(value)  # type: ignore[operator,no-any-return]
