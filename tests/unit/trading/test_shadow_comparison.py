"""Champion and challenger: the days both have, costs, and an interval that holds at every look."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from tests.scale import scale
from trading.domain import shadows
from trading.domain.shadows import Day, Finding, compare

D = Decimal
FIRST = date(2026, 1, 1)
PAIRS = 400
LOOKED_AT_DAYS = scale(sample=180, full=720)


def days(profits: list[float], *, cost: str = "0", capital: str = "1000000") -> list[Day]:
    return [Day(FIRST + timedelta(days=number), D(str(profit)), D(capital), D(cost)) for number, profit in enumerate(profits)]


def test_too_few_days_prove_nothing():
    found = compare(days([0.0] * 29), days([100.0] * 29))

    assert (found.days, found.finding, found.mean, found.profit) == (29, Finding.TOO_FEW, None, D(2900))


def test_only_days_of_both_are_compared():
    found = compare(days([1.0] * 40)[5:], days([3.0] * 38))

    assert (found.days, found.profit) == (33, D(66))


def test_no_edge_is_zero_and_its_price_is_a_loss():
    rng = np.random.default_rng(1)
    profits = [round(value, 2) for value in rng.normal(0, 5000, 60)]
    equal = compare(days(profits), days(profits))
    priced = compare(days(profits), days(profits, cost="40"))

    assert (equal.mean, equal.low, equal.high, equal.finding) == (0, 0, 0, Finding.NONE)
    assert priced.finding is Finding.WORSE and priced.cost == D(2400) and priced.mean == pytest.approx(-40 / 1_000_000)


def test_an_edge_is_proven_in_time_and_its_interval_holds_it():
    rng = np.random.default_rng(2)
    champion = rng.normal(0, 4000, 400)
    challenger = champion + rng.normal(1500, 4000, 400)
    found = compare(days(list(champion.round(2))), days(list(challenger.round(2))))

    assert found.finding is Finding.BETTER and found.low is not None and found.high is not None
    assert found.low < 0.0015 < found.high
    worse = compare(days(list(challenger.round(2))), days(list(champion.round(2))))
    assert worse.finding is Finding.WORSE


def test_the_sequence_equals_the_sources_formula():
    """Equation 9 of the source with ρ² of equation 10, written out for four numbers."""
    mean, reach = shadows.sequence([0.01, -0.02, 0.03, 0.0], alpha=0.05, tightest_at=90)
    rho2 = (-2 * np.log(0.05) + np.log(-2 * np.log(0.05) + 1)) / 90
    deviation = np.std([0.01, -0.02, 0.03, 0.0], ddof=1)
    wanted = deviation * np.sqrt(2 * (4 * rho2 + 1) / (16 * rho2) * np.log(np.sqrt(4 * rho2 + 1) / 0.05))

    assert mean == pytest.approx(0.005) and reach == pytest.approx(wanted)


@pytest.mark.parametrize("kind", ["normal", "fat tails", "seldom"])
def test_equals_are_seldom_promoted_however_often_one_looks(kind: str):
    """400 pairs without an edge, looked at every day and stopped at the first that seems better."""
    rng = np.random.default_rng(20261121)
    noise = {
        "normal": rng.normal(size=(PAIRS, LOOKED_AT_DAYS)),
        "fat tails": rng.standard_t(3, size=(PAIRS, LOOKED_AT_DAYS)),
        "seldom": rng.normal(size=(PAIRS, LOOKED_AT_DAYS)) * (rng.random((PAIRS, LOOKED_AT_DAYS)) < 0.3),  # most days equal
    }[kind]
    promoted = 0
    for differences in noise:
        told = list(differences)
        looks = (shadows.sequence(told[:count]) for count in range(shadows.FEWEST_DAYS, LOOKED_AT_DAYS + 1))
        promoted += any(mean > reach for mean, reach in looks)

    assert promoted / PAIRS <= 0.05
