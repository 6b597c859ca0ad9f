"""Bots: what is wanted, what is, how one becomes the other, and that nobody is surprised by it."""

import subprocess
import sys
from datetime import timedelta

import pytest

from dgbot.accounts.models import AuditEntry
from dgbot.base.machine import holder, machine_now
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from risk.models import RiskEvent, RiskState
from tests import factories
from tests.factories import World, execute, planned_entry, position, world
from trading.domain.lifecycle import Status
from trading.models import Bot, BotStatus, Cycle, Order, Position
from trading.services import bots, cycles, dispatch, leases, slots

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])


def held_world() -> tuple[World, Position]:
    """A bot with a position that the exchange knows, too."""
    w = world()
    entry = planned_entry(w.bot)
    assert w.fill(entry).status == Status.FILLED
    return w, Position.objects.get()


def state(bot: Bot) -> tuple[str, str]:
    bot.refresh_from_db()
    return bot.status, bot.status_reason


def settle(w: World) -> None:
    w.gateway_step()
    bots.settle_wanted(account_id=w.bot.account_id)


@pytest.fixture(autouse=True)
def stepped_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replayed bot's market time is told by its driver; here it stands still."""
    monkeypatch.setattr(bots, "market_now", lambda _bot: factories.SLOT)


# --- Stop, keep or close ---


def test_stop_keeps_the_position_with_its_protection() -> None:
    w, held = held_world()

    bots.stop(bot_pk=w.bot.pk, by=w.bot.user)

    assert state(w.bot) == ("stopped", "stopped by the operator")
    held.refresh_from_db()
    assert held.is_open and held.stop_price and not Order.objects.filter(purpose="exit").exists()


def test_stop_and_close_sells_its_own_position_and_nothing_else() -> None:
    w, held = held_world()
    other = position(factories.bot(home=w.bot.account))

    bots.stop(bot_pk=w.bot.pk, by=w.bot.user, close=True, now=factories.SLOT)
    bots.stop(bot_pk=w.bot.pk, by=w.bot.user, close=True, now=factories.SLOT)  # a second click
    assert state(w.bot)[0] == "stopping"
    settle(w)

    exit_order = Order.objects.get(purpose="exit")
    assert (exit_order.amount, exit_order.status, exit_order.exit_reason) == (held.amount, Status.FILLED, "operator")
    settle(w)
    assert state(w.bot) == ("stopped", "stopped by the operator; its position is closed")
    other.refresh_from_db()
    assert other.is_open and not Order.objects.filter(position=other).exists()


def test_a_bot_goes_on_stopping_when_its_sale_came_to_nothing() -> None:
    w, _held = held_world()
    bots.stop(bot_pk=w.bot.pk, by=w.bot.user, close=True, now=factories.SLOT)
    first = Order.objects.get(purpose="exit")

    def away(_request: object) -> None:
        from dgbot.core.errors import ExchangeRejected

        raise ExchangeRejected("the market is paused", code="paused")

    w.edge.before["place"] = away
    settle(w)
    w.edge.before.clear()
    assert state(w.bot)[0] == "stopping"
    settle(w)
    settle(w)

    assert state(w.bot)[0] == "stopped" and not Position.objects.open().exists()
    assert Order.objects.filter(purpose="exit").exclude(pk=first.pk).count() == 1


def test_closing_without_a_position_is_a_plain_stop() -> None:
    w = world()

    bots.stop(bot_pk=w.bot.pk, by=w.bot.user, close=True, now=factories.SLOT)

    assert state(w.bot) == ("stopped", "stopped by the operator") and not Order.objects.exists()


def test_an_entry_on_its_way_keeps_a_closing_bot_stopping_until_its_fate_is_known() -> None:
    w = world()
    planned_entry(w.bot)

    bots.stop(bot_pk=w.bot.pk, by=w.bot.user, close=True, now=factories.SLOT)
    assert state(w.bot)[0] == "stopping"
    settle(w)

    assert state(w.bot)[0] == "stopped" and Order.objects.get().status == Status.DENIED


def test_a_stopping_bot_is_not_started() -> None:
    w, _held = held_world()
    bots.stop(bot_pk=w.bot.pk, by=w.bot.user, close=True, now=factories.SLOT)

    with pytest.raises(BadInput, match=r"was not started"):
        bots.start(bot_pk=w.bot.pk, by=w.bot.user)


# --- Pause ---


def test_a_paused_bot_opens_nothing_and_sells_all_the_same() -> None:
    w = world()
    bots.pause(bot_pk=w.bot.pk, by=w.bot.user, reason="news at nine")
    assert state(w.bot) == ("paused", "the operator paused its entries")

    entry = planned_entry(w.bot)
    assert w.fill(entry).status == Status.DENIED and "paused" in entry.error_message

    bots.resume(bot_pk=w.bot.pk, by=w.bot.user)
    assert state(w.bot) == ("running", "")
    assert [entry.action for entry in AuditEntry.objects.order_by("pk")][-2:] == ["pause entries", "resume entries"]


