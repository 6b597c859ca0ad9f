"""What a strategy is: parameters that know their bounds, signals that know what is unknown, and a name."""

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from dgbot.core.errors import BadInput

if TYPE_CHECKING:
    from backtests.strategies.exits import ExitRules  # its parameters build on this module

UNKNOWN, NO, YES = -1, 0, 1

Answers = NDArray[np.int8]
Times = NDArray[np.int64]
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
    def kinds(cls) -> dict[str, type]:
        """Name → bool, int or float, in the order of a form."""
        return {one.name: one.type for one in fields(cls)}  # type: ignore[misc]  # plain classes, none of them a string

    def changed(self) -> dict[str, float]:
        """What differs from the defaults: the stored form."""
        return {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}

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
class Decisions:
    """Stored answers of an analyst, oldest first, for strategies that replay them: arrays (n,), one value per decision.

    decided_at: int64, ns UTC. entry, exit: int8, what it told: YES, NO, or UNKNOWN where it abstained.
    confidence: float64, 0…100; NaN where the rule does not apply. stop_distance, target_distance: float64, quote currency
    from the entry price; NaN none. Raises ValueError when the columns differ in length or time runs backwards.
    """

    decided_at: Times
    entry: Answers
    exit: Answers
    confidence: Numbers
    stop_distance: Numbers
    target_distance: Numbers

    def __post_init__(self) -> None:
        lengths = {one.name: len(getattr(self, one.name)) for one in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of decisions must be equally long, were {lengths}")
        if (np.diff(self.decided_at) < 0).any():
            raise ValueError("decisions must be sorted by decided_at, oldest first")

    @classmethod
    def none(cls) -> "Decisions":
        """No decision at all."""
        nothing, silent = np.empty(0), np.empty(0, dtype=np.int8)
        return cls(np.empty(0, dtype=np.int64), silent, silent, nothing, nothing, nothing)


LEFT_OUT: Any = None  # a column a strategy does not give


@dataclass(frozen=True, eq=False)
class Signals:
    """What a strategy says at each close: arrays (n,), one value per candle. What it leaves out has the value in brackets.

    entry, short_entry [NO]: int8, YES enters long (short) at the next open, NO does not, UNKNOWN where a gate or a distance it
    needs is unknown. exit, short_exit [NO]: int8, YES leaves a long (short) at the next open, UNKNOWN says nothing.
    stop_distance, target_distance, fakeout_distance [NaN]: float64, quote currency from the entry price, against the position
    for stop and fake-out, with it for the target; NaN: the strategy gives none and the risk profile's fraction alone holds.
    strength [NaN]: float64, ADX14; NaN unknown. size_hint [1]: float64, 0…1, share of the allowed size.
    gates: name → int8 in YES, NO, UNKNOWN, for hit rates; those of the short side are called `short_…`.
    """

    entry: Answers
    short_entry: Answers = LEFT_OUT
    exit: Answers = LEFT_OUT
    short_exit: Answers = LEFT_OUT
    stop_distance: Numbers = LEFT_OUT
    target_distance: Numbers = LEFT_OUT
    fakeout_distance: Numbers = LEFT_OUT
    strength: Numbers = LEFT_OUT
    size_hint: Numbers = LEFT_OUT
    gates: dict[str, Answers] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.entry)
        for name, left_out in COLUMNS.items():
            column = getattr(self, name)
            if column is LEFT_OUT:
                object.__setattr__(self, name, np.broadcast_to(left_out, count))  # one value, read-only, whatever the length
            elif column.dtype != left_out.dtype or column.shape != (count,):
                raise ValueError(f"{name} must be {left_out.dtype} of shape ({count},), was {column.dtype} of shape {column.shape}")

    def hit_rates(self) -> dict[str, float]:
        """Share of the bars at which each gate was open, of those where it was known; NaN when it never was."""
        return {name: _share(answers) for name, answers in self.gates.items()}


COLUMNS: dict[str, np.int8 | np.float64] = {
    "entry": np.int8(NO),
    "short_entry": np.int8(NO),
    "exit": np.int8(NO),
    "short_exit": np.int8(NO),
    "stop_distance": np.float64(math.nan),
    "target_distance": np.float64(math.nan),
    "fakeout_distance": np.float64(math.nan),
    "strength": np.float64(math.nan),
    "size_hint": np.float64(1),
}


