"""Parity: what a bot did against what the engine does with the same candles, trade by trade, and why they differ.

    engine's trips ┐                    ┌ equal: same bar, same lots, money within the tolerance
                   ├─ pair ─► each pair ┤
    bot's trips    ┘                    └ different ─► explain(pair, evidence) ─► one of eight kinds, with its evidence

A trip is one stay in the market: an entry and the sales that end it. Causes are asked in a fixed order, from what makes every
comparison void (somebody traded by hand) over what only the execution can have caused, to candles, settings and time; what is left
when nothing that is stored explains it is a defect, ours.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from dgbot.core.money import plain

NEAREST_BARS = 3  # an entry that came this many bars late is still the same entry
ZERO = Decimal(0)


class Kind(StrEnum):
    """Why two trades differ."""

    DATA = "data"  # other candles than those at hand now, or a price that no candle holds
    FEE = "fee"  # another rate than the engine was told
    SLIPPAGE = "slippage"  # the book gave another price than the assumed one
    LATENCY = "latency"  # it came later, and the market had moved; or it came too late to be done
    FILL = "fill"  # the exchange filled a part or nothing, or the prices inside the bar came in another order
    SETTINGS = "settings"  # it was traded under other settings or limits than those of today
    MANUAL = "manual"  # a person acted, or the bot was not running
    DEFECT = "defect"  # nothing that is stored explains it: ours


@dataclass(frozen=True)
class Fill:
    """Everything bought or sold for one reason inside one bar. total, fee: quote currency; lots: whole lot steps.

    at, order, levels: of what a bot did; the engine knows the bar alone. levels: how many executions it took.
    """

    opened_at: datetime
    side: str
    reason: str
    lots: int
    total: Decimal
    fee: Decimal
    at: datetime | None = None
    order: int | None = None
    levels: int = 1

    def price(self, *, lot_step: Decimal) -> Decimal:
        """The mean, quote currency."""
        return self.total / (self.lots * lot_step)


@dataclass(frozen=True)
class Trip:
    """One stay in the market, oldest fill first."""

    entry: Fill
    exits: tuple[Fill, ...] = ()

    @property
    def fills(self) -> tuple[Fill, ...]:
        """All of them."""
        return self.entry, *self.exits


@dataclass(frozen=True)
class Pair:
    """A fill of the engine and the one of the bot that stands for it; one of them may be missing. trip: its number, from 1."""

    trip: int
    expected: Fill | None
    actual: Fill | None

    @property
    def fill(self) -> Fill:
        """Whichever there is; the bot's first."""
        found = self.actual or self.expected
        assert found is not None
        return found


@dataclass(frozen=True)
class Evidence:
    """What is stored about the moment of a pair; an empty text says that nothing of the kind is known.

    by_hand: who acted, or that nobody let the bot act. data, settings: what differs. late: why it could not be done in time.
    unfilled: what the exchange left. failed: what of ours broke. reference: best price at hand when it was decided, quote.
    low, high: of the bot's bar, quote; None unknown. fee_rate: what the engine was told, fraction.
    """

    by_hand: str = ""
    data: str = ""
    settings: str = ""
    late: str = ""
    unfilled: str = ""
    failed: str = ""
    reference: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    fee_rate: Decimal = ZERO


@dataclass(frozen=True)
class Tolerance:
    """What counts as the same. money: quote currency, of a total or a fee. lot_step: base. slippage: fraction a price may lie off."""

    money: Decimal
    lot_step: Decimal
    slippage: Decimal
    bar: timedelta


@dataclass(frozen=True)
class Difference:
    """One pair that is not equal, why, and what shows it. follows: number of the difference it comes from, from 1; 0: none."""

    number: int
    pair: Pair
    kind: Kind
    why: str
    money: Decimal  # quote currency the bot is better off by; of a missing or additional fill nothing is said: 0
    follows: int = 0

    def as_row(self) -> dict[str, object]:
        """As it is stored and shown."""
        return {
            "number": self.number,
            "trip": self.pair.trip,
            "kind": self.kind.value,
            "why": self.why,
            "follows": self.follows,
            "money": plain(self.money),
            "engine": _row(self.pair.expected),
            "bot": _row(self.pair.actual),
        }


