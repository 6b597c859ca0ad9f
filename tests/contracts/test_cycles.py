"""A cycle runs once per slot, goes on after a crash, says why it stops, and never buys on what it does not know."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from backtests.strategies.base import NO, UNKNOWN
from backtests.strategies.registry import STRATEGIES
from dgbot.base.machine import machine_now
from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.types import Level, Mode, OrderBook
from risk import kill_switch
from risk import services as risk
from risk.domain.limits import EffectiveLimits
from risk.models import Reservation, RiskEvent, RiskState
from risk.services import Observation, Owner
from tests import factories
from tests.factories import PRICE, SLOT, Died, Edge, Thread, World, dies, eager_strategy, execute, planned_entry, world
from trading.models import AccountBalance, Bot, Cycle, Decision, Order, Position, StageResult
from trading.models.cycles import CycleTrigger
from trading.services import config, cycles, dispatch
from trading.services.account_fees import KeylessExchange
from trading.services.cycles import Ran
from trading.services.stages import analysis
from trading.signals import cycle_finished, decision_made

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

D = Decimal
HOUR = timedelta(hours=1)
ALL_GO = ["continue"] * 4


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A strategy that buys at every close is known by name."""
    monkeypatch.setitem(STRATEGIES, "eager", eager_strategy())
    return


def eager_world(**given: Any) -> World:
    """A world whose bot buys at every close."""
    return world(strategy="eager", **given)


def run(w: World, *, slot: Any = SLOT, **given: Any) -> Ran | None:
    """One call of the pipeline."""
    return cycles.run(bot_id=w.bot.pk, slot=slot, venue=w.venue, **given)


def told(w: World) -> dict[str, Any]:
    """Everything a cycle leaves behind, without primary keys and durations."""
    cycle = Cycle.objects.get(bot=w.bot)
    without_keys = re.compile(r"Order \d+|position \d+")
    return {
        "cycle": (cycle.slot, cycle.status, without_keys.sub("", cycle.outcome)),
        "stages": [
            (
                row.stage,
                row.action,
                without_keys.sub("", str(row.reasons)),
                {key: row.data[key] for key in row.data if key != "order"},
                row.created_at,
            )
            for row in cycle.stages.order_by("pk")
        ],
        "decisions": list(
            Decision.objects.filter(bot=w.bot).values_list(
                "decision", "reason", "market_data", "proposal", "verdict", "candles_hash", "created_at"
            )
        ),
        "orders": list(
            Order.objects.filter(bot=w.bot).values_list("purpose", "side", "quote_amount", "plan", "status", "decision_key", "created_at")
        ),
        "reserved": list(Reservation.objects.filter(bot=w.bot).values_list("notional", "status")),
    }


def actions(w: World) -> list[str]:
    """What the stages of the bot's newest cycle said, in their order."""
    cycle = Cycle.objects.filter(bot=w.bot).latest("slot")
    return [row.action for row in cycle.stages.order_by("pk")]


def codes(w: World, stage: str) -> set[str]:
    """Reason codes of one stage of the bot's newest cycle."""
    cycle = Cycle.objects.filter(bot=w.bot).latest("slot")
    return {reason["code"] for reason in cycle.stages.get(stage=stage).reasons}


def worker_lost() -> None:
    """As if the worker had died and its leases had run out."""
    execute("UPDATE leases SET expires_at = '-infinity' WHERE name LIKE 'bot:%%'")
    execute("UPDATE cycles SET lease_expires_at = clock_timestamp() - interval '1 second' WHERE status = 'running'")


# --- The straight way ---


def test_a_cycle_walks_its_four_stages_and_plans_one_entry():
    w = eager_world()

    ran = run(w)

    order = Order.objects.get()
    assert ran is not None and ran.order_pk == order.pk and actions(w) == ALL_GO
    assert (order.status, order.quote_amount, order.created_at) == ("planned", D(50_000), SLOT)
    assert Reservation.objects.get().notional == D("50025")
    cycle = Cycle.objects.get()
    assert cycle.status == "done" and cycle.finished_at and cycle.config_version is not None and cycle.lease_expires_at is None
    assert Decision.objects.get().decision == "buy"


