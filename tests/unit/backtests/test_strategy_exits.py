from math import nan

import pytest

from backtests.strategies.exits import ExitParameters, ExitReason, exit_at_close


def exit_of(**changed: float) -> ExitReason | None:
    usual = {
        "bars_since_fill": 10,
        "close": 101.0,
        "entry_price": 100.0,
        "fakeout_distance": 2.0,
        "strength": 30.0,
        "signal_strength": 25.0,
    }
    return exit_at_close(**{**usual, **changed}, parameters=ExitParameters())  # type: ignore[arg-type]


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