@dataclass(frozen=True)
class Compared:
    """All pairs of a span. equal: how many are the same."""

    pairs: tuple[Pair, ...]
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> int:
        """Pairs without a difference."""
        return len(self.pairs) - len(self.differences)

    @property
    def kinds(self) -> dict[str, int]:
        """How many differences of each kind, in the order of the kinds."""
        counts = {kind.value: sum(one.kind is kind for one in self.differences) for kind in Kind}
        return {kind: count for kind, count in counts.items() if count}


EvidenceOf = Callable[[Pair], Evidence]


def compare(expected: Sequence[Trip], actual: Sequence[Trip], *, evidence_of: EvidenceOf, tolerance: Tolerance) -> Compared:
    """Pair all fills and explain what differs. evidence_of is asked only about pairs that do."""
    pairs = paired(expected, actual, bar=tolerance.bar)
    found: list[Difference] = []
    for pair in pairs:
        if not is_equal(pair, tolerance=tolerance):
            kind, why, follows = _explained(pair, evidence_of(pair), before=found, pairs=pairs, tolerance=tolerance)
            found.append(Difference(len(found) + 1, pair, kind, why, _gain(pair), follows))
    return Compared(pairs=tuple(pairs), differences=tuple(found))


def paired(expected: Sequence[Trip], actual: Sequence[Trip], *, bar: timedelta) -> list[Pair]:
    """Trips that entered in the same bar belong together, then the nearest that came up to NEAREST_BARS late or early; in order of time."""
    left, unpaired = list(actual), list(expected)
    together: list[tuple[Trip | None, Trip | None]] = []
    for reach in range(NEAREST_BARS + 1):
        for one in list(unpaired):
            other = next((other for other in left if abs(other.entry.opened_at - one.entry.opened_at) == reach * bar), None)
            if other is not None:
                left.remove(other)
                unpaired.remove(one)
                together.append((one, other))
    together += [(one, None) for one in unpaired] + [(None, other) for other in left]
    together.sort(key=lambda both: min(trip.entry.opened_at for trip in both if trip is not None))
    pairs = [pair for number, (one, other) in enumerate(together, 1) for pair in _pairs_of(number, one, other)]
    return sorted(pairs, key=lambda pair: (min(fill.opened_at for fill in (pair.expected, pair.actual) if fill is not None), pair.trip))


def is_equal(pair: Pair, *, tolerance: Tolerance) -> bool:
    """Same bar, same lots, total and fee within the tolerance (DESIGN §10)."""
    mine, other = pair.expected, pair.actual
    if mine is None or other is None:
        return False
    return (
        mine.opened_at == other.opened_at
        and mine.lots == other.lots
        and abs(mine.total - other.total) <= tolerance.money
        and abs(mine.fee - other.fee) <= tolerance.money
    )


def _pairs_of(number: int, one: Trip | None, other: Trip | None) -> Iterable[Pair]:
    mine, theirs = () if one is None else one.fills, () if other is None else other.fills
    for place in range(max(len(mine), len(theirs))):
        yield Pair(number, mine[place] if place < len(mine) else None, theirs[place] if place < len(theirs) else None)