def test_an_entry_whose_fees_nobody_has_told_is_left_out_with_the_reason():
    w = eager_world()
    keyless = KeylessExchange(public=w.venue.exchange, account=w.bot.account)

    ran = cycles.run(bot_id=w.bot.pk, slot=SLOT, venue=replace(w.venue, exchange=keyless))

    (reason,) = StageResult.objects.get(stage="execution").reasons
    assert ran is not None and ran.order_pk is None
    assert reason["code"] == "fees_unknown" and "the gateway asks for them" in reason["message"]


def test_a_strategy_that_proposes_nothing_ends_with_nothing_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(STRATEGIES, "eager", eager_strategy(entry=NO))
    w = eager_world()
    run(w)

    assert actions(w) == ["continue", "continue", "skip", "skip"] and codes(w, "execution") == {"nothing_to_do"}
    assert Decision.objects.get().decision == "hold" and not Order.objects.exists()


def test_a_strategy_that_cannot_tell_abstains(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(STRATEGIES, "eager", eager_strategy(entry=UNKNOWN))
    w = eager_world()
    run(w)

    assert Decision.objects.get().decision == "abstain" and not Order.objects.exists()


# --- Once per slot ---


def test_a_second_run_of_a_slot_does_nothing():
    w = eager_world()
    run(w)
    before = told(w)

    assert run(w) is None and told(w) == before


def test_runs_of_one_slot_at_once_make_one_cycle():
    w = eager_world()
    start = threading.Barrier(4)

    def work() -> Ran | None:
        start.wait(factories.WAIT_S)
        return run(w)

    answers = [thread.join_or_fail() for thread in [Thread(work) for _ in range(4)]]

    assert sum(answer is not None for answer in answers) == 1 and actions(w) == ALL_GO and Order.objects.count() == 1


CRASHES: dict[str, Callable[[World, pytest.MonkeyPatch], None]] = {
    "after risk check": lambda w, _patch: w.edge.before.update(order_book=dies),
    "after data collection": lambda _w, patch: patch.setitem(STRATEGIES, "eager", eager_strategy(on_signals=dies)),
    "after analysis": lambda w, _patch: w.edge.before.update(fees=dies),
}


@pytest.mark.parametrize("moment", CRASHES)
def test_a_successor_goes_on_at_the_first_stage_without_a_row(moment: str, monkeypatch: pytest.MonkeyPatch):
    whole = eager_world()
    run(whole)
    w = eager_world()
    CRASHES[moment](w, monkeypatch)
    with pytest.raises(Died):
        run(w)
    done = StageResult.objects.filter(cycle__bot=w.bot).count()
    assert done == list(CRASHES).index(moment) + 1

    w.edge.before.clear()
    asked: list[int] = []
    monkeypatch.setitem(STRATEGIES, "eager", eager_strategy(on_signals=lambda: asked.append(1)))
    assert run(w) is None, "its lease still holds"
    worker_lost()
    assert [due.slots for due in dispatch.unfinished()] == [(SLOT,)]

    ran = run(w)

    assert ran is not None and told(w) == told(whole)
    assert len(asked) == (0 if moment == "after analysis" else 1), "a decision that is stored is not asked for again"
    assert Cycle.objects.get(bot=w.bot).runner_epoch == 2


@pytest.mark.parametrize("signal", [decision_made, cycle_finished], ids=["after analysis", "after execution"])
def test_a_death_in_the_moment_of_the_news_loses_and_doubles_nothing(signal: Any):
    whole = eager_world()
    run(whole)
    w = eager_world()
    signal.connect(dies)
    try:
        with pytest.raises(Died):
            run(w)
    finally:
        signal.disconnect(dies)
    worker_lost()

    run(w)

    assert told(w) == told(whole)


def test_a_successor_that_dies_is_followed_too():
    w = eager_world()
    w.edge.before["order_book"] = dies
    for _ in range(3):
        with pytest.raises(Died):
            run(w)
        worker_lost()
    w.edge.before.clear()

    run(w)

    assert actions(w) == ALL_GO and Order.objects.count() == 1 and Cycle.objects.get().runner_epoch == 4


def test_a_worker_that_wakes_up_after_its_takeover_writes_nothing():
    w = eager_world()
    is_at_work, may_finish = threading.Event(), threading.Event()

    def wait(*_: Any, **__: Any) -> None:
        is_at_work.set()
        assert may_finish.wait(factories.WAIT_S)

    successors = replace(w.venue, exchange=Edge(w.edge.inner, before={"order_book": wait}))
    threads: list[Thread] = []

    def sleep(*_: Any, **__: Any) -> None:
        Thread(worker_lost).join_or_fail()
        threads.append(Thread(lambda: cycles.run(bot_id=w.bot.pk, slot=SLOT, venue=successors)))
        assert is_at_work.wait(factories.WAIT_S)

    w.edge.before["order_book"] = sleep

    assert run(w) is None
    assert actions(w) == ["continue"], "only what was written before it fell asleep"
    assert Cycle.objects.get().status == "running" and not Decision.objects.exists() and not Order.objects.exists()
    may_finish.set()
    assert threads[0].join_or_fail() is not None
    assert actions(w) == ALL_GO and Cycle.objects.get().status == "done" and Order.objects.get().lease_epoch == 2


def test_a_worker_that_fails_after_its_takeover_does_not_fail_the_successors_cycle():
    w = eager_world()

    def fail_late(*_: Any, **__: Any) -> None:
        Thread(worker_lost).join_or_fail()
        Thread(
            lambda: execute("UPDATE cycles SET runner_epoch = runner_epoch + 1, lease_expires_at = now() + interval '1 h'")
        ).join_or_fail()
        raise ZeroDivisionError

    w.edge.before["order_book"] = fail_late
    with pytest.raises(ZeroDivisionError):
        run(w)

    assert Cycle.objects.get().status == "running"


def test_a_cycle_that_breaks_is_failed_with_its_cause():
    w = eager_world()

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("by zero")

    w.edge.before["order_book"] = broken
    with pytest.raises(ZeroDivisionError):
        run(w)

    cycle = Cycle.objects.get()
    assert cycle.status == "failed" and "by zero" in cycle.outcome and run(w) is None


# --- What is unknown ---


def gone(*_: Any, **__: Any) -> None:
    """The exchange does not answer."""
    raise ExchangeUnavailable("no route")


def crossed(book: OrderBook) -> OrderBook:
    """Bids above asks."""
    return replace(book, bids=book.asks, asks=book.bids)


def test_an_unknown_price_stops_the_entry():
    w = eager_world(price=None)
    run(w)

    assert actions(w) == ["stop", "skip", "skip", "skip"] and codes(w, "risk_check") == {"unknown"}


def test_a_balance_that_was_never_told_stops_the_entry():
    w = eager_world()
    AccountBalance.objects.all().delete()
    run(w)

    assert actions(w)[0] == "stop" and "unknown" in codes(w, "risk_check")


def test_an_unknown_allocation_stops_the_entry():
    w = eager_world(allocation=None)
    run(w)

    assert actions(w)[0] == "stop" and "unknown" in codes(w, "risk_check")


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        ({"before": gone}, "book_unknown"),
        ({"after": crossed}, "book_unusable"),
        ({"after": lambda book: replace(book, asks=())}, "book_unusable"),
        ({"after": lambda book: replace(book, bids=())}, "book_unusable"),
        ({"after": lambda book: replace(book, asks=(Level(D("NaN"), D(1)),))}, "book_unusable"),
        ({"after": lambda book: replace(book, asks=(Level(PRICE, D(0)),))}, "book_unusable"),
    ],
)
def test_without_a_usable_book_the_decision_abstains(wire: dict[str, Any], code: str):
    w = eager_world()
    w.edge.before.update({"order_book": wire["before"]} if "before" in wire else {})
    w.edge.after.update({"order_book": wire["after"]} if "after" in wire else {})
    run(w)

    assert code in codes(w, "data_collection") and Decision.objects.get().decision == "abstain" and not Order.objects.exists()