def test_a_takeover_keeps_the_pause() -> None:
    w = world()
    bots.pause(bot_pk=w.bot.pk, by=w.bot.user)

    bots.await_gateway(account_id=w.bot.account_id)
    assert state(w.bot) == ("requested", "waiting for the gateway")
    settle(w)

    assert state(w.bot)[0] == "paused"


# --- What is, is shown ---


def test_a_wanted_bot_starts_once_its_position_is_known_and_not_before() -> None:
    w = world()
    order = planned_entry(w.bot)
    execute("UPDATE orders SET status = 'planned' WHERE id = %s", order.pk)
    w.edge.after["place"] = lambda _answer: (_ for _ in ()).throw(TimeoutError("no answer"))
    w.edge.before["order"] = lambda **_: (_ for _ in ()).throw(TimeoutError("no answer"))
    with pytest.raises(TimeoutError):
        w.gateway_step()
        w.gateway_step()

    bots.await_gateway(account_id=w.bot.account_id)
    bots.settle_wanted(account_id=w.bot.account_id)
    assert state(w.bot) == ("starting", f"the fate of order {order.pk} is unknown, so its position is, too")
    assert cycles.run(bot_id=w.bot.pk, slot=factories.SLOT + timedelta(hours=1), venue=w.venue) is None  # no decision meanwhile

    w.edge.after.clear()
    w.edge.before.clear()
    w.wait_out_the_send()
    settle(w)

    assert state(w.bot) == ("running", "") and Position.objects.open().count() == 1


def test_unknown_balances_keep_a_bot_starting() -> None:
    w = world()
    execute("DELETE FROM account_balances")
    bots.await_gateway(account_id=w.bot.account_id)

    bots.settle_wanted(account_id=w.bot.account_id)

    assert state(w.bot) == ("starting", "the exchange has not told the balances yet")


def test_three_failed_cycles_on_end_block_entries_until_an_operator_looks() -> None:
    w = world()
    for hour in range(3):
        cycle = factories.cycle(w.bot, slot=factories.SLOT + timedelta(hours=hour))
        cycles.fail(cycle_pk=cycle.pk, runner_epoch=1, why="ValueError: broken")
        assert state(w.bot) == ("failed", "its last cycle failed: ValueError: broken")

    settle(w)

    assert state(w.bot)[0] == "safe_mode" and "3 cycles of bot" in w.bot.status_reason
    assert RiskEvent.objects.get().code == "cycles_failed" and RiskState.objects.filter(safe_mode=True).count() == 1
    assert w.bot.is_running  # wanted stays wanted


def test_a_good_cycle_ends_the_failure() -> None:
    w = world()
    cycle = factories.cycle(w.bot, slot=factories.SLOT - timedelta(hours=1))
    cycles.fail(cycle_pk=cycle.pk, runner_epoch=1, why="ValueError: broken")
    settle(w)
    assert state(w.bot)[0] == "failed"

    cycles.run(bot_id=w.bot.pk, slot=factories.SLOT, venue=w.venue)

    assert state(w.bot) == ("running", "") and Cycle.objects.filter(status="done").exists()


def test_settling_twice_changes_nothing() -> None:
    w = world()

    assert bots.settle_wanted(account_id=w.bot.account_id) == []


def test_every_state_the_code_knows_is_allowed_by_the_database() -> None:
    made = factories.bot()
    for status in BotStatus:
        Bot.objects.filter(pk=made.pk).update(status=status)
        assert state(made)[0] == status


# --- Nobody waits for the dead ---


def dead_holder() -> str:
    """A process of this machine that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return f"{holder().rpartition(':')[0]}:{ended.pid}"


def test_the_lease_of_a_dead_process_of_this_machine_is_taken_at_once_with_a_higher_epoch() -> None:
    first = leases.acquire(name="gateway:7", seconds=60, holder=dead_holder())

    assert leases.acquire(name="gateway:7", seconds=60) == first + 1


@pytest.mark.parametrize("name", ["another machine:1", f"{holder().rpartition(':')[0]}:1", "nonsense"])
def test_the_lease_of_whoever_may_live_is_waited_for(name: str) -> None:
    leases.acquire(name="gateway:7", seconds=60, holder=name)

    assert leases.acquire(name="gateway:7", seconds=60) is None


def test_a_cycle_of_a_dead_runner_goes_on_at_once_and_before_any_later_slot() -> None:
    w = world(mode=Mode.SIMULATED)
    cycle = factories.cycle(w.bot)
    Cycle.objects.filter(pk=cycle.pk).update(runner=dead_holder(), lease_expires_at=machine_now() + timedelta(minutes=2))

    assert slots.simulated(w.bot, now=factories.SLOT + timedelta(hours=2), origin=factories.FIRST_OPEN)[0] == factories.SLOT
    assert [due.slots for due in dispatch.unfinished()] == [(factories.SLOT,)]
    assert cycles.run(bot_id=w.bot.pk, slot=factories.SLOT, venue=w.venue) is not None
    assert Cycle.objects.get().runner_epoch == 2
