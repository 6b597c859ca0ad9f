"""Champion and challenger on the same inputs: how much better the challenger is, and when that is proven.

    a day of both, after API costs ─► difference in fractions of the capital ─► mean with an interval that holds at every look

An operator looks every day and would stop at the first good one, so an ordinary interval would promote noise sooner or later. This
one is a confidence sequence: with probability 1 − ALPHA it covers the true mean on all days at once. Source: Waudby-Smith, Arbour,
Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52, 2024.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

FEWEST_DAYS = 30  # the interval rests on the variance, which fewer days do not tell
ALPHA = 0.05  # both sides: a challenger that is no better is promoted with 2.5 % at most
TIGHTEST_AT = 90  # days; the sequence is narrowest about there


@dataclass(frozen=True)
class Day:
    """What one bot made on one trading day. profit and cost: quote currency; capital: what it could use that morning."""

    day: date
    profit: Decimal
    capital: Decimal
    cost: Decimal = Decimal(0)  # of the models it asked

    @property
    def net(self) -> float:
        """Profit after costs, as a fraction of the capital."""
        return float((self.profit - self.cost) / self.capital)


class Finding(StrEnum):
    """What the days prove."""

    TOO_FEW = "too_few"
    NONE = "none"
    BETTER = "better"
    WORSE = "worse"


@dataclass(frozen=True)
class Comparison:
    """The challenger against the champion. mean, low, high: fractions of the capital a day; None while there are too few days.

    profit and cost: sums of the differences over the days, quote currency.
    """

    days: int
    profit: Decimal
    cost: Decimal
    mean: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def finding(self) -> Finding:
        """What is proven, at every look alike."""
        if self.low is None or self.high is None:
            return Finding.TOO_FEW
        if self.low > 0:
            return Finding.BETTER
        return Finding.WORSE if self.high < 0 else Finding.NONE


def compare(champion: Sequence[Day], challenger: Sequence[Day]) -> Comparison:
    """Both on the days that both have."""
    theirs = {one.day: one for one in champion}
    pairs = [(theirs[one.day], one) for one in challenger if one.day in theirs]
    profit = sum((mine.profit - other.profit for other, mine in pairs), Decimal(0))
    cost = sum((mine.cost - other.cost for other, mine in pairs), Decimal(0))
    if len(pairs) < FEWEST_DAYS:
        return Comparison(days=len(pairs), profit=profit, cost=cost)
    mean, reach = sequence([mine.net - other.net for other, mine in pairs])
    return Comparison(days=len(pairs), profit=profit, cost=cost, mean=mean, low=mean - reach, high=mean + reach)


def sequence(differences: Sequence[float], *, alpha: float = ALPHA, tightest_at: int = TIGHTEST_AT) -> tuple[float, float]:
    """(mean, half width) of the confidence sequence after these differences, at least two."""
    count = len(differences)
    mean = math.fsum(differences) / count
    deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in differences) / (count - 1))
    spread = count * _tuning(alpha, tightest_at) + 1
    return mean, deviation * math.sqrt(2 * spread / (count * (spread - 1)) * math.log(math.sqrt(spread) / alpha))


def _tuning(alpha: float, tightest_at: int) -> float:
    """ρ² of the source's equation for a sequence that is narrowest after `tightest_at` days."""
    log = -2 * math.log(alpha)
    return (log + math.log(log + 1)) / tightest_at