def test_a_price_that_goes_missing_between_two_stages_abstains():
    w = eager_world()
    asked: list[int] = []

    def fades(*_: Any, **__: Any) -> None:
        asked.append(1)
        if len(asked) > 1:
            gone()

    w.edge.before["ticker"] = fades
    run(w)

    assert "price_unknown" in codes(w, "data_collection") and Decision.objects.get().decision == "abstain" and not Order.objects.exists()


def test_a_slot_whose_candle_does_not_exist_abstains():
    w = eager_world()
    slot = SLOT + HOUR
    w.clock.move_to(slot)
    run(w, slot=slot)

    assert "no_new_candle" in codes(w, "data_collection") and Decision.objects.get().decision == "abstain" and not Order.objects.exists()


def test_without_any_candle_nothing_is_decided():
    w = eager_world(anchor_at=SLOT + 100 * HOUR)
    run(w)

    assert actions(w) == ["continue", "skip", "skip", "skip"] and "candles_unknown" in codes(w, "data_collection")
    assert not Decision.objects.exists() and not Order.objects.exists()


# --- What blocks ---


def test_a_buy_over_the_rsi_limit_is_blocked_by_the_validator():
    w = eager_world(candles=factories.rising())
    run(w)

    assert actions(w) == ["continue", "continue", "skip", "skip"] and "rsi_overbought" in codes(w, "analysis")
    assert Decision.objects.get().verdict["is_valid"] is False and not Order.objects.exists()


