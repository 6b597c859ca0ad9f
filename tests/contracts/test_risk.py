"""Risk over real rows: breakers past midnight, restart and transfers; limits that are kept, changed and held by many bots at once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction

from backtests.strategies.registry import STRATEGIES
from dgbot.accounts.models import User
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.types import Mode
from risk import selectors as risk_selectors
from risk import services as risk
from risk.domain.limits import EffectiveLimits
from risk.models import AccountLimits, BotLimits, LimitChange, RiskEvent, RiskProfile, RiskState, SymbolGroup, Transfer
from risk.seeds import create_profiles
from risk.services import Observation, Owner
from tests import factories
from tests.factories import SLOT, SYMBOL, Thread, rows, world
from tests.scale import scale
from trading.models import AccountBalance, Bot, Order, Position
from trading.selectors import at_stake
from trading.selectors import limits as limit_selectors
from trading.services import config, cycles
from trading.services.venues import KRW_FEES

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

D = Decimal
SEOUL = "Asia/Seoul"
HOUR = timedelta(hours=1)
MIDNIGHT = datetime(2026, 3, 1, 15, tzinfo=UTC)  # 00:00 of March 2nd in Seoul
LIMITS = EffectiveLimits(daily_loss_fraction=D("0.10"), weekly_loss_fraction=D("0.15"), drawdown_fraction=D("0.30"), loss_streak=3)


@pytest.fixture
def bot() -> Bot:
    """A replay bot that was allocated 1,000,000."""
    return factories.bot()


def owner_of(bot: Bot) -> Owner:
    """Whose rows these are."""
    return Owner(account_id=bot.account_id, user_id=bot.user_id, mode=bot.mode)


def observe(bot: Bot, equity: int | None, *, at: datetime, limits: EffectiveLimits = LIMITS, of_bot: bool = False) -> RiskState:
    """Look at the account, or at the bot alone."""
    seen = Observation(
        bot_id=bot.pk if of_bot else None,
        whose="It",
        equity=None if equity is None else D(equity),
        limit_base=D(1_000_000),
        limits=limits,
        capital=bot.allocation if of_bot else None,
    )
    (state,) = risk.observe(owner=owner_of(bot), observations=[seen], now=at, zone=SEOUL)
    state.refresh_from_db()
    return state


def transfer(bot: Bot, amount: int, *, at: datetime, reference: str = "t1") -> bool:
    """Money paid in or out."""
    return risk.record_transfer(owner=owner_of(bot), amount=D(amount), reference=reference, at=at, zone=SEOUL)


def release(state: RiskState, *, at: datetime) -> RiskState:
    """An operator lets entries through again."""
    return risk.release_safe_mode(state_pk=state.pk, by=state.user, reason="looked at it", now=at)


# --- Midnight, week, restart, clocks ---


def test_a_loss_over_midnight_in_seoul_belongs_to_two_days(bot: Bot):
    observe(bot, 1_000_000, at=MIDNIGHT - 2 * HOUR)
    evening = observe(bot, 940_000, at=MIDNIGHT - HOUR)
    night = observe(bot, 940_000, at=MIDNIGHT)
    morning = observe(bot, 880_000, at=MIDNIGHT + HOUR)

    assert (evening.daily_pnl, night.daily_pnl, morning.daily_pnl) == (-60_000, 0, -60_000)
    assert (morning.weekly_pnl, morning.safe_mode) == (-120_000, False)
    assert observe(bot, 849_999, at=MIDNIGHT + 2 * HOUR).safe_mode


def test_safe_mode_streak_peak_and_last_entry_outlive_midnight_and_restart(bot: Bot):
    observe(bot, 1_000_000, at=MIDNIGHT - 2 * HOUR, of_bot=True)
    risk.record_entry(owner=owner_of(bot), bot_id=bot.pk, at=MIDNIGHT - 2 * HOUR, zone=SEOUL)
    for _ in range(3):
        risk.record_close(account_id=bot.account_id, bot_id=bot.pk, profit=D(-1))
    tripped = observe(bot, 950_000, at=MIDNIGHT - HOUR, of_bot=True)
    assert tripped.safe_mode and "3 trades in a row" in tripped.safe_mode_reason

    connection.close()  # as a new process finds it
    state = observe(bot, 950_000, at=MIDNIGHT + 30 * HOUR, of_bot=True)

    assert state.pk != tripped.pk and state.safe_mode and state.safe_mode_reason == tripped.safe_mode_reason
    assert (state.loss_streak, state.peak_profit, state.last_trade_time) == (3, 0, MIDNIGHT - 2 * HOUR)
    assert (state.daily_trade_count, state.daily_pnl) == (0, 0)


def test_the_seventh_day_still_counts_and_the_eighth_does_not(bot: Bot):
    calm = EffectiveLimits()
    observe(bot, 1_000_000, at=MIDNIGHT, limits=calm)
    day = timedelta(days=1)
    observe(bot, 900_000, at=MIDNIGHT + 3 * day, limits=calm)

    assert observe(bot, 850_000, at=MIDNIGHT + 6 * day, limits=calm).weekly_pnl == -150_000
    assert observe(bot, 850_000, at=MIDNIGHT + 7 * day, limits=calm).weekly_pnl == -50_000


def test_a_clock_set_back_lives_no_day_twice(bot: Bot):
    observe(bot, 1_000_000, at=MIDNIGHT - HOUR)
    today = observe(bot, 900_001, at=MIDNIGHT)

    back = observe(bot, 850_000, at=MIDNIGHT - timedelta(minutes=1))

    assert (back.pk, back.daily_pnl) == (today.pk, -50_001)
    assert RiskState.objects.count() == 2


def test_an_unknown_equity_changes_no_figure(bot: Bot):
    before = observe(bot, 950_000, at=MIDNIGHT)

    assert observe(bot, None, at=MIDNIGHT + HOUR).equity == before.equity
    again = observe(bot, 950_000, at=MIDNIGHT + 2 * HOUR)
    assert again.updated_at == before.updated_at, "nothing changed, so nothing was written"


def test_all_breakers_that_act_are_told(bot: Bot):
    observe(bot, 1_000_000, at=MIDNIGHT)

    state = observe(bot, 690_000, at=MIDNIGHT + HOUR)

    assert set(RiskEvent.objects.values_list("code", flat=True)) == {"daily_loss", "weekly_loss", "drawdown"}
    assert "31.00 % today" in state.safe_mode_reason and "from its peak" in state.safe_mode_reason


def test_a_release_counts_anew_and_changes_no_fact(bot: Bot):
    observe(bot, 1_000_000, at=MIDNIGHT)
    tripped = observe(bot, 850_000, at=MIDNIGHT + HOUR)
    release(tripped, at=MIDNIGHT + 2 * HOUR)

    after = observe(bot, 750_001, at=MIDNIGHT + 3 * HOUR)
    assert (after.safe_mode, after.daily_pnl, after.weekly_pnl) == (False, -249_999, -249_999)
    assert observe(bot, 750_000, at=MIDNIGHT + 4 * HOUR).safe_mode


def test_a_state_without_equity_can_be_released(bot: Bot):
    columns = {"account": bot.account, "user": bot.user, "mode": bot.mode, "updated_at": SLOT}
    state = RiskState.objects.create(trading_day=SLOT.date(), safe_mode=True, safe_mode_reason="by hand", **columns)

    assert release(state, at=SLOT).released_day is None


def test_a_release_without_a_reason_or_of_a_state_that_is_over_is_refused(bot: Bot):
    tripped = observe(bot, 1_000_000, at=MIDNIGHT - HOUR)
    observe(bot, 800_000, at=MIDNIGHT - HOUR)
    assert risk_selectors.safe_modes(account_id=bot.account_id).keys() == {None}

    with pytest.raises(BadInput, match="a reason is needed"):
        risk.release_safe_mode(state_pk=tripped.pk, by=bot.user, reason=" ", now=MIDNIGHT)
    observe(bot, 800_000, at=MIDNIGHT)
    with pytest.raises(BadInput, match="not the newest state"):
        release(tripped, at=MIDNIGHT)


def test_a_streak_needs_a_row_and_ends_with_a_win(bot: Bot):
    risk.record_close(account_id=bot.account_id, bot_id=bot.pk, profit=D(-1))
    observe(bot, 1, at=MIDNIGHT)
    observe(bot, 1, at=MIDNIGHT, of_bot=True)

    for profit in (-1, -1, 0):
        risk.record_close(account_id=bot.account_id, bot_id=bot.pk, profit=D(profit))
    assert set(RiskState.objects.values_list("loss_streak", flat=True)) == {2}
    risk.record_close(account_id=bot.account_id, bot_id=bot.pk, profit=D(1))
    assert set(RiskState.objects.values_list("loss_streak", flat=True)) == {0}


# --- Transfers ---


def test_a_deposit_told_in_time_is_no_profit(bot: Bot):
    observe(bot, 1_000_000, at=MIDNIGHT)
    assert transfer(bot, 500_000, at=MIDNIGHT + HOUR)
    assert not transfer(bot, 500_000, at=MIDNIGHT + HOUR), "a reference is booked once"

    state = observe(bot, 1_490_000, at=MIDNIGHT + 2 * HOUR)

    assert (state.daily_pnl, state.weekly_pnl, state.peak_profit, state.capital) == (-10_000, -10_000, 1_000_000, 500_000)


def test_a_withdrawal_told_late_is_no_loss_in_the_end(bot: Bot):
    observe(bot, 1_000_000, at=MIDNIGHT)
    false_alarm = observe(bot, 800_000, at=MIDNIGHT + 2 * HOUR)
    assert false_alarm.safe_mode
    release(false_alarm, at=MIDNIGHT + 3 * HOUR)
    transfer(bot, -200_000, at=MIDNIGHT + HOUR)

    state = observe(bot, 800_000, at=MIDNIGHT + 4 * HOUR)

    assert (state.daily_pnl, state.safe_mode, state.released_profit) == (0, False, 1_000_000)
    assert observe(bot, 700_000, at=MIDNIGHT + 5 * HOUR).safe_mode, "the release gave no room beyond the limit"


def test_a_deposit_told_late_leaves_no_false_peak(bot: Bot):
    observe(bot, 1_000_000, at=MIDNIGHT)
    observe(bot, 3_000_000, at=MIDNIGHT + 2 * HOUR)
    transfer(bot, 2_000_000, at=MIDNIGHT + HOUR)

    state = observe(bot, 3_000_000, at=MIDNIGHT + 3 * HOUR)

    assert (state.daily_pnl, state.peak_profit, state.safe_mode) == (0, 1_000_000, False)


def test_a_transfer_of_yesterday_moves_the_start_of_today_along(bot: Bot):
    observe(bot, 1_000_000, at=MIDNIGHT - 3 * HOUR)
    observe(bot, 1_300_000, at=MIDNIGHT + HOUR)
    transfer(bot, 300_000, at=MIDNIGHT - 2 * HOUR)

    state = observe(bot, 1_300_000, at=MIDNIGHT + 2 * HOUR)

    assert (state.daily_pnl, state.weekly_pnl, state.start_capital) == (0, 0, 300_000)


def test_a_transfer_before_the_first_look_only_is_a_row(bot: Bot):
    assert transfer(bot, 300_000, at=MIDNIGHT)

    assert observe(bot, 300_000, at=MIDNIGHT + HOUR).daily_pnl == 0
    assert Transfer.objects.get().amount == 300_000


@pytest.mark.parametrize(("amount", "reference"), [("0", "a"), ("NaN", "a"), ("1", "")])
def test_a_transfer_of_nothing_or_without_a_name_is_refused(bot: Bot, amount: str, reference: str):
    with pytest.raises(BadInput, match="not booked"):
        risk.record_transfer(owner=owner_of(bot), amount=D(amount), reference=reference, at=SLOT, zone=SEOUL)


def test_a_larger_allocation_is_no_profit_of_its_bot(bot: Bot):
    observe(bot, 1_000_000, at=MIDNIGHT, of_bot=True)
    bot.allocation = D(2_000_000)

    state = observe(bot, 1_990_000, at=MIDNIGHT + HOUR, of_bot=True)

    assert (state.daily_pnl, state.capital) == (-10_000, 2_000_000)


# --- Rows that cannot be ---


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drawdown_fraction", "1.0001"),
        ("drawdown_fraction", "0"),
        ("loss_streak", "0"),
        ("leverage_limit", "0.9"),
        ("leverage_limit", "125.1"),
        ("account_exposure_fraction", "0"),
        ("sell_ratio", "1.1"),
        ("buy_ratio", "0"),
        ("second_gain_fraction", "0.05"),
        ("sizing_mode", "all in"),
        ("trailing_atr_multiple", "-1"),
        ("spacing", "-1 second"),
    ],
)
def test_an_impossible_profile_is_refused_by_the_database(name: str, value: str):
    create_profiles()

    with pytest.raises(IntegrityError), transaction.atomic():
        factories.execute(f"UPDATE risk_profiles SET {name} = %s", value)


@pytest.mark.parametrize("table", ["limit_changes", "transfers"])
def test_history_is_never_rewritten(bot: Bot, table: str):
    transfer(bot, 1, at=SLOT)
    LimitChange.objects.create(subject="bot", subject_pk=bot.pk, name="x", after={})

    for statement in (f"UPDATE {table} SET id = id + 1", f"DELETE FROM {table}"):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            factories.execute(statement)


def test_a_release_without_its_profit_and_a_loosening_without_a_reason_are_refused(bot: Bot):
    observe(bot, 1, at=SLOT)

    with pytest.raises(IntegrityError, match="release_is_whole"), transaction.atomic():
        factories.execute("UPDATE risk_states SET released_day = now()")
    with pytest.raises(IntegrityError, match="loosened_has_a_reason"), transaction.atomic():
        LimitChange.objects.create(subject="bot", subject_pk=bot.pk, name="x", after={}, loosened=["spacing"])


# --- Changes of limits ---


def profile() -> RiskProfile:
    """The medium one."""
    create_profiles()
    return RiskProfile.objects.get(name="medium")


def change(row: Any, *, by: User, reason: str = "", live: bool = False, verified: bool = False, **baseline: Any) -> LimitChange | None:
    """Save it as the admin does."""
    return risk.change_limits(
        row, by=by, reason=reason, governs_live=live, second_factor=lambda: verified, baseline=baseline.get("baseline")
    )


def test_tightening_works_at_once_and_is_kept_with_who_and_what(bot: Bot):
    row = profile()
    row.daily_loss_fraction = D("0.05")

    kept = change(row, by=bot.user, live=True)

    assert kept is not None and kept.loosened == [] and kept.changed_by == bot.user
    assert (kept.before["daily_loss_fraction"], kept.after["daily_loss_fraction"]) == ("0.1", "0.05")
    assert change(row, by=bot.user) is None, "nothing changed"


def test_loosening_asks_for_a_reason_and_on_live_bots_for_the_second_factor(bot: Bot):
    row = profile()
    row.daily_loss_fraction, row.spacing = D("0.2"), HOUR

    with pytest.raises(BadInput, match="daily_loss_fraction, spacing would allow more than before; say why"):
        change(row, by=bot.user, reason="  ")
    with pytest.raises(BadInput, match="second factor is not verified"):
        change(row, by=bot.user, reason="a calmer market", live=True)
    assert RiskProfile.objects.get(pk=row.pk).daily_loss_fraction == D("0.1") and not LimitChange.objects.exists()

    kept = change(row, by=bot.user, reason="a calmer market", live=True, verified=True)

    assert kept is not None and kept.loosened == ["daily_loss_fraction", "spacing"] and kept.reason == "a calmer market"
    assert change(profile_again(row), by=bot.user) is None


def profile_again(row: RiskProfile) -> RiskProfile:
    """As another request reads it."""
    return RiskProfile.objects.get(pk=row.pk)


def test_a_new_profile_governs_nobody_yet(bot: Bot):
    kept = change(RiskProfile(name="mine", user=bot.user, daily_loss_fraction=D("0.9")), by=bot.user)

    assert kept is not None and kept.before is None and kept.loosened == []


def test_own_limits_stay_within_hard_ones(bot: Bot):
    baseline = {"position_fraction": D("0.30")}
    assert change(AccountLimits(account=bot.account, position_fraction=D("0.40")), by=bot.user) is not None

    with pytest.raises(BadInput, match=r"beyond the hard limits of the account: position_fraction 0.50 \(at most 0.4000\)"):
        change(BotLimits(bot=bot, position_fraction=D("0.50")), by=bot.user, reason="x", baseline=baseline)
    with pytest.raises(BadInput, match="position_fraction would allow more"):
        change(BotLimits(bot=bot, position_fraction=D("0.35")), by=bot.user, baseline=baseline)
    assert change(BotLimits(bot=bot, position_fraction=D("0.35")), by=bot.user, reason="x", baseline=baseline) is not None
    loose = AccountLimits.objects.get()
    loose.position_fraction = None
    with pytest.raises(BadInput, match="position_fraction would allow more"):
        change(loose, by=bot.user)


def test_the_tightest_of_account_bot_and_profile_holds(bot: Bot):
    config.create_missing()
    profile()
    AccountLimits.objects.create(account=bot.account, entries_per_day=3)
    BotLimits.objects.create(bot=bot, entries_per_day=4, position_fraction=D("0.10"))
    read = Bot.objects.select_related(*limit_selectors.OWNERS_OF_LIMITS).get(pk=bot.pk)

    used = limit_selectors.profile_of(read, settings=config.current())
    found = limit_selectors.effective(read, profile=used)

    assert (found.entries_per_day, found.position_fraction, found.daily_loss_fraction) == (3, D("0.1"), D("0.1"))
    assert [found.origins[name] for name in ("entries_per_day", "position_fraction", "spacing")] == ["account", "bot", "profile medium"]
    assert limit_selectors.of_account(read, profile=used).entries_per_day == 3
    assert str(BotLimits.objects.get()) == "entries_per_day 4, position_fraction 0.1000" and str(BotLimits()) == "—"


def test_a_shared_profile_governs_the_bots_that_name_none(bot: Bot):
    row = profile()
    live = factories.bot(home=factories.account(mode=Mode.LIVE), mode=Mode.LIVE)
    mine = RiskProfile.objects.create(name="mine", user=bot.user)

    assert limit_selectors.governs_live(row) and not limit_selectors.governs_live(mine)
    assert limit_selectors.governs_live(AccountLimits(account=live.account)) and not limit_selectors.governs_live(BotLimits(bot=bot))


# --- What is at stake ---


def money(bot: Bot) -> at_stake.AccountMoney:
    """Of its account."""
    return at_stake.read(account_id=bot.account_id, quote="KRW", symbol=SYMBOL)


def test_cash_spent_since_the_balance_was_told_is_not_free():
    """Between a fill and the next balance row two bots would count the same cash."""
    w = world()
    told = AccountBalance.objects.get(asset="KRW")
    order = w.fill(factories.planned_entry(w.bot))
    after = money(w.bot)
    AccountBalance.objects.filter(pk=told.pk).update(free=told.free, recorded_at=told.recorded_at)

    stale = money(w.bot)

    (total, fee) = rows("SELECT sum(total), sum(fee) FROM trades")[0]
    assert order.status == "filled"
    assert stale.free_cash == after.free_cash == told.free - total - fee
    assert (stale.at_stake.account, stale.at_stake.equity) == (total, 1_000_000 - fee)


def test_the_second_bot_does_not_spend_what_the_first_has_spent_before_the_balance_tells(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(STRATEGIES, "eager", factories.eager_strategy())
    w = world(strategy="eager", cash=D(90_000))
    second = factories.bot(home=w.bot.account, strategy="eager")
    w.edge.before["balances"] = unanswered  # the balance row stays what it was before the first fill

    for bot in (w.bot, second):
        cycles.run(bot_id=bot.pk, slot=SLOT, venue=w.venue)
        w.gateway_step()

    first, last = Order.objects.order_by("pk")
    left = D(90_000) - rows("SELECT sum(total + fee) FROM trades WHERE order_pk = %s", first.pk)[0][0]
    assert AccountBalance.objects.get(asset="KRW").free == 90_000
    assert (first.status, last.status) == ("filled", "filled")
    assert last.quote_amount == left / (1 + KRW_FEES.taker_rate) // 1, "what the first and its fee have left"


def unanswered(*_: Any, **__: Any) -> None:
    """The exchange does not tell."""
    raise ExchangeUnavailable("away")


def test_what_is_reserved_is_at_stake_and_not_free():
    w = world()
    order = factories.planned_entry(w.bot)
    SymbolGroup.objects.create(name="large", symbols=[SYMBOL, "KRW-ETH"])

    found = money(w.bot)

    assert found.at_stake.by_symbol == {SYMBOL: D(50_025)} and found.free_cash == D(1_000_000) - D(50_025)
    assert found.group == {SYMBOL, "KRW-ETH"} and order.reservation.notional == D(50_025)


def test_without_a_balance_neither_cash_nor_equity_is_known(bot: Bot):
    assert (money(bot).free_cash, money(bot).at_stake.equity) == (None, None)


def test_a_lower_observed_equity_counts():
    w = world()
    observe(w.bot, 400_000, at=SLOT)

    assert money(w.bot).at_stake.equity == 400_000


# --- The claim looks again ---


@pytest.mark.parametrize(
    ("tightened", "words"),
    [
        ({"account_exposure_fraction": D("0.05")}, "account exposure limit of 50000"),
        ({"symbol_exposure_fraction": D("0.05")}, "exposure limit of KRW-BTC of 50000"),
        ({"position_fraction": D("0.049")}, "over the largest position of 49000"),
    ],
)
def test_a_limit_tightened_after_planning_denies_the_entry(tightened: dict[str, Decimal], words: str):
    w = world()
    order = factories.planned_entry(w.bot)
    AccountLimits.objects.create(account=w.bot.account, **tightened)

    w.fill(order)

    assert order.status == "denied" and words in order.error_message
    assert money(w.bot).at_stake.account == 0, "what was reserved is free again"


def test_a_limit_loosened_after_planning_changes_nothing_for_what_was_pinned(monkeypatch: pytest.MonkeyPatch):
    pinned = EffectiveLimits(account_exposure_fraction=D("0.05")).as_row()
    monkeypatch.setattr(factories, "PLAN", {**factories.PLAN, "limits": pinned})
    w = world()

    assert w.fill(factories.planned_entry(w.bot)).status == "denied"


def test_safe_mode_and_a_tighter_limit_deny_and_both_are_told():
    w = world()
    order = factories.planned_entry(w.bot)
    observe(w.bot, 1_000_000, at=SLOT)
    observe(w.bot, 900_000, at=SLOT + HOUR)
    AccountLimits.objects.create(account=w.bot.account, position_fraction=D("0.04"))

    w.fill(order)

    assert order.status == "denied"
    for words in ("over the largest position of 40000", "safe mode: It lost 10.00 % today"):
        assert words in order.error_message


# --- Selling a part ---


def test_the_strategys_own_signal_sells_the_ratio_and_the_rest_stays_protected(monkeypatch: pytest.MonkeyPatch):
    eager = factories.eager_strategy()

    def leaving(candles: Any, parameters: Any) -> Any:
        return replace(eager.signals(candles, parameters), exit=np.ones(len(candles), np.int8))

    monkeypatch.setitem(STRATEGIES, "eager", replace(eager, signals=leaving))
    w = world(strategy="eager")
    RiskProfile.objects.update(sell_ratio=D("0.5"))
    w.fill(factories.planned_entry(w.bot))
    bought = Position.objects.get().amount
    w.clock.move_to(SLOT + HOUR)

    cycles.run(bot_id=w.bot.pk, slot=SLOT + HOUR, venue=w.venue)
    sale = w.fill(Order.objects.get(purpose="exit"))

    position = Position.objects.get()
    assert (sale.exit_reason, sale.status) == ("signal", "filled")
    assert bought / 2 <= sale.filled_amount <= bought / 2 + D("0.00000001")
    assert position.is_open and position.amount == bought - sale.filled_amount and position.exit_version == 2
    assert w.fill(factories.planned_exit(position)).filled_amount == position.amount


# --- Many bots, one account ---

LIMIT = D("0.30")


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> factories.World:
    """One account with many bots, each of which would spend 50,000 of its 1,000,000 at every close; the account allows 300,000."""
    monkeypatch.setitem(STRATEGIES, "eager", factories.eager_strategy())
    w = world(strategy="eager")
    AccountLimits.objects.create(account=w.bot.account, account_exposure_fraction=LIMIT)
    for _ in range(scale(sample=11, full=49)):
        factories.bot(home=w.bot.account, strategy="eager")
    return w


WATCH = """
CREATE TABLE stakes_seen (amount numeric NOT NULL);
CREATE FUNCTION note_stake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO stakes_seen SELECT
        (SELECT coalesce(sum(bought_total * amount / nullif(bought_amount, 0)), 0) FROM positions WHERE closed_at IS NULL)
        + (SELECT coalesce(sum(greatest(notional - coalesce(
            (SELECT sum(total + fee) FROM trades WHERE trades.order_pk = held.order_pk), 0), 0)), 0)
           FROM reservations AS held WHERE status = 'held');
    RETURN NULL;
