"""Bots that look every few seconds, over a real database and the simulated market."""

import time
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from dgbot.base import warmups
from dgbot.core.interval import Interval
from dgbot.core.types import Mode
from risk.seeds import create_profiles
from tests import factories
from trading.exchanges.simulated_market import SimulatedMarket
from trading.models import Bot, Cycle, Lease, Order, Position, StageResult, TickCount
from trading.services import config, cycles, dispatch, gateway, leases, simulated_clock
from trading.services.live_series import KEPT
from trading.services.simulated_clock import SimulatedClock
from trading.services.ticker import Ticker
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import account_key, venue_for

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

SPEED = 60  # a market minute a second


def world(*, interval: Interval = Interval.MINUTE_1, tick_seconds: int = 1, **columns) -> Bot:
    """A running ticker bot on a simulated market whose clock runs SPEED times as fast as the machine's."""
    create_profiles()
    config.create_missing()
    home = factories.account(mode=Mode.SIMULATED)
    market = home.simulated_market
    type(market).objects.filter(pk=market.pk).update(speed=SPEED, checkpoint_at=datetime.now(tz=factories.FIRST_OPEN.tzinfo))
    market.refresh_from_db()
    DatabaseVenueStore(account_key(home)).open(asset="KRW", amount=factories.CASH)
    tenure = gateway.take_account(home.pk)
    assert tenure is not None
    gateway.step(account_id=home.pk, venue=venue_for(home), tenure=tenure)  # the balances are known
    return factories.bot(home=home, interval=interval.value, tick_seconds=tick_seconds, **columns)


def ticker() -> Ticker:
    warmups.run()  # as the process does: a strategy's first import takes seconds, in which slots are overtaken
    return Ticker(venue_for=venue_for, ring=lambda: None)


def drive(one: Ticker, *bots: Bot, seconds: float = 0, until=lambda: False) -> None:
    """Turn for so long, or until something holds; the market's clock ticks along."""
    deadline = time.monotonic() + (seconds or factories.WAIT_S)
    while time.monotonic() < deadline and not until():
        for bot in bots:
            simulated_clock.checkpoint(market_pk=bot.account.simulated_market_id)
        one.turn()
        time.sleep(0.02)
    assert seconds or until(), "it did not come to pass in time"


def slots_of(bot: Bot) -> list[datetime]:
    return list(Cycle.objects.filter(bot=bot, status="done").order_by("slot").values_list("slot", flat=True))


def test_every_closed_bar_is_a_slot_and_the_looks_between_leave_no_rows():
    bot, one = world(), ticker()

    drive(one, bot, until=lambda: len(slots_of(bot)) >= 3)
    one.close()

    slots = slots_of(bot)
    assert all(slot.second == slot.microsecond == 0 for slot in slots)
    assert {later - earlier for earlier, later in pairwise(slots)} == {timedelta(minutes=1)}
    counted = TickCount.objects.get(bot=bot)
    assert counted.looks >= 2
    assert StageResult.objects.count() == 4 * len(slots)


def test_decisions_rest_on_the_same_candles_a_slow_recomputation_gives():
    bot, one = world(interval=Interval.SECOND_5), ticker()

    drive(one, bot, until=lambda: len(slots_of(bot)) >= 8)
    one.close()

    bot.refresh_from_db()
    market = SimulatedMarket(bot.symbol, bot.account.simulated_market.seed, bot.account.simulated_market.origin)
    for cycle in Cycle.objects.filter(bot=bot, decision__isnull=False).select_related("decision"):
        decision = cycle.decision
        expected = market.candles(Interval.SECOND_5, decision.anchor_at, cycle.slot)
        assert decision.candle_count == len(expected)
        assert decision.candles_hash == expected.hash_at(len(expected))
    assert decision.candle_count >= KEPT - 20


def test_a_stop_that_is_reached_between_two_candles_is_left_at_once():
    bot, one = world(interval=Interval.HOUR_1), ticker()
    position = factories.position(bot, price=factories.PRICE)
    Position.objects.filter(pk=position.pk).update(stop_price=factories.PRICE * 10)

    drive(one, bot, until=lambda: Order.objects.filter(position=position).exists())
    one.close()

    order = Order.objects.get(position=position)
    stages = {row.stage: row for row in StageResult.objects.filter(cycle=order.cycle)}
    assert order.exit_reason == "stop"
    assert stages["risk_check"].action == "exit"
    assert stages["analysis"].reasons[0]["code"] == "between_candles"


def test_an_exit_that_waits_for_its_fill_makes_no_more_rows():
    bot, one = world(interval=Interval.HOUR_1), ticker()
    position = factories.position(bot, price=factories.PRICE)
    Position.objects.filter(pk=position.pk).update(stop_price=factories.PRICE * 10)

    drive(one, bot, seconds=4)
    one.close()

    assert TickCount.objects.get(bot=bot).looks >= 3
    assert Cycle.objects.filter(bot=bot).count() == 1


def test_an_answer_that_changes_is_written_down():
    bot, one = world(interval=Interval.HOUR_1), ticker()
    drive(one, bot, until=lambda: bot.pk in one.watched and one.watched[bot.pk].answer is not None)

    factories.planned_entry(bot)  # an order not proven blocks entries
    drive(one, bot, until=lambda: Cycle.objects.filter(bot=bot, status="done").exists())
    one.close()

    written = StageResult.objects.get(cycle__bot=bot, cycle__status="done", stage="risk_check")
    assert "unproven_order" in [reason["code"] for reason in written.reasons]