def test_entries_keep_their_spacing_to_the_second():
    w = eager_world()
    w.fill(planned_entry(w.bot, slot=SLOT - HOUR))
    execute("UPDATE positions SET closed_at = now(), amount = 0")
    execute("UPDATE risk_states SET last_trade_time = %s WHERE bot_id IS NOT NULL", SLOT - 4 * HOUR + timedelta(seconds=1))
    run(w)
    assert actions(w)[0] == "stop" and codes(w, "risk_check") == {"spacing"}

    execute("UPDATE risk_states SET last_trade_time = %s WHERE bot_id IS NOT NULL", SLOT - 4 * HOUR)
    Cycle.objects.filter(slot=SLOT).delete()
    run(w)
    assert actions(w) == ALL_GO


def test_the_daily_count_ends_with_the_day_in_seoul():
    w = eager_world()
    RiskState.objects.create(
        bot=w.bot, account=w.bot.account, user=w.bot.user, mode=w.bot.mode, trading_day=SLOT.date(), daily_trade_count=5, updated_at=SLOT
    )
    run(w)
    assert actions(w)[0] == "stop" and codes(w, "risk_check") == {"daily_count"}

    w.clock.move_to(SLOT.replace(hour=15))  # midnight in Seoul
    run(w, slot=SLOT.replace(hour=15))
    assert "daily_count" not in codes(w, "risk_check")


def test_safe_mode_of_bot_or_account_outlives_midnight_and_blocks_entries():
    for whose in ("bot", "account"):
        w = eager_world()
        RiskState.objects.create(
            bot=w.bot if whose == "bot" else None,
            account=w.bot.account,
            user=w.bot.user,
            mode=w.bot.mode,
            trading_day=SLOT.date() - timedelta(days=3),
            safe_mode=True,
            safe_mode_reason="lost too much",
            updated_at=SLOT - 72 * HOUR,
        )
        run(w)

        assert actions(w)[0] == "stop" and codes(w, "risk_check") == {"safe_mode"}


def test_a_loss_of_ten_per_cent_trips_the_breaker_in_the_same_cycle():
    w = eager_world()
    RiskState.objects.create(
        bot=w.bot,
        account=w.bot.account,
        user=w.bot.user,
        mode=w.bot.mode,
        trading_day=SLOT.date(),
        start_equity=D(1_100_000),
        start_capital=D(1_000_000),
        updated_at=SLOT,
    )
    run(w)

    assert codes(w, "risk_check") == {"safe_mode"} and RiskEvent.objects.get().code == "daily_loss"
    assert not Order.objects.exists()


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_the_kill_switch_stops_the_cycle(level: int):
    w = eager_world()
    kill_switch.change(scope="bot", scope_id=str(w.bot.pk), level=level, by=w.bot.user, reason="test")
    run(w)

    assert actions(w)[0] == "stop" and "kill_switch" in codes(w, "risk_check") and not Order.objects.exists()