END $$;
"""
WATCH_TABLE = """
CREATE CONSTRAINT TRIGGER watch AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION note_stake();
"""
UNWATCH = "DROP FUNCTION note_stake() CASCADE; DROP TABLE stakes_seen;"


@pytest.fixture
def watched(crowd: factories.World) -> Iterator[factories.World]:
    """PostgreSQL itself notes what is at stake at the end of every transaction that changes it. Planners and claims hold the account
    until they have committed, so none of these notes misses another's."""
    factories.execute(WATCH + "".join(WATCH_TABLE.format(table=table) for table in ("reservations", "positions", "trades")))
    yield crowd
    factories.execute(UNWATCH)


def test_parallel_bots_never_put_more_at_stake_than_the_account_allows(watched: factories.World):
    """Every bot runs its whole cycle in its own thread and connections while the gateway claims and fills."""
    bots = list(Bot.objects.filter(account=watched.bot.account).values_list("pk", flat=True))
    barrier = Barrier(len(bots))

    def trade(bot_pk: int) -> None:
        barrier.wait()
        assert cycles.run(bot_id=bot_pk, slot=SLOT, venue=watched.venue) is not None

    threads = [Thread(lambda bot_pk=bot_pk: trade(bot_pk)) for bot_pk in bots]
    while any(thread.is_alive() for thread in threads):
        watched.gateway_step()
    for thread in threads:
        thread.join_or_fail()
    watched.gateway_step()

    orders = Order.objects.count()
    commits, most, last = rows("SELECT count(*), max(amount), (array_agg(amount))[count(*)] FROM stakes_seen")[0]
    assert commits >= 3 * orders, "each was reserved, filled and converted"
    assert most <= LIMIT * D(1_000_000)
    assert last == money(watched.bot).at_stake.account > (LIMIT - D("0.05")) * D(1_000_000), "hardly anything of what is allowed was used"
    assert orders < len(bots), "some were refused"
    assert watched.store.balances()["KRW"] == D(1_000_000) - rows("SELECT sum(total + fee) FROM trades")[0][0]
