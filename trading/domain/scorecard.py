"""How good forecasts were: proper scores with intervals, against forecasters who know nothing. Pure statistics of values.

A forecast is the probability of "the close at the horizon lies above the price then". Lower scores are better; a constant 0.5
scores 0.25 (Brier) and ln 2 (log loss). Sources: Brier, "Verification of forecasts expressed in terms of probability", Monthly
Weather Review 78, 1950; Gneiting & Raftery, "Strictly proper scoring rules", JASA 102, 2007; Wilson, JASA 22, 1927.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

FEWEST = 30  # resolved forecasts; fewer tell nothing, and the card says so
BINS = 10
CONFIDENCE = 0.95
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
LEAST_PROBABILITY = 1e-6  # a certain forecast that fails costs 13.8 instead of infinity


@dataclass(frozen=True)
class Forecast:
    """One resolved forecast. probability: of rising, 0…1. rose: what happened. rose_before: whether the bar before had risen.

    group: what it is counted under, such as the model.
    """

    probability: float
    rose: bool
    rose_before: bool
    group: str = ""


@dataclass(frozen=True)
class Bin:
    """Forecasts of similar probability. stated: their mean; rate: how often it rose, with Wilson's interval."""

    count: int
    stated: float
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Mean:
    """A mean with its interval, by the normal approximation."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Card:
    """The scores. Everything but `count` is None while there are too few.

    base_rate: share that rose. brier_of_base_rate: of who always states it. brier_of_last_sign: of who expects the last bar's
    direction to last, stating how often that came true. skill: 1 − Brier / the better of the two; over 0 the model knows something.
    advantage: how much lower its Brier score is than the better one's, forecast by forecast; an interval over 0 is evidence.
    """

    count: int
    brier: Mean | None = None
    log_loss: Mean | None = None
    base_rate: float | None = None
    brier_of_base_rate: float | None = None
    brier_of_last_sign: float | None = None
    skill: float | None = None
    advantage: Mean | None = None
    calibration: tuple[Bin, ...] = ()

    @property
    def says(self) -> str:
        """The verdict in one sentence."""
        if self.advantage is None:
            return f"{self.count} forecasts are resolved; fewer than {FEWEST} tell nothing."
        if self.advantage.low > 0:
            return "The model forecasts better than those who know nothing."
        if self.advantage.high < 0:
            return "The model forecasts worse than those who know nothing; the rules alone are cheaper."
        return "No difference to those who know nothing is proven; the rules alone are cheaper."


def card(forecasts: Sequence[Forecast]) -> Card:
    """The card of these forecasts, whatever their groups."""
    if len(forecasts) < FEWEST:
        return Card(count=len(forecasts))
    base = _share(forecasts, lambda one: one.rose)
    lasted = _share(forecasts, lambda one: one.rose == one.rose_before)
    own = [brier(one.probability, rose=one.rose) for one in forecasts]
    constant = [brier(base, rose=one.rose) for one in forecasts]
    last_sign = [brier(lasted if one.rose_before else 1 - lasted, rose=one.rose) for one in forecasts]
    rival = min(constant, last_sign, key=math.fsum)
    worst = math.fsum(rival) / len(rival)
    score = mean(own)
    return Card(
        count=len(forecasts),
        brier=score,
        log_loss=mean([log_loss(one.probability, rose=one.rose) for one in forecasts]),
        base_rate=base,
        brier_of_base_rate=math.fsum(constant) / len(constant),
        brier_of_last_sign=math.fsum(last_sign) / len(last_sign),
        skill=1 - score.value / worst if worst else None,
        advantage=mean([theirs - ours for theirs, ours in zip(rival, own, strict=True)]),
        calibration=calibration(forecasts),
    )


def cards(forecasts: Sequence[Forecast]) -> dict[str, Card]:
    """A card for each group, by name."""
    groups = sorted({one.group for one in forecasts})
    return {group: card([one for one in forecasts if one.group == group]) for group in groups}


def brier(probability: float, *, rose: bool) -> float:
    """Squared error of the probability."""
    return (probability - rose) ** 2


def log_loss(probability: float, *, rose: bool) -> float:
    """Minus the logarithm of what was given to what happened."""
    given = probability if rose else 1 - probability
    return -math.log(max(given, LEAST_PROBABILITY))


def calibration(forecasts: Sequence[Forecast], *, bins: int = BINS) -> tuple[Bin, ...]:
    """What was stated against what happened, in bins of equal width; empty bins are left out."""
    found = []
    for number in range(bins):
        inside = [one for one in forecasts if min(int(one.probability * bins), bins - 1) == number]
        if inside:
            rose = sum(one.rose for one in inside)
            low, high = wilson(rose, len(inside))
            stated = math.fsum(one.probability for one in inside) / len(inside)
            found.append(Bin(count=len(inside), stated=stated, rate=rose / len(inside), low=low, high=high))
    return tuple(found)


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Wilson's interval of a share."""
    share, scale = successes / count, 1 + Z**2 / count
    middle = (share + Z**2 / (2 * count)) / scale
    reach = Z / scale * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def mean(values: Sequence[float]) -> Mean:
    """Of at least two values."""
    middle = math.fsum(values) / len(values)
    variance = math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1)
    reach = Z * math.sqrt(variance / len(values))
    return Mean(value=middle, low=middle - reach, high=middle + reach)


def _share(forecasts: Sequence[Forecast], holds: Callable[[Forecast], bool]) -> float:
    return sum(holds(one) for one in forecasts) / len(forecasts)