@pytest.mark.parametrize(("level", "action"), [(1, "exit"), (3, "exit"), (4, "stop")])
def test_with_a_position_only_the_freeze_keeps_it_from_leaving(level: int, action: str):
    w = eager_world()
    position = factories.position(w.bot)
    w.quotes.price = position.stop_price
    kill_switch.change(scope="platform", scope_id="", level=level, by=w.bot.user, reason="test")
    run(w)

    assert actions(w)[0] == action and Order.objects.count() == int(action == "exit")


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("target_symbols", {"symbols": ["KRW-ETH"]}, "target_symbols"),
        ("bot_status", {"enabled": False}, "bot_status"),
    ],
)
def test_switches_block_a_paper_bot(key: str, value: dict[str, Any], code: str):
    w = eager_world(mode=Mode.PAPER)
    config.change(key="bot_status", value={"enabled": True}, by=w.bot.user, reason="test")
    config.change(key=key, value=value, by=w.bot.user, reason="test")
    run(w)

    assert actions(w)[0] == "stop" and codes(w, "risk_check") == {code}


def test_a_replay_ignores_the_switches_of_paper_and_live():
    w = eager_world()
    config.change(key="target_symbols", value={"symbols": ["KRW-ETH"]}, by=w.bot.user, reason="test")
    run(w)

    assert actions(w) == ALL_GO


def test_an_order_whose_fate_is_open_blocks_the_next_entry():
    w = eager_world()
    planned_entry(w.bot, slot=SLOT - HOUR)
    run(w)

    assert actions(w)[0] == "stop" and codes(w, "risk_check") == {"unproven_order"} and Order.objects.count() == 1


# --- What is held ---


@pytest.mark.parametrize(("share", "reason"), [("0.95", "stop"), ("0.9", "stop"), ("1.1", "target")])
def test_stop_and_target_are_left_at_once_without_being_decided(share: str, reason: str):
    w = eager_world()
    factories.position(w.bot)
    w.quotes.price = PRICE * D(share)
    run(w)

    order = Order.objects.get()
    assert actions(w) == ["exit", "skip", "skip", "exit"] and (order.purpose, order.exit_reason) == ("exit", reason)
    assert not Decision.objects.exists()


def test_with_a_position_nothing_more_is_bought():
    w = eager_world()
    factories.position(w.bot)
    run(w)

    assert not Order.objects.exists() and Decision.objects.get().decision == "hold"


def test_a_position_whose_price_is_unknown_is_kept_and_said_so():
    w = eager_world(price=None)
    factories.position(w.bot)
    run(w)

    assert actions(w)[0] == "continue" and codes(w, "risk_check") == {"price_unknown"} and not Order.objects.exists()


def test_a_crash_after_an_exit_was_decided_still_leaves_once():
    w = eager_world()
    factories.position(w.bot)
    w.quotes.price = PRICE * D("0.9")
    cycle_finished.connect(dies)
    try:
        with pytest.raises(Died):
            run(w)
    finally:
        cycle_finished.disconnect(dies)
    worker_lost()
    run(w)

    assert Order.objects.filter(purpose="exit").count() == 1 and Position.objects.count() == 1


# --- Size ---


def test_the_size_is_the_smallest_of_all_caps():
    for columns, amount in (
        ({"trade_amount": D(900_000)}, D(300_000)),  # 30 % of the allocation
        ({"trade_amount": D(900_000), "allocation": D(100_000)}, D(30_000)),
        ({"trade_amount": D("50000.9")}, D(50_000)),
    ):
        w = eager_world(**columns)
        run(w)
        assert Order.objects.get(bot=w.bot).quote_amount == amount


def test_money_reserved_for_another_order_is_not_spent_twice():
    w = eager_world(cash=D(80_000))
    other = factories.bot(home=w.bot.account)
    planned_entry(other)
    run(w)

    assert Order.objects.get(bot=w.bot).quote_amount == 29_960  # (80,000 − 50,025) / 1.0005


def test_too_little_money_buys_nothing_and_says_so():
    w = eager_world(cash=D(5001))
    run(w)

    assert actions(w)[3] == "stop" and codes(w, "execution") == {"below_minimum"} and not Order.objects.exists()


