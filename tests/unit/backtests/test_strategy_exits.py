from math import nan

import pytest

from backtests.strategies.exits import ExitParameters, ExitReason, ExitRules, exit_at_close
from dgbot.core.errors import BadInput


def exit_of(**changed: float) -> ExitReason | None:
    usual = {
        "bars_since_fill": 10,
        "close": 101.0,
        "entry_price": 100.0,
        "fakeout_distance": 2.0,
        "strength": 30.0,
        "signal_strength": 25.0,
    }
    return exit_at_close(**{**usual, **changed}, rules=ExitParameters().exit_rules())  # type: ignore[arg-type]


def test_a_healthy_trade_is_kept() -> None:
    assert exit_of() is None


@pytest.mark.parametrize(("bar", "reason"), [(0, None), (1, ExitReason.FAKEOUT), (3, ExitReason.FAKEOUT), (4, None)])
def test_a_fakeout_is_watched_for_in_the_three_bars_after_the_fill_bar(bar: int, reason: ExitReason | None) -> None:
    assert exit_of(bars_since_fill=bar, close=97.9) == reason


def test_a_close_exactly_at_the_distance_is_no_fakeout() -> None:
    assert exit_of(bars_since_fill=1, close=98.0) is None


@pytest.mark.parametrize(
    ("strength", "signal_strength", "reason"),
    [(19.9, 25.0, ExitReason.WEAKENING), (20.0, 40.0, None), (19.9, 24.0, None), (12.0, 15.0, None), (11.9, 15.0, ExitReason.WEAKENING)],
)
def test_weakening_needs_a_low_and_a_faded_strength(strength: float, signal_strength: float, reason: ExitReason | None) -> None:
    assert exit_of(strength=strength, signal_strength=signal_strength) == reason


@pytest.mark.parametrize(
    ("bar", "close", "reason"),
    [
        (24, 101.9, None),
        (25, 101.9, ExitReason.TIMEOUT),
        (25, 102.0, None),
        (400, 101.9, ExitReason.TIMEOUT),
        (25, 90.0, ExitReason.TIMEOUT),
    ],
)
def test_a_slow_trade_is_left_from_bar_25_on(bar: int, close: float, reason: ExitReason | None) -> None:
    assert exit_of(bars_since_fill=bar, close=close) == reason


def test_the_first_rule_in_order_is_the_reason() -> None:
    weak = {"strength": 10.0, "signal_strength": 25.0}

    assert exit_of(bars_since_fill=2, close=90.0, **weak) == ExitReason.FAKEOUT
    assert exit_of(bars_since_fill=30, close=90.0, **weak) == ExitReason.WEAKENING


@pytest.mark.parametrize("unknown", [{"strength": nan}, {"signal_strength": nan}])
def test_unknown_strength_says_nothing(unknown: dict[str, float]) -> None:
    assert exit_of(**{"strength": 5.0, "signal_strength": 25.0} | unknown) is None


def test_without_a_rule_a_position_is_kept_whatever_happens() -> None:
    usual = {"close": 1.0, "entry_price": 100.0, "fakeout_distance": 1.0, "strength": 0.0, "signal_strength": 90.0}
    assert exit_at_close(bars_since_fill=500, **usual, rules=ExitRules()) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("close", "bar", "reason"), [(102.1, 3, ExitReason.FAKEOUT), (98.1, 25, ExitReason.TIMEOUT), (97.9, 25, None)])
def test_a_short_is_judged_the_other_way_round(close: float, bar: int, reason: ExitReason | None) -> None:
    usual = {"entry_price": 100.0, "fakeout_distance": 2.0, "strength": 30.0, "signal_strength": 25.0}
    found = exit_at_close(bars_since_fill=bar, close=close, **usual, rules=ExitParameters().exit_rules(), is_long=False)  # type: ignore[arg-type]
    assert found == reason


def test_a_position_held_for_a_number_of_bars_leaves_at_the_open_after_them() -> None:
    usual = {"close": 101.0, "entry_price": 100.0, "fakeout_distance": nan, "strength": nan, "signal_strength": nan}
    reasons = [exit_at_close(bars_since_fill=bar, **usual, rules=ExitRules(hold_bars=3)) for bar in range(4)]  # type: ignore[arg-type]
    assert reasons == [None, None, ExitReason.HOLD, ExitReason.HOLD]


def test_the_strategys_own_exit_comes_last_and_its_unknown_says_nothing() -> None:
    usual = {"bars_since_fill": 5, "close": 101.0, "entry_price": 100.0, "fakeout_distance": nan, "strength": nan, "signal_strength": nan}
    reasons = [exit_at_close(**usual, rules=ExitRules(), signal=answer) for answer in (-1, 0, 1)]  # type: ignore[arg-type]
    assert reasons == [None, None, ExitReason.SIGNAL]


@pytest.mark.parametrize(
    "wrong",
    [
        {"fakeout_bars": -1},
        {"weakening_adx": nan},
        {"timeout_profit": nan},
        {"partial_levels": ((0.1, 0.5), (0.05, 1.0))},
        {"partial_levels": ((0.05, 0.0),)},
        {"partial_levels": ((nan, 0.5),)},
    ],
)
def test_rules_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        ExitRules(**wrong)  # type: ignore[arg-type]