def _explained(
    pair: Pair, evidence: Evidence, *, before: Sequence[Difference], pairs: Sequence[Pair], tolerance: Tolerance
) -> tuple[Kind, str, int]:
    """Kind, reason, and the number of the difference it follows from."""
    if evidence.by_hand:
        return Kind.MANUAL, evidence.by_hand, 0
    root = _root(pair, before)
    if root is not None:
        return root.kind, f"Follows from difference {root.number}: {_AFTERMATH[pair.fill.side == 'buy']}", root.number
    told = _of_execution(pair, evidence, tolerance=tolerance)  # only how it was done differs, so not why
    if told is None:
        told = next(((kind, why) for kind, why in ((Kind.DATA, evidence.data), (Kind.SETTINGS, evidence.settings)) if why), None)
    if told is None:
        told = _of_decision(pair, evidence, tolerance=tolerance)
        if told[0] is Kind.DEFECT and before and not evidence.failed and _is_shadowed(pair, before[-1], pairs=pairs):
            last = before[-1]
            return last.kind, f"Follows from difference {last.number}: spacing, the daily count or the equity were others.", last.number
    return (*told, 0)


_AFTERMATH = {True: "the entry itself differs.", False: "what is sold, or where, hangs on the entry."}


def _root(pair: Pair, before: Sequence[Difference]) -> Difference | None:
    """The difference of the same trip that came first: a trip bought otherwise is sold otherwise."""
    first = next((one for one in before if one.pair.trip == pair.trip), None)
    if first is None:
        return None
    return next((one for one in before if one.number == first.follows), first)


def _is_shadowed(pair: Pair, last: Difference, *, pairs: Sequence[Pair]) -> bool:
    """Whether nothing was equal between the last difference and this one, so that the two histories had not met again.

    An entry that one side makes alone within a day of a difference hangs on spacing and daily count; so do lots on equity.
    """
    between = [one for one in pairs if last.pair.fill.opened_at < one.fill.opened_at < pair.fill.opened_at]
    is_near = pair.fill.opened_at - last.pair.fill.opened_at <= timedelta(days=1)
    return not between or is_near or (pair.expected is not None and pair.actual is not None)


def _of_execution(pair: Pair, evidence: Evidence, *, tolerance: Tolerance) -> tuple[Kind, str] | None:
    """The kind when both did the same thing in the same bar and only price, part or fee differ; None when they did not."""
    mine, other = pair.expected, pair.actual
    if mine is None or other is None or mine.opened_at != other.opened_at:
        return None
    if evidence.unfilled:
        return Kind.FILL, evidence.unfilled
    if _is_within(mine, other, tolerance=tolerance):
        return _of_fee(mine, other, evidence) if mine.lots == other.lots else None
    price, assumed = (one.price(lot_step=tolerance.lot_step) for one in (other, mine))
    if _is_off_the_candle(price, evidence, tolerance=tolerance):
        assert evidence.low is not None and evidence.high is not None  # off a candle that is known
        span = f"{plain(evidence.low)} to {plain(evidence.high)}"
        return Kind.DATA, f"It was traded at {_shown(price)}, and the candle at hand knows {span} only."
    if other.reason == mine.reason and _lots_follow(mine, other, tolerance=tolerance):
        return _of_price(price, assumed, other, evidence)
    return None


def _of_decision(pair: Pair, evidence: Evidence, *, tolerance: Tolerance) -> tuple[Kind, str]:
    """The kind when something else, or at another time, was done on the same candles and under the same settings."""
    mine, other = pair.expected, pair.actual
    for kind, why in ((Kind.LATENCY, evidence.late), (Kind.FILL, evidence.unfilled), (Kind.DEFECT, evidence.failed)):
        if why:
            return kind, why
    if mine is None or other is None:
        who = "The bot traded where the engine does not" if mine is None else "The engine trades where the bot did not"
        return Kind.DEFECT, f"{who}, on the same candles and under the same settings."
    if other.opened_at > mine.opened_at:
        return Kind.LATENCY, f"It came {(other.opened_at - mine.opened_at) // tolerance.bar} candles late."
    if other.opened_at < mine.opened_at:
        return Kind.DEFECT, f"It came {(mine.opened_at - other.opened_at) // tolerance.bar} candles before the engine's."
    if other.reason != mine.reason:
        return Kind.FILL, f"The bot left by {other.reason}, the engine by {mine.reason}: which price came first in a candle is assumed."
    return Kind.DEFECT, f"{other.lots} lots were traded instead of {mine.lots}, and nothing that is stored says why."