def test_an_entry_that_could_not_be_sold_at_its_stop_is_not_made():
    w = eager_world(trade_amount=D(5000))
    run(w)

    assert codes(w, "execution") == {"unsellable_at_stop"} and not Order.objects.exists()


def test_a_thin_book_stops_the_entry():
    w = eager_world()
    w.edge.after["order_book"] = lambda book: replace(book, asks=(Level(book.asks[0].price, D("0.0001")),))
    run(w)

    assert codes(w, "execution") == {"no_liquidity"} and not Order.objects.exists()


def test_a_steep_book_stops_the_entry():
    w = eager_world()
    w.edge.after["order_book"] = lambda book: replace(book, asks=(Level(PRICE, D("0.0001")), Level(PRICE * 2, D(1))))
    run(w)

    assert codes(w, "execution") == {"slippage"} and not Order.objects.exists()


# --- Slots that are not run ---


def test_a_missed_slot_is_written_down_once_and_never_run():
    w = eager_world()

    assert cycles.record_missed(bot=w.bot, slot=SLOT, why="too late")
    assert not cycles.record_missed(bot=w.bot, slot=SLOT, why="too late")
    assert run(w) is None
    cycle = Cycle.objects.get()
    assert (cycle.status, cycle.outcome, cycle.stages.count()) == ("missed", "too late", 0)


def hourly(*, at_minute: int) -> PeriodicTask:
    """A schedule that names one minute of every hour."""
    crontab = CrontabSchedule.objects.create(minute=str(at_minute % 60), timezone="Asia/Seoul")
    task = PeriodicTask.objects.create(name=f"hourly {at_minute}", task="test", crontab=crontab)
    with factories.triggers_off():  # the plan is a day old
        PeriodicTask.objects.filter(pk=task.pk).update(date_changed=machine_now() - timedelta(days=1))
    return task


def test_the_newest_slot_is_due_while_it_is_young_and_missed_when_it_is_old():
    now = machine_now()
    young, old = hourly(at_minute=now.minute), hourly(at_minute=now.minute + 30)
    on_time, late = factories.bot(mode=Mode.PAPER, schedule=young), factories.bot(mode=Mode.PAPER, schedule=old)
    factories.bot(mode=Mode.PAPER, schedule=young, is_hidden=True)
    Bot.objects.filter(is_hidden=True).update(is_running=False)

    (due,) = dispatch.by_schedule(task_name=young.name)
    assert dispatch.by_schedule(task_name=old.name) == [] == dispatch.by_schedule(task_name=old.name)

    assert due.bot_id == on_time.pk and due.slots[0].minute == now.minute and now - due.slots[0] < 2 * timedelta(minutes=1)
    missed = Cycle.objects.get()
    assert (missed.bot, missed.status) == (late, "missed") and "late" in missed.outcome


def test_no_cycle_of_a_stopped_bot_begins_but_one_that_began_ends():
    w = eager_world()
    w.edge.before["order_book"] = dies
    with pytest.raises(Died):
        run(w)
    w.edge.before.clear()
    worker_lost()
    Bot.objects.update(is_running=False)

    assert run(w, slot=SLOT - HOUR) is None and not Cycle.objects.filter(slot=SLOT - HOUR).exists()
    assert run(w) is not None and Cycle.objects.get().status == "done"
    assert run(w, slot=SLOT - 2 * HOUR, trigger=CycleTrigger.OPERATOR) is not None, "run now is the operator's own wish"


# --- Decisions ---


def test_decisions_are_chained_and_a_changed_one_shows():
    w = eager_world()
    for hours in range(3):
        w.clock.move_to(SLOT + hours * HOUR)
        run(w, slot=SLOT + hours * HOUR)
        execute("UPDATE risk_states SET last_trade_time = NULL")
        w.gateway_step()
    decisions = list(Decision.objects.order_by("pk"))
    assert len(decisions) == 3

    previous = ""
    for decision in decisions:
        assert decision.previous_hash == previous and decision.hash == analysis.hash_of(decision)
        previous = decision.hash
    decisions[1].reason += "."
    assert analysis.hash_of(decisions[1]) != decisions[1].hash