@dataclass(frozen=True)
class Strategy(Generic[P]):
    """A strategy by name; title and description are plain English, translated by the face that shows them.

    signals(candles, parameters) → Signals; where `needs_decisions`, also signals(candles, parameters, decisions).
    exit_rules(parameters): what is asked of a position at each close. warm_up(parameters): bars, from the anchor on, at which
    every answer is unknown. look_back(parameters): the answer at a bar depends on this many bars up to it, itself included;
    where `is_recursive`, older bars weigh under a thousandth each. needs_btc: its candles of BTC must be collected, too.
    """

    name: str
    title: str
    description: str
    parameters: type[P]
    warm_up: Callable[[P], int]
    look_back: Callable[[P], int]
    signals: Callable[..., Signals]
    exit_rules: "Callable[[P], ExitRules]"
    allows_shorts: bool = False
    is_recursive: bool = False
    needs_btc: bool = False
    needs_decisions: bool = False


def answers(condition: NDArray[np.bool_], *inputs: Numbers) -> Answers:
    """YES or NO by `condition`, UNKNOWN where one of the `inputs` it compares is NaN. All (n,)."""
    found = condition.astype(np.int8)  # YES is 1, NO is 0
    for column in inputs:
        np.putmask(found, ~np.isfinite(column), UNKNOWN)
    return found


def exceeds(left: Numbers, right: Numbers, *, left_times: float = 1.0, right_times: float = 1.0) -> Answers:
    """YES where left · left_times > right · right_times, UNKNOWN where one of them is; one pass, as gates are asked at every bar."""
    from backtests.indicator_kernels import compare

    found: Answers = np.empty(len(left), dtype=np.int8)
    compare(left, left_times, right, right_times, found)
    return found


def scaled(column: Numbers, by: float) -> Numbers:
    """`column` times a number; itself, not a copy, times one."""
    return column if by == 1.0 else by * column


def all_open(gates: Mapping[str, Answers]) -> Answers:
    """YES where every gate is, UNKNOWN where one is unknown, NO elsewhere. (n,) int8."""
    columns = list(gates.values())
    found = columns[0].copy()
    for column in columns[1:]:
        np.minimum(found, column, out=found)  # UNKNOWN < NO < YES: the least sure one holds
    return found


ROUNDING = 1e-9  # of the price: running means of equal prices differ by less, and a cross within it is no cross


def is_above(left: Numbers, right: Numbers) -> NDArray[np.bool_]:
    """Whether `left` exceeds `right` by more than rounding; False where one is unknown. (n,)."""
    return left - right > ROUNDING * np.abs(right)


def crosses_above(left: Numbers, right: Numbers) -> NDArray[np.bool_]:
    """Whether `left` is above `right` at this bar and was not at the bar before; False at the first bar. (n,)."""
    above = is_above(left, right)
    return above & ~before(above, first=True) & np.isfinite(before(left - right, first=np.nan))


def before(values: NDArray[Any], *, first: Any) -> NDArray[Any]:
    """Each bar's predecessor; `first` has none. (n,) → (n,)."""
    return np.concatenate([np.asarray([first], dtype=values.dtype), values[:-1]]) if len(values) else values


def within(events: NDArray[np.bool_], bars: int) -> NDArray[np.bool_]:
    """Whether one of the `bars` bars up to t, t included, is an event. (n,)."""
    latest = np.maximum.accumulate(np.where(events, np.arange(len(events)), -bars))
    return np.arange(len(events)) - latest < bars


def unknown_before(warm_up: int, column: Answers) -> Answers:
    """`column` with its first `warm_up` answers unknown. (n,) int8."""
    return np.where(np.arange(len(column)) < warm_up, UNKNOWN, column).astype(np.int8)


def _share(answers: Answers) -> float:
    known = np.count_nonzero(answers != UNKNOWN)
    return np.count_nonzero(answers == YES) / known if known else math.nan


def _number(one: Field[Any], value: object) -> float:
    if one.type is bool:
        if value not in (False, True):
            raise BadInput(f"Parameter {one.name} must be true or false, was {value!r}.")
        return bool(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or (one.type is int and value != int(value)):  # type: ignore[call-overload]
        raise BadInput(f"Parameter {one.name} must be a {'whole ' if one.type is int else ''}number, was {value!r}.")
    return one.type(value)  # type: ignore[operator,no-any-return]