def test_two_tickers_never_watch_the_same_bot():
    bots, one, other = [world(), world(), world()], ticker(), ticker()
    other_holder = "elsewhere:1"
    taken = leases.acquire(name=cycles.lease_name(bots[0].pk), seconds=60, holder=other_holder)

    drive(one, *bots, seconds=1)

    assert set(one.watched) == {bot.pk for bot in bots[1:]}
    assert taken == 1
    other.close()
    one.close()


def test_a_ticker_that_slept_past_its_lease_writes_nothing_more(settings):
    bot, one = world(interval=Interval.HOUR_1), ticker()
    drive(one, bot, until=lambda: bot.pk in one.watched)
    Lease.objects.filter(name=cycles.lease_name(bot.pk)).update(expires_at=factories.FIRST_OPEN)
    epoch = leases.acquire(name=cycles.lease_name(bot.pk), seconds=60, holder="elsewhere:1")
    stale = one.watched[bot.pk]

    looked = cycles.look([cycles.Held(bot.pk, venue=stale.venue, epoch=stale.epoch)])
    ran = cycles.run(bot_id=bot.pk, slot=factories.SLOT, venue=stale.venue, held_epoch=stale.epoch)
    drive(one, bot, seconds=3)

    assert epoch == stale.epoch + 1
    assert (looked, ran, one.watched) == ({}, None, {})
    assert not Cycle.objects.exists()
    one.close()


def watched_beside(bot: Bot, one: Ticker, count: int) -> list[Bot]:
    """More bots in the account of this one, all of them watched."""
    bots = [bot]
    for number in range(count):
        neighbour = Bot.objects.get(pk=bot.pk)
        neighbour.pk, neighbour.name, neighbour.anchor_at = None, f"neighbour {number}", None
        neighbour._state.adding = True
        neighbour.save()
        bots.append(neighbour)
    drive(one, bot, until=lambda: {each.pk for each in bots} <= set(one.watched))
    return bots


def test_looks_that_are_due_together_share_what_they_read():
    bot, one = world(interval=Interval.HOUR_1), ticker()
    bots = watched_beside(bot, one, 9)
    held = [cycles.Held(each.pk, venue=one.watched[each.pk].venue, epoch=one.watched[each.pk].epoch) for each in bots]
    cycles.look(held)  # the day's first rows

    with CaptureQueriesContext(connection) as alone:
        cycles.look(held[:1])
    with CaptureQueriesContext(connection) as together:
        outcomes = cycles.look(held)

    assert set(outcomes) == {each.pk for each in bots}
    time_and_price = 2  # of each bot, which the simulated market is asked for
    assert len(together) - len(alone) <= time_and_price * (len(bots) - 1)
    one.close()


def test_a_bot_that_cannot_look_holds_up_none_of_those_due_with_it(caplog):
    bot, one = world(interval=Interval.HOUR_1), ticker()
    _bot, broken = watched_beside(bot, one, 1)
    mine, theirs = one.watched[bot.pk], one.watched[broken.pk]
    theirs.venue = replace(theirs.venue, clock=SimulatedClock(market_pk=0))
    mine.answer = theirs.answer = None

    one._look([mine, theirs])

    assert mine.answer is not None and theirs.answer is None
    assert f"bot={broken.pk} could not look" in caplog.text
    one.close()


def test_a_cycle_whose_bot_is_taken_over_half_way_plans_nothing(monkeypatch):
    bot, one = world(interval=Interval.HOUR_1), ticker()
    position = factories.position(bot, price=factories.PRICE)
    Position.objects.filter(pk=position.pk).update(stop_price=factories.PRICE * 10)
    drive(one, bot, until=lambda: bot.pk in one.watched)
    mine = one.watched[bot.pk]
    one.runner.shutdown()
    real = cycles.risk_check.check

    def overtaken(context):
        outcome = real(context)
        thread = factories.Thread(take_over)
        thread.join_or_fail()
        return outcome

    def take_over():
        Lease.objects.filter(name=cycles.lease_name(bot.pk)).update(epoch=mine.epoch + 1, holder="elsewhere:1")

    Cycle.objects.all().delete()
    monkeypatch.setattr(cycles.risk_check, "check", overtaken)
    ran = cycles.run(bot_id=bot.pk, slot=factories.SLOT, venue=mine.venue, held_epoch=mine.epoch, is_between_candles=True)

    assert ran is None
    assert not Order.objects.exists()
    assert not StageResult.objects.exists()


def test_a_stopped_bot_is_dropped_and_its_lease_given_back():
    bot, one = world(interval=Interval.HOUR_1), ticker()
    drive(one, bot, until=lambda: bot.pk in one.watched)

    Bot.objects.filter(pk=bot.pk).update(is_running=False)
    drive(one, bot, until=lambda: not one.watched)
    one.close()

    assert not Cycle.objects.exists()


def test_a_ticker_without_a_bot_waits_for_one():
    one = ticker()
    one.turn()
    bot = world(interval=Interval.HOUR_1)

    drive(one, bot, until=lambda: bot.pk in one.watched)
    one.close()


def test_the_scheduled_dispatch_leaves_ticker_bots_alone():
    bot = world()

    assert [due for due in dispatch.simulated() if due.bot_id == bot.pk] == []


@pytest.mark.parametrize("columns", [{"tick_seconds": 0}, {"tick_seconds": 60}])
def test_a_period_that_is_none_is_refused(columns):
    with pytest.raises(IntegrityError, match="bot_tick_seconds_in_range"), transaction.atomic():
        factories.bot(home=factories.account(mode=Mode.SIMULATED), **columns)