def test_no_decision_uses_a_candle_that_was_not_closed():
    w = eager_world(candles=factories.choppy(factories.BARS + 10))
    run(w)

    decision = Decision.objects.get()
    assert decision.candle_count == factories.BARS
    assert decision.candles_hash == w.quotes.recording.hash_at(factories.BARS) and decision.anchor_at == factories.FIRST_OPEN


# --- Risk states ---


def test_safe_mode_set_meanwhile_is_not_washed_away_by_an_older_reading():
    """Two bots of one account: while one observes, the other trips the account's breaker."""
    w = eager_world()
    owner = Owner(account_id=w.bot.account_id, user_id=w.bot.user_id, mode=w.bot.mode)

    def observe(equity: str) -> None:
        limits = EffectiveLimits(daily_loss_fraction=D("0.1"), weekly_loss_fraction=D("0.15"))
        seen = Observation(bot_id=None, whose="Account", equity=D(equity), limit_base=None, limits=limits)
        risk.observe(owner=owner, observations=[seen], now=SLOT, zone="Asia/Seoul")

    observe("1000000")
    with transaction.atomic():
        observe("800000")
        late = Thread(lambda: observe("999999"))
        factories.wait_for_row_lock()
    late.join_or_fail()

    state = RiskState.objects.get(bot=None, account=w.bot.account)
    assert state.safe_mode and state.safe_mode_reason


def test_release_needs_a_reason_and_the_newest_state():
    w = eager_world()
    columns = {
        "account": w.bot.account,
        "user": w.bot.user,
        "mode": w.bot.mode,
        "safe_mode": True,
        "safe_mode_reason": "x",
        "updated_at": SLOT,
    }
    old = RiskState.objects.create(trading_day=SLOT.date() - timedelta(days=1), **columns)
    new = RiskState.objects.create(trading_day=SLOT.date(), **columns)

    for pk, reason in ((new.pk, " "), (old.pk, "seen")):
        with pytest.raises(Exception, match="not released"):
            risk.release_safe_mode(state_pk=pk, by=w.bot.user, reason=reason, now=SLOT)
    risk.release_safe_mode(state_pk=new.pk, by=w.bot.user, reason="seen", now=SLOT)

    assert not RiskState.objects.get(pk=new.pk).safe_mode and RiskEvent.objects.get().code == "safe_mode_released"


def test_the_week_counts_seven_trading_days():
    w = eager_world()
    owner = Owner(account_id=w.bot.account_id, user_id=w.bot.user_id, mode=w.bot.mode)
    for ago, equity in ((8, "5000000"), (6, "2000000"), (2, "1000000")):
        RiskState.objects.create(
            account=w.bot.account,
            user=w.bot.user,
            mode=w.bot.mode,
            trading_day=SLOT.date() - timedelta(days=ago),
            start_equity=D(equity),
            updated_at=SLOT,
        )
    limits = EffectiveLimits(daily_loss_fraction=D("0.1"), weekly_loss_fraction=D("0.9"))
    seen = Observation(bot_id=None, whose="Account", equity=D(1_900_000), limit_base=None, limits=limits)

    (state,) = risk.observe(owner=owner, observations=[seen], now=SLOT, zone="Asia/Seoul")

    assert (state.daily_pnl, state.weekly_pnl) == (0, D(-100_000))


def test_at_the_lowest_price_there_is_nothing_is_bought():
    w = eager_world(price=Decimal("0.00000001"))  # nothing lies between it and zero: no bid, and no place for a stop

    run(w)

    assert Decision.objects.get().decision == "abstain" and "book_unusable" in codes(w, "data_collection")
    assert not Order.objects.exists()


def test_a_successor_without_candles_abstains(monkeypatch: pytest.MonkeyPatch):
    w = eager_world()
    monkeypatch.setitem(STRATEGIES, "eager", eager_strategy(on_signals=dies))
    with pytest.raises(Died):
        run(w)
    worker_lost()

    def away(*_: Any, **__: Any) -> None:
        raise ExchangeUnavailable("the history is away")

    monkeypatch.setattr(w.quotes, "closed", away)
    run(w)

    assert Decision.objects.get().decision == "abstain" and not Order.objects.exists()
    assert Cycle.objects.get().status == "done"
