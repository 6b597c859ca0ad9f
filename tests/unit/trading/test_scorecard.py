"""Scores of forecasters whose skill is known."""

import math

import numpy as np
import pytest

from trading.domain.scorecard import FEWEST, Forecast, brier, calibration, card, cards, log_loss, wilson


def forecasts(count: int, *, bias: float = 0.0, seed: int = 1, knows: bool = True) -> tuple[list[Forecast], np.ndarray]:
    """A market that rises with a probability drawn anew each time, and a forecaster who knows it, or only says so."""
    random = np.random.default_rng(seed)
    true = random.uniform(0.2, 0.8, count)
    stated = np.clip((true if knows else random.uniform(0.2, 0.8, count)) + bias, 0, 1)
    rose, before = random.random(count) < true, random.random(count) < 0.5
    made = [Forecast(float(p), bool(r), bool(b)) for p, r, b in zip(stated, rose, before, strict=True)]
    return made, true


@pytest.mark.parametrize("bias", [0.0, 0.1, -0.15])
def test_a_known_bias_is_recovered_within_a_hundredth_of_brier(bias: float) -> None:
    made, true = forecasts(20_000, bias=bias)
    expected = float((true * (1 - true)).mean()) + bias**2

    assert card(made).brier.value == pytest.approx(expected, abs=0.01)


def test_who_knows_beats_those_who_do_not_and_who_guesses_does_not() -> None:
    knowing, guessing = card(forecasts(5000)[0]), card(forecasts(5000, knows=False)[0])

    assert knowing.advantage.low > 0 and knowing.skill > 0 and "better" in knowing.says
    assert guessing.advantage.high < 0 and guessing.skill < 0 and "worse" in guessing.says


def test_too_few_forecasts_say_so_and_nothing_else() -> None:
    told = card(forecasts(FEWEST - 1)[0])

    assert told.brier is None and told.calibration == () and "tell nothing" in told.says


def test_a_calibrated_forecaster_lies_within_its_intervals_and_a_biased_one_does_not() -> None:
    honest, boastful = calibration(forecasts(20_000)[0]), calibration(forecasts(20_000, bias=0.15)[0])

    assert sum(one.low <= one.stated <= one.high for one in honest) >= len(honest) - 1
    assert not any(one.low <= one.stated <= one.high for one in boastful)
    assert sum(one.count for one in honest) == 20_000


def test_a_score_says_no_difference_when_there_is_none() -> None:
    """Of forecasters who state the base rate with a little noise, at most one in twenty is called better."""
    random = np.random.default_rng(2)
    called = 0
    for _forecaster in range(200):
        coins = random.random((100, 2)) < 0.5
        made = [Forecast(0.5 + 0.02 * random.standard_normal(), bool(rose), bool(before)) for rose, before in coins]
        called += card(made).advantage.low > 0
    assert called <= 10


def test_scores_are_those_of_their_definitions() -> None:
    assert brier(0.7, rose=True) == pytest.approx(0.09) and brier(0.5, rose=False) == 0.25
    assert log_loss(0.5, rose=True) == pytest.approx(math.log(2)) and math.isfinite(log_loss(1.0, rose=False))
    assert wilson(0, 10)[0] == pytest.approx(0) and wilson(10, 10)[1] == pytest.approx(1)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_the_last_sign_is_a_rival_where_trends_last() -> None:
    random = np.random.default_rng(3)
    before = random.random(500) < 0.5
    rose = np.where(random.random(500) < 0.9, before, ~before)
    told = card([Forecast(0.5, bool(r), bool(b)) for r, b in zip(rose, before, strict=True)])

    assert told.brier_of_last_sign < 0.12 < told.brier_of_base_rate and "worse" in told.says


def test_groups_have_cards_of_their_own() -> None:
    made = [Forecast(0.6, True, True, group=name) for name in ("a", "b", "b")]

    assert {name: one.count for name, one in cards(made).items()} == {"a": 1, "b": 2}