def _of_price(price: Decimal, assumed: Decimal, other: Fill, evidence: Evidence) -> tuple[Kind, str]:
    """Which part of the way from the assumed to the real price the market had moved, and which part the book took."""
    off = f"{_shown(price)} instead of {_shown(assumed)} ({(price / assumed - 1) * 100:+.3f} %)"
    if evidence.reference is None:
        return Kind.SLIPPAGE, f"It was traded at {off}."
    moved, slipped = evidence.reference - assumed, price - evidence.reference
    parts = f"{_shown(moved)} until it was decided, {_shown(slipped)} in the book"
    if abs(moved) > abs(slipped):
        return Kind.LATENCY, f"It was traded at {off}: {parts}."
    return Kind.SLIPPAGE, f"It was traded at {off}: {parts}; {other.levels} executions."


def _of_fee(mine: Fill, other: Fill, evidence: Evidence) -> tuple[Kind, str]:
    paid = other.fee / other.total * 100
    return (
        Kind.FEE,
        f"The fee was {plain(other.fee)} instead of {plain(mine.fee)}: {paid:.4f} % instead of {evidence.fee_rate * 100:.4f} %.",
    )


def _is_within(mine: Fill, other: Fill, *, tolerance: Tolerance) -> bool:
    """Whether both cost the same price, as far as the tolerance of the total tells."""
    unit = tolerance.money / max(mine.lots * tolerance.lot_step, other.lots * tolerance.lot_step)
    return abs(mine.price(lot_step=tolerance.lot_step) - other.price(lot_step=tolerance.lot_step)) <= unit


def _lots_follow(mine: Fill, other: Fill, *, tolerance: Tolerance) -> bool:
    """Whether the lots are the same, or differ only because the same money bought at another price."""
    rounding = max(mine.total / mine.lots, other.total / other.lots)  # a lot's price: what rounding down may leave
    return mine.lots == other.lots or abs(mine.total - other.total) <= tolerance.money + rounding


def _is_off_the_candle(price: Decimal, evidence: Evidence, *, tolerance: Tolerance) -> bool:
    if evidence.low is None or evidence.high is None:
        return False
    # A book may give more than the last trade's price: ten times the assumed slippage is no longer a book.
    room = 10 * tolerance.slippage
    return price > evidence.high * (1 + room) or price < evidence.low * (1 - room)


def _gain(pair: Pair) -> Decimal:
    mine, other = pair.expected, pair.actual
    if mine is None or other is None:
        return ZERO
    sign = -1 if other.side == "buy" else 1
    return sign * (other.total - mine.total) - (other.fee - mine.fee)


def _shown(value: Decimal) -> str:
    return plain(round(value, 8))


def _row(fill: Fill | None) -> dict[str, object] | None:
    if fill is None:
        return None
    return {
        "opened_at": fill.opened_at.isoformat(),
        "at": None if fill.at is None else fill.at.isoformat(),
        "side": fill.side,
        "reason": fill.reason,
        "lots": fill.lots,
        "total": plain(fill.total),
        "fee": plain(fill.fee),
        "order": fill.order,
        "levels": fill.levels,
    }


def trips_of(fills: Iterable[Fill]) -> list[Trip]:
    """Fills in order of time as trips: an entry begins one, everything until the next entry belongs to it.

    Raises ValueError when the first fill is no entry.
    """
    trips: list[Trip] = []
    for fill in fills:
        if fill.side == "buy":
            trips.append(Trip(fill))
        elif trips:
            trips[-1] = Trip(trips[-1].entry, (*trips[-1].exits, fill))
        else:
            raise ValueError("the first fill of a history must be an entry")
    return trips
