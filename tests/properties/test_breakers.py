"""Loss breakers: at their limit to the won, blind to deposits, and the same before and after a restart or midnight."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.domain.breakers import DayStart, Losses, LossLimits, Mark, Released, losses, next_streak, tripped

D = Decimal
TODAY = date(2026, 3, 8)
fractions = st.decimals(min_value="0.0001", max_value="0.9999", places=4)
sums = st.integers(-(10**12), 10**12).map(D)
NO_LOSS = Losses(daily_pnl=D(0), weekly_pnl=D(0), peak_profit=D(0), drawdown=D(0))
LIMITS = LossLimits(base=D(1_000_000), daily_fraction=D("0.10"), weekly_fraction=D("0.15"))


def lost(**changes: object) -> Losses:
    """No loss but for `changes`."""
    return Losses(**{**vars(NO_LOSS), **changes})  # type: ignore[arg-type]


def codes(found: Losses, limits: LossLimits = LIMITS) -> list[str]:
    """What trips."""
    return [reason.code for reason in tripped(losses=found, limits=limits, whose="Bot")]


@given(base=st.integers(1, 10**12), pnl=st.integers(-(10**12), 10**12), fraction=fractions)
def test_a_breaker_trips_exactly_at_its_limit(base: int, pnl: int, fraction: Decimal):
    limits = LossLimits(base=D(base), daily_fraction=fraction, weekly_fraction=D(1))

    found = codes(lost(daily_pnl=D(pnl)), limits)

    assert found == (["daily_loss"] if -pnl * 10_000 >= base * int(fraction * 10_000) else [])


@pytest.mark.parametrize(
    ("daily", "weekly", "found"),
    [
        (-99_999, -149_999, []),
        (-100_000, 0, ["daily_loss"]),
        (-99_999, -150_000, ["weekly_loss"]),
        (-100_000, -150_000, ["daily_loss", "weekly_loss"]),
    ],
)
def test_breakers_act_to_the_won_and_all_are_told(daily: int, weekly: int, found: list[str]):
    assert codes(lost(daily_pnl=D(daily), weekly_pnl=D(weekly))) == found


def test_a_reason_names_who_lost_how_much_the_limit_and_the_remedy():
    one, two = tripped(losses=lost(daily_pnl=D(-123_456), weekly_pnl=D(-200_000)), limits=LIMITS, whose="Bot a")

    assert one.message == "Bot a lost 12.35 % today; the limit is 10.00 %. Entries are blocked until safe mode is released."
    assert (one.value, one.limit) == ("12.3456 %", "10.0000 %") and "reason" in one.remedy
    assert "lost 20.00 % in 7 trading days; the limit is 15.00 %" in two.message


@pytest.mark.parametrize(("drawdown", "found"), [("0.2999", []), ("0.3", ["drawdown"]), ("0.31", ["drawdown"]), (None, [])])
def test_the_fall_from_the_peak_trips_at_its_limit(drawdown: str | None, found: list[str]):
    limits = LossLimits(D(1), D(1), D(1), drawdown_fraction=D("0.3"))
    fallen = lost(drawdown=None if drawdown is None else D(drawdown))

    assert codes(fallen, limits) == found
    assert codes(fallen) == []
    if found:
        assert "Bot fell 3" in tripped(losses=fallen, limits=limits, whose="Bot")[0].message


@pytest.mark.parametrize(("streak", "found"), [(2, []), (3, ["loss_streak"]), (4, ["loss_streak"])])
def test_losing_trades_in_a_row_trip_at_their_limit(streak: int, found: list[str]):
    limits = LossLimits(D(1), D(1), D(1), loss_streak=3)

    assert codes(lost(loss_streak=streak), limits) == found
    assert codes(lost(loss_streak=streak)) == []
    if found:
        (reason,) = tripped(losses=lost(loss_streak=streak), limits=limits, whose="Bot")
        assert reason.message.startswith(f"Bot lost {streak} trades in a row; the limit is 3. Entries are blocked")
        assert (reason.value, reason.limit, bool(reason.remedy)) == (str(streak), "3", True)


@pytest.mark.parametrize(
    "limits", [LossLimits(D(0), D("0.1"), D("0.1")), LossLimits(D(-5), D("0.1"), D("0.1")), LossLimits(D(1), None, None)]
)
def test_without_a_base_or_a_limit_no_loss_is_judged(limits: LossLimits):
    assert codes(lost(daily_pnl=D(-10), weekly_pnl=D(-10)), limits) == []


def test_a_streak_counts_losses_and_a_draw_changes_nothing():
    assert [next_streak(2, profit=D(value)) for value in ("-0.01", "0", "0.01")] == [3, 2, 0]


# --- Days, weeks, capital ---


def started(days_ago: int, equity: int, capital: int = 0) -> DayStart:
    """The first mark of a day."""
    return DayStart(TODAY - timedelta(days=days_ago), Mark(D(equity), D(capital)))


def test_day_and_week_begin_with_their_first_mark():
    starts = [started(0, 900), started(6, 1000), started(7, 5000), started(3, 950), started(-1, 1)]

    found = losses(now=Mark(D(880), D(0)), today=TODAY, starts=starts, peak_profit=D(1000))

    assert (found.daily_pnl, found.weekly_pnl, found.peak_profit, found.drawdown) == (-20, -120, 1000, D("0.12"))


def test_the_first_look_of_all_has_lost_nothing():
    found = losses(now=Mark(D(880), D(100)), today=TODAY, starts=[], peak_profit=None, loss_streak=2)

    assert found == Losses(daily_pnl=D(0), weekly_pnl=D(0), peak_profit=D(780), drawdown=D(0), loss_streak=2)
    assert losses(now=Mark(D("0.5"), D(0)), today=TODAY, starts=[], peak_profit=D(1)) == Losses(D(0), D(0), D(1), D("0.5"))
    assert losses(now=Mark(D("0.4"), D(0)), today=TODAY, starts=[], peak_profit=D("0.8")).drawdown == D("0.5")
    assert losses(now=Mark(D(5), D(0)), today=TODAY, starts=[started(1, 8)], peak_profit=D(4)).daily_pnl == 0


@given(
    path=st.lists(st.tuples(st.integers(0, 12), sums, sums), min_size=1, max_size=12),
    now=sums,
    deposit=sums,
    peak=st.none() | sums,
    release=st.none() | st.tuples(st.integers(0, 8), sums),
)
def test_a_deposit_or_withdrawal_is_neither_profit_nor_loss(path, now, deposit, peak, release):
    starts = [DayStart(TODAY - timedelta(days=ago), Mark(equity, capital)) for ago, equity, capital in path]
    released = None if release is None else Released(TODAY - timedelta(days=release[0]), release[1])

    def after(moved: Decimal) -> Losses:
        return losses(now=Mark(now + moved, moved), today=TODAY, starts=starts, peak_profit=peak, released=released)

    before, moved = after(D(0)), after(deposit)

    assert (moved.daily_pnl, moved.weekly_pnl, moved.peak_profit) == (before.daily_pnl, before.weekly_pnl, before.peak_profit)
    assert moved.drawdown is None or moved.drawdown >= 0
    highest = before.peak_profit + deposit
    assert moved.drawdown == ((before.peak_profit - now) / highest if highest > 0 else None)


@pytest.mark.parametrize(("ago", "daily", "weekly"), [(0, -5, -5), (1, -20, -5), (6, -20, -5), (7, -20, -120)])
def test_a_release_counts_anew_within_its_day_and_week(ago: int, daily: int, weekly: int):
    released = Released(day=TODAY - timedelta(days=ago), profit=D(885))

    found = losses(now=Mark(D(880), D(0)), today=TODAY, starts=[started(0, 900), started(6, 1000)], peak_profit=D(885), released=released)

    assert (found.daily_pnl, found.weekly_pnl) == (daily, weekly)
