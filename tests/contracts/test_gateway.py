"""The gateway against a pretended exchange over a wire that fails: at most one order, its fills once, nothing lost."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction

from dgbot.base.machine import machine_now
from dgbot.core.errors import CredentialsRefused, ExchangeRejected, ExchangeUnavailable, OutcomeUnknown, RateLimited
from dgbot.core.types import Mode, Side, VenueOrder, VenueOrderStatus
from risk import kill_switch
from risk import services as risk
from risk.models import Reservation, RiskProfile, RiskState
from tests import factories
from tests.factories import CASH, PRICE, SLOT, Died, Thread, World, dies, execute, planned_entry, planned_exit, rows, successor, world
from trading.domain.lifecycle import Actor, Status
from trading.models import AccountBalance, Bot, Credential, Order, OrderEvent, OrderSend, Position, Trade
from trading.models import VenueOrder as VenueOrderRow
from trading.services import books_check, config, gateway, guardian, leases, orders, positions

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

D = Decimal
HOUR = timedelta(hours=1)


def sent(order: Order) -> int:
    """How many orders the exchange has under this order's client id."""
    return VenueOrderRow.objects.filter(client_id=order.client_id).count()


def state(order: Order) -> tuple[str, str]:
    """Status of an order and of its reservation."""
    order.refresh_from_db()
    return order.status, Reservation.objects.get(order=order).status


def raises(error: BaseException) -> Callable[..., Any]:
    """Something that raises `error`."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def bought(w: World) -> Position:
    """A position the bot holds, bought at the exchange."""
    order = w.fill(planned_entry(w.bot))
    assert order.position is not None
    return order.position


def settled(w: World, order: Order) -> Order:
    """The order after the wire is mended and a successor has settled what was unclear."""
    w.edge.before.clear()
    w.edge.after.clear()
    w.wait_out_the_send()
    return w.fill(order)


def books_agree(w: World) -> None:
    """Our trades and positions say what the exchange says."""
    fills = rows("SELECT exchange_trade_id FROM venue_fills WHERE account_key = %s", w.store.account_key)
    assert sorted(Trade.objects.values_list("exchange_trade_id")) == sorted(fills)
    assert books_check.differences() == []
    held = sum(Position.objects.values_list("amount", flat=True), D(0))
    assert held == w.store.balances().get("BTC", D(0))


# --- The straight way ---


def test_an_entry_is_filled_and_everything_that_follows_is_written():
    w = world()
    order = w.fill(planned_entry(w.bot))

    assert state(order) == ("filled", "converted") and sent(order) == 1
    trade, position = Trade.objects.get(), Position.objects.get()
    assert order.exchange_order_id and trade.order == order and trade.position == position == order.position
    assert position.amount == trade.amount == order.filled_amount > 0
    assert position.stop_price < PRICE < position.target_price
    assert [event.to_status for event in order.events.order_by("seq")] == ["planned", "submitting", "filled"]
    assert order.sends.get().result == "acknowledged"
    today = RiskState.objects.get(bot=w.bot)
    assert (today.daily_trade_count, today.last_trade_time) == (1, SLOT)
    told = dict(AccountBalance.objects.values_list("asset", "free"))
    assert told == w.store.balances() and told["KRW"] == CASH - trade.total - trade.fee
    books_agree(w)


def test_an_exit_sells_all_and_closes_the_position():
    w = world()
    order = w.fill(planned_exit(bought(w)))

    position = Position.objects.get()
    assert order.status == "filled" and position.amount == 0 and position.closed_at == SLOT and position.exit_reason == "stop"
    assert RiskState.objects.get(bot=w.bot).daily_trade_count == 1
    books_agree(w)


def test_further_steps_change_nothing():
    w = world()
    order = w.fill(planned_entry(w.bot))
    before = rows("SELECT status, version, updated_at FROM orders")

    w.gateway_step()
    gateway.submit(order_pk=order.pk, venue=w.venue, tenure=w.tenure)

    assert rows("SELECT status, version, updated_at FROM orders") == before and sent(order) == 1 and Trade.objects.count() == 1


# --- The wire breaks ---


@pytest.mark.parametrize("error", [ExchangeUnavailable("no route"), RateLimited("slow down", retry_after_s=1)])
def test_an_entry_that_certainly_did_not_leave_lapses(error: Exception):
    w = world()
    w.edge.before["place"] = raises(error)
    order = w.fill(planned_entry(w.bot))

    assert state(order) == ("lapsed", "released") and sent(order) == 0
    assert order.sends.get().result == "not_sent"


def test_an_exit_that_certainly_did_not_leave_is_sent_again_under_its_own_id():
    w = world()
    position = bought(w)
    w.edge.before["place"] = raises(ExchangeUnavailable("no route"))
    order = w.fill(planned_exit(position))
    assert order.status == "planned"

    w.edge.before.clear()
    w.fill(order)

    assert order.status == "filled" and sent(order) == 1 and order.sends.count() == 2
    books_agree(w)


def test_an_exit_outlives_any_number_of_failed_sends():
    w = world()
    position = bought(w)
    w.edge.before["place"] = raises(ExchangeUnavailable("no route"))
    for _ in range(12):
        planned_exit(position)
        w.gateway_step()

    w.edge.before.clear()
    planned_exit(position)
    w.gateway_step()

    position.refresh_from_db()
    assert position.closed_at is not None
    books_agree(w)


@pytest.mark.parametrize(
    "error",
    [
        OutcomeUnknown("timeout"),
        ConnectionError("reset"),
        ValueError("no JSON"),
        KeyError("uuid"),
        TimeoutError(),
    ],
)
@pytest.mark.parametrize("is_accepted", [True, False])
def test_an_unclear_answer_is_never_sent_again_and_the_exchange_decides(error: Exception, is_accepted: bool):
    w = world()
    wire = w.edge.after if is_accepted else w.edge.before
    wire["place"] = raises(error)
    order = w.fill(planned_entry(w.bot))
    assert state(order) == ("unknown", "held")

    settled(w, order)

    assert state(order) == (("filled", "converted") if is_accepted else ("absent", "released"))
    assert sent(order) == int(is_accepted) and order.sends.count() == 1
    assert RiskState.objects.filter(bot=w.bot, daily_trade_count=1).count() == int(is_accepted)
    books_agree(w)


@pytest.mark.parametrize("answer", [None, {}, "<html>", 5])
def test_garbage_for_an_answer_is_an_unclear_answer(answer: Any):
    w = world()
    w.edge.after["place"] = lambda _told: answer
    order = w.fill(planned_entry(w.bot))
    assert state(order) == ("unknown", "held")

    settled(w, order)

    assert state(order) == ("filled", "converted") and sent(order) == 1
    books_agree(w)


@pytest.mark.parametrize("number", ["NaN", "-1", "Infinity", "1E+30"])
def test_an_answer_with_impossible_numbers_books_nothing_and_is_asked_for_again(number: str):
    w = world()
    w.edge.after["place"] = lambda told: replace(told, fills=tuple(replace(fill, amount=D(number)) for fill in told.fills))
    order = w.fill(planned_entry(w.bot))
    assert state(order) in (("unknown", "held"), ("disputed", "held")) and not Trade.objects.exists()

    settled(w, order)

    assert state(order) == ("filled", "converted") and sent(order) == 1
    books_agree(w)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("purpose", ["entry", "exit"])
def test_a_gateway_that_dies_around_the_send_sends_at_most_once(moment: str, purpose: str):
    w = world()
    order = planned_entry(w.bot) if purpose == "entry" else planned_exit(bought(w))
    getattr(w.edge, moment)["place"] = dies
    with pytest.raises(Died):
        w.gateway_step()
    order.refresh_from_db()
    assert order.status == "submitting" and order.sends.get().result == "claimed"

    settled(w, order)

    assert order.status == ("filled" if moment == "after" else "absent") and sent(order) == int(moment == "after")
    assert order.sends.get().result == "ambiguous"
    books_agree(w)


def test_the_same_gateway_waits_until_its_own_send_is_over():
    w = world()
    order = planned_entry(w.bot)
    w.edge.before["place"] = dies
    with pytest.raises(Died):
        w.gateway_step()
    w.edge.before.clear()

    assert w.fill(order).status == "submitting"

    with factories.triggers_off():
        execute("UPDATE order_sends SET permit_until = permit_until - interval '1 hour'")
    assert w.fill(order).status == "absent"


def test_a_death_while_the_answer_is_booked_books_it_once_later():
    w = world()
    order = planned_entry(w.bot)
    w.edge.before["trading_rules"] = dies  # asked when the fill is booked, after the exchange has committed
    with pytest.raises(Died):
        gateway.submit(order_pk=order.pk, venue=replace(w.venue, exchange=after_place(w)), tenure=w.tenure)
    assert sent(order) == 1 and not Trade.objects.exists() and not Position.objects.exists()

    settled(w, order)

    assert state(order) == ("filled", "converted") and Trade.objects.count() == 1
    books_agree(w)


def after_place(w: World) -> Any:
    """A wire on which `trading_rules` breaks only once `place` has answered."""
    broken = w.edge.before.pop("trading_rules")

    def armed(answer: VenueOrder) -> VenueOrder:
        w.edge.before["trading_rules"] = broken
        return answer

    w.edge.after["place"] = armed
    return w.edge


@pytest.mark.parametrize("failures", [1, 3])
def test_while_the_exchange_cannot_be_asked_the_order_stays_unknown(failures: int):
    w = world()
    w.edge.after["place"] = raises(OutcomeUnknown("timeout"))
    w.edge.before["order"] = raises(ExchangeUnavailable("maintenance"))
    order = planned_entry(w.bot)
    for _ in range(failures):
        w.gateway_step()

    assert state(order) == ("unknown", "held")
    assert state(settled(w, order)) == ("filled", "converted")


def test_a_void_answer_to_a_question_moves_nothing_and_lets_other_orders_pass():
    w = world()
    w.edge.after["place"] = raises(OutcomeUnknown("timeout"))
    order = w.fill(planned_entry(w.bot))
    w.edge.after.clear()
    w.edge.after["order"] = lambda told: replace(told, filled_amount=D("NaN"), fills=(replace(told.fills[0], price=D("NaN")),))
    other = factories.bot(home=w.bot.account)
    second = planned_entry(other)

    w.gateway_step()

    assert state(order) == ("unknown", "held") and state(second) == ("filled", "converted")
    assert state(settled(w, order)) == ("filled", "converted")


def test_an_answer_without_its_fills_does_not_end_the_order():
    """Upbit tells of trades only when the order is asked for, so a filled order may come without a fill."""
    w = world()
    w.edge.after["place"] = lambda told: replace(told, fills=())
    order = w.fill(planned_entry(w.bot))
    assert order.status not in ("filled", "cancelled") and state(order)[1] == "held"

    settled(w, order)

    assert state(order) == ("filled", "converted") and order.filled_amount == Trade.objects.get().amount
    books_agree(w)


# --- The exchange refuses ---


def test_a_refused_entry_fails_and_gives_its_money_back():
    w = world(cash=D(6000))
    anything = dict.fromkeys(("account_exposure_fraction", "symbol_exposure_fraction", "group_exposure_fraction", "leverage_limit"), 100)
    RiskProfile.objects.update(**anything)  # otherwise our own limits see it first
    order = w.fill(planned_entry(w.bot))

    assert state(order) == ("failed", "released") and "lacks" in order.error_message and not Trade.objects.exists()


def test_an_order_refused_for_its_key_has_failed_and_nothing_is_opened_until_the_key_is_good_again():
    w = world()
    key = Credential.objects.create(
        account=w.bot.account,
        sealed=b"x",
        sealed_with="x",
        shown="…abcd",
        status="verified",
        sealed_at=machine_now(),
        checked_at=machine_now(),
    )
    w.edge.before["place"] = raises(CredentialsRefused("401 invalid_access_key"))
    first = w.fill(planned_entry(w.bot))
    w.edge.before.clear()
    key.refresh_from_db()
    assert state(first) == ("failed", "released") and sent(first) == 0
    assert (key.status, "invalid_access_key" in key.cause) == ("doubted", True)

    second = w.fill(planned_entry(w.bot, slot=SLOT + HOUR))
    assert second.status == "denied" and "until a check passes" in second.error_message

    Credential.objects.update(status="verified")  # as a check does
    assert w.fill(planned_entry(w.bot, slot=SLOT + 2 * HOUR)).status == "filled"


def test_an_exit_is_still_tried_with_a_doubted_key():
    w = world()
    position = bought(w)
    w.edge.before["place"] = raises(CredentialsRefused("401"))
    assert w.fill(planned_exit(position)).status == "failed"
    w.edge.before.clear()

    assert w.fill(planned_exit(position)).status == "filled"
    books_agree(w)


def test_rules_of_a_market_are_asked_for_outside_every_transaction():
    w = world()
    asked: list[bool] = []
    w.edge.before["trading_rules"] = lambda *_, **__: asked.append(connection.in_atomic_block)
    order = planned_entry(w.bot)
    asked.clear()

    w.edge.after["place"] = raises(OutcomeUnknown("timeout"))
    w.fill(order)
    w.edge.after.clear()
    w.wait_out_the_send()
    w.fill(order)
    w.fill(planned_exit(Position.objects.get()))

    assert asked and not any(asked)


def test_after_a_refused_exit_the_next_one_is_another_order():
    w = world()
    position = bought(w)
    w.edge.before["place"] = raises(ExchangeRejected("closed for a moment", code="market_offline"))
    first = w.fill(planned_exit(position))
    assert first.status == "failed"
    w.edge.before.clear()

    second = w.fill(planned_exit(position))

    assert second.pk != first.pk and second.client_id != first.client_id and second.status == "filled"
    assert Position.objects.get().closed_at is not None
    books_agree(w)


def test_a_sale_the_book_cannot_take_is_followed_by_another():
    w = world(cash=D(400_000_000), allocation=D(400_000_000))
    config.change(key="max_trade_amount_krw", value={"amount": 100_000_000}, by=w.bot.user, reason="")
    w.fill(planned_entry(w.bot, quote_amount=D(90_000_000)))
    w.fill(planned_entry(w.bot, slot=SLOT + HOUR, quote_amount=D(90_000_000)))
    position = Position.objects.get()
    first = w.fill(planned_exit(position))
    assert first.status == "cancelled" and first.filled_amount > 0
    position.refresh_from_db()
    assert position.amount > 0 and position.exit_version == 2

    w.fill(planned_exit(position))

    assert Position.objects.get().closed_at is not None
    books_agree(w)


# --- Contradictory answers ---


@pytest.mark.parametrize(
    "lie",
    [
        {"client_id": "P" + "A" * 30},
        {"client_id": None},
        {"symbol": "KRW-ETH"},
        {"side": Side.SELL},
        {"quote_amount": D(60_000)},
        {"quote_amount": D(50_000) + D("1E-18")},
    ],
)
def test_an_answer_about_something_else_is_disputed_and_keeps_the_money_reserved(lie: dict[str, Any]):
    w = world()
    w.edge.after["place"] = w.edge.after["order"] = lambda told: replace(told, **lie)
    order = w.fill(planned_entry(w.bot))

    assert state(order) == ("disputed", "held") and not Trade.objects.exists() and "instead of" in order.error_message


def test_more_filled_than_was_asked_for_is_disputed():
    w = world()
    position = bought(w)
    w.edge.after["place"] = lambda told: replace(
        told, filled_amount=told.filled_amount * 2, fills=(*told.fills, replace(told.fills[0], exchange_trade_id="again"))
    )

    order = w.fill(planned_exit(position))

    assert order.status == "disputed" and Trade.objects.count() == 1


def test_a_dispute_that_stays_one_blocks_nobody_else_and_ends_with_the_truth():
    w = world()
    w.edge.after["place"] = w.edge.after["order"] = lambda told: replace(told, symbol="KRW-ETH")
    order = w.fill(planned_entry(w.bot))
    for _ in range(3):
        w.gateway_step()
    assert state(order) == ("disputed", "held") and order.version == 3

    settled(w, order)

    assert state(order) == ("filled", "converted")
    books_agree(w)


# --- Late and partial fills ---


def half(told: VenueOrder) -> VenueOrder:
    """The exchange as it was a moment ago: half of the order filled."""
    first = replace(told.fills[0], amount=D("0.0002"), exchange_trade_id=f"{told.fills[0].exchange_trade_id}a")
    return replace(told, status=VenueOrderStatus.PARTIALLY_FILLED, filled_amount=first.amount, fills=(first,))


def whole(told: VenueOrder) -> VenueOrder:
    """The same order when all of it is filled, in two executions."""
    first, rest = half(told).fills[0], told.filled_amount - D("0.0002")
    last = replace(told.fills[0], amount=rest, exchange_trade_id=f"{told.fills[0].exchange_trade_id}b")
    return replace(told, fills=(first, last))


def test_a_fill_in_two_parts_is_one_entry_with_one_stop():
    w = world()
    w.edge.after["place"] = half
    order = w.fill(planned_entry(w.bot))
    stop = Position.objects.get().stop_price
    assert order.status == "partially_filled" and order.filled_amount == D("0.0002")

    w.edge.after["order"] = whole
    w.fill(order)

    position = Position.objects.get()
    assert state(order) == ("filled", "converted") and order.filled_amount == position.amount == w.store.balances()["BTC"]
    assert position.stop_price == stop and RiskState.objects.get(bot=w.bot).daily_trade_count == 1


def test_what_an_entry_gains_after_its_exit_was_planned_can_still_be_sold():
    w = world()
    w.edge.after["place"] = half
    entry = w.fill(planned_entry(w.bot))
    first = planned_exit(Position.objects.get())
    w.edge.after["order"] = whole
    w.edge.after.pop("place")
    w.gateway_step()
    first.refresh_from_db()
    position = Position.objects.get()
    assert first.status == "filled" and position.amount == entry_amount(entry) - D("0.0002") > 0

    second = w.fill(planned_exit(position))

    assert second.pk != first.pk and second.status == "filled"
    assert Position.objects.get().closed_at is not None


def entry_amount(order: Order) -> Decimal:
    """What an entry bought in the end."""
    order.refresh_from_db()
    return order.filled_amount


def test_a_fill_that_comes_after_its_position_was_closed_is_held_by_a_new_one():
    w = world()
    w.edge.after["place"] = half
    entry = w.fill(planned_entry(w.bot))
    w.edge.after["order"] = half
    w.edge.after.pop("place")
    exit_order = w.fill(planned_exit(Position.objects.get()))
    assert exit_order.status == "filled" and Position.objects.get().closed_at is not None

    w.edge.after["order"] = whole
    w.fill(entry)

    assert entry.status == "filled"
    rest = Position.objects.open().get()
    assert rest.amount == entry.filled_amount - D("0.0002") and rest.stop_price is not None
    for position in Position.objects.all():
        assert positions.sums_from_trades(position)["amount"] == position.amount


# --- Permission to send ---


@pytest.mark.parametrize(
    ("level", "entry", "exit_"), [(0, "filled", "filled"), (1, "denied", "filled"), (3, "denied", "filled"), (4, "denied", "denied")]
)
def test_the_kill_switch_stops_entries_at_once_and_exits_at_the_last_level(level: int, entry: str, exit_: str):
    w = world()
    position = bought(w)
    kill_switch.change(scope="platform", scope_id="", level=level, by=w.bot.user, reason="test")
    entry_order, exit_order = planned_entry(w.bot, slot=SLOT + HOUR), planned_exit(position)

    w.gateway_step()

    assert state(entry_order)[0] == entry and sent(entry_order) == int(entry == "filled")
    exit_order.refresh_from_db()
    assert exit_order.status == exit_ and sent(exit_order) == int(exit_ == "filled")


@pytest.mark.parametrize("scope", ["platform", "exchange", "account", "user", "bot", "market"])
def test_a_kill_switch_covers_what_it_names(scope: str):
    w, other = world(), world()
    names = {"platform": "", "exchange": "upbit", "account": w.bot.account_id, "user": w.bot.user_id, "bot": w.bot.pk, "market": "KRW-BTC"}
    kill_switch.change(scope=scope, scope_id=str(names[scope]), level=1, by=w.bot.user, reason="test")

    assert w.fill(planned_entry(w.bot)).status == "denied"
    covers_both = scope in ("platform", "exchange", "market")
    assert other.fill(planned_entry(other.bot)).status == ("denied" if covers_both else "filled")


def test_no_entry_is_claimed_once_the_kill_switch_has_been_set():
    """The claim has looked at the level and waits before its send row is written; the switch must wait for it."""
    w = world()
    order = planned_entry(w.bot)
    is_locked, may_go_on = threading.Event(), threading.Event()

    def hold_sends() -> None:
        with transaction.atomic():
            execute("LOCK TABLE order_sends IN SHARE MODE")
            is_locked.set()
            assert may_go_on.wait(factories.WAIT_S)

    holding = Thread(hold_sends)
    assert is_locked.wait(factories.WAIT_S)
    claiming = Thread(w.gateway_step)
    factories.wait_for_lock("order_sends")
    switching = Thread(lambda: kill_switch.change(scope="platform", scope_id="", level=1, by=w.bot.user, reason="now"))
    switching.join(0.5)
    switched_first = not switching.is_alive()
    may_go_on.set()
    for thread in (holding, claiming, switching):
        thread.join_or_fail()

    assert not (switched_first and sent(order)), "an entry left after the kill switch had been committed"


def test_a_stopped_bot_opens_nothing_and_may_leave():
    w = world()
    exit_order = planned_exit(bought(w))
    entry = planned_entry(w.bot, slot=SLOT + HOUR)
    Bot.objects.update(is_running=False)

    w.gateway_step()

    assert state(entry) == ("denied", "released") and "stopped" in entry.error_message
    exit_order.refresh_from_db()
    assert exit_order.status == "filled"


def test_no_entry_leaves_while_another_order_of_its_bot_is_unproven():
    w = world()
    position = bought(w)
    w.edge.after["place"] = raises(OutcomeUnknown("timeout"))
    w.edge.before["order"] = raises(ExchangeUnavailable("maintenance"))
    assert w.fill(planned_exit(position)).status == "unknown"
    w.edge.after.clear()

    entry = w.fill(planned_entry(w.bot, slot=SLOT + HOUR))

    assert state(entry) == ("denied", "released") and sent(entry) == 0


def test_nothing_reserved_nothing_sent():
    w = world()
    order = planned_entry(w.bot)
    risk.release(order_pk=order.pk)

    assert w.fill(order).status == "denied" and sent(order) == 0


def test_no_more_is_sold_than_the_position_holds():
    w = world()
    position = bought(w)
    order = planned_exit(position)
    execute("UPDATE positions SET amount = amount / 2")

    assert w.fill(order).status == "denied" and sent(order) == 0


def test_an_order_past_its_time_lapses():
    w = world()
    late = planned_entry(w.bot, valid_until=machine_now() - timedelta(seconds=1))
    assert state(w.fill(late)) == ("lapsed", "released")

    in_time = planned_entry(w.bot, slot=SLOT + HOUR, valid_until=machine_now() + timedelta(minutes=1))
    assert state(w.fill(in_time)) == ("filled", "converted")


def test_an_order_that_is_no_longer_what_was_planned_is_not_sent():
    w = world()
    order = planned_entry(w.bot)
    with factories.triggers_off():
        execute("UPDATE orders SET quote_amount = 60000")

    with pytest.raises(ValueError, match="does not hash"):
        w.gateway_step()

    assert sent(order) == 0


def test_a_paper_order_is_never_called_absent_because_one_question_found_nothing():
    w = world(mode=Mode.PAPER)
    w.edge.before["place"] = raises(OutcomeUnknown("timeout"))
    order = w.fill(planned_entry(w.bot))

    w.edge.before.clear()
    for _ in range(3):
        w.gateway_step()

    assert state(order) == ("unknown", "held")


def test_what_was_planned_and_not_sent_lapses_on_request():
    w = world()
    order = planned_entry(w.bot)

    assert gateway.lapse_planned(account_id=w.bot.account_id, now=SLOT, why="the replay ended") == 1
    assert state(order) == ("lapsed", "released")


# --- Two at once ---


def test_two_gateways_at_once_send_once():
    w = world()
    for number in range(4):
        order = planned_entry(w.bot, slot=SLOT + number * HOUR)
        start = threading.Barrier(3)

        def submit(order_pk: int = order.pk, start: threading.Barrier = start) -> None:
            start.wait(factories.WAIT_S)
            gateway.submit(order_pk=order_pk, venue=w.venue, tenure=w.tenure)

        for thread in [Thread(submit) for _ in range(3)]:
            thread.join_or_fail()

        assert sent(order) == 1 and state(order) == ("filled", "converted")
        assert OrderSend.objects.filter(order=order).count() == 1
    books_agree(w)


def test_a_gateway_whose_lease_is_gone_writes_nothing():
    w = world()
    order, zombie = planned_entry(w.bot), w.tenure
    unclear = unknown_of_another_bot(w)
    successor(w.tenure)
    before = [*rows("SELECT id, version FROM orders ORDER BY id"), *rows("SELECT * FROM account_balances ORDER BY id")]

    w.tenure = zombie
    w.gateway_step()

    assert [*rows("SELECT id, version FROM orders ORDER BY id"), *rows("SELECT * FROM account_balances ORDER BY id")] == before
    assert sent(order) == 0 and sent(unclear) == 1


def unknown_of_another_bot(w: World) -> Order:
    """An order whose answer was lost, of another bot in the same account."""
    order = planned_entry(factories.bot(home=w.bot.account))
    w.edge.after["place"] = raises(OutcomeUnknown("timeout"))
    gateway.submit(order_pk=order.pk, venue=w.venue, tenure=w.tenure)
    w.edge.after.clear()
    return order


def test_a_gateway_that_froze_between_claim_and_write_does_not_write_after_its_takeover():
    w = world(mode=Mode.SIMULATED)
    order = planned_entry(w.bot)
    permit = gateway.claim(order_pk=order.pk, venue=w.venue, tenure=w.tenure)
    assert permit is not None
    new = successor(w.tenure)
    gateway.settle(order_pk=order.pk, venue=w.venue, tenure=new)
    assert state(order) == ("absent", "released")

    gateway.send(permit, venue=w.venue, tenure=w.tenure)

    assert sent(order) == 0 and state(order) == ("absent", "released")


def test_an_answer_that_comes_after_the_takeover_is_booked_and_not_lost():
    w = world()
    order = planned_entry(w.bot)

    def takeover(*_: Any) -> None:
        gateway.settle(order_pk=order.pk, venue=replace(w.venue, exchange=w.edge.inner), tenure=successor(w.tenure))

    w.edge.before["place"] = takeover  # the successor asks before the exchange has the order, and calls it absent
    w.gateway_step()

    order.refresh_from_db()
    assert order.status == "filled" and sent(order) == 1
    assert [event.to_status for event in order.events.order_by("seq")][-2:] == ["absent", "filled"]
    books_agree(w)


def test_a_takeover_raises_the_epoch_and_a_renewal_does_not():
    assert leases.acquire(name="bot:1", seconds=30, holder="a") == 1
    assert leases.acquire(name="bot:1", seconds=30, holder="a") == 1
    assert leases.acquire(name="bot:1", seconds=30, holder="b") is None
    execute("UPDATE leases SET expires_at = clock_timestamp() - interval '1 second'")

    assert leases.acquire(name="bot:1", seconds=30, holder="b") == 2
    assert leases.acquire(name="bot:1", seconds=30, holder="a") is None
    with transaction.atomic():
        assert leases.is_current(name="bot:1", epoch=2) and not leases.is_current(name="bot:1", epoch=1)
    leases.release(name="bot:1", holder="a")
    assert leases.acquire(name="bot:1", seconds=30, holder="a") is None
    leases.release(name="bot:1", holder="b")
    assert leases.acquire(name="bot:1", seconds=30, holder="b") == 3


def test_a_lease_that_ran_out_and_was_taken_again_by_its_holder_is_a_new_one():
    assert leases.acquire(name="bot:1", seconds=30, holder="a") == 1
    factories.execute("UPDATE leases SET expires_at = '-infinity'")

    assert leases.acquire(name="bot:1", seconds=30, holder="a") == 2


def test_a_lease_cannot_be_checked_outside_the_transaction_that_relies_on_it():
    with pytest.raises(RuntimeError):
        leases.is_current(name="bot:1", epoch=1)


def test_a_lease_does_not_change_hands_while_somebody_relies_on_it():
    assert leases.acquire(name="bot:1", seconds=30, holder="a") == 1
    with transaction.atomic():
        assert leases.is_current(name="bot:1", epoch=1)
        taking = Thread(
            lambda: (execute("UPDATE leases SET expires_at = '-infinity'"), leases.acquire(name="bot:1", seconds=30, holder="b"))[1]
        )
        taking.join(0.3)
        assert taking.is_alive()

    assert taking.join_or_fail() == 2


# --- Guardian ---


def tick(w: World, price: Decimal) -> list[Order]:
    """The guardian sees a price."""
    w.quotes.price = price
    return guardian.step(account_id=w.bot.account_id, exchange=w.venue.exchange, tick=w.edge.ticker(w.bot.symbol), now=SLOT)


@pytest.mark.parametrize(("share", "reason"), [("0.95", "stop"), ("0.5", "stop"), ("1.11", "target")])
def test_stop_and_target_fire_once_and_sell_once(share: str, reason: str):
    w = world()
    bought(w)
    (first,), again = tick(w, PRICE * D(share)), tick(w, PRICE * D(share))
    assert first.exit_reason == reason and again == []

    w.gateway_step()
    assert tick(w, PRICE * D(share)) == []

    assert Position.objects.get().exit_reason == reason and Order.objects.filter(purpose="exit").count() == 1
    books_agree(w)


def test_a_frozen_account_gets_no_exit_it_could_not_send():
    w = world()
    bought(w)
    kill_switch.change(scope="platform", scope_id="", level=4, by=w.bot.user, reason="test")
    assert tick(w, PRICE * D("0.5")) == []

    kill_switch.change(scope="platform", scope_id="", level=3, by=w.bot.user, reason="test")

    assert [order.exit_reason for order in tick(w, PRICE * D("0.5"))] == ["stop"]


def test_between_stop_and_target_nothing_fires():
    w = world()
    position = bought(w)

    assert tick(w, position.stop_price + 1000) == [] and tick(w, position.target_price - 1000) == []


def test_guardians_cycle_and_operator_make_one_exit_together():
    w = world()
    position = bought(w)
    start = threading.Barrier(4)

    def plan(reason: str) -> int:
        start.wait(factories.WAIT_S)
        return planned_exit(position, reason=reason).pk

    threads = [Thread(lambda reason=reason: plan(reason)) for reason in ("stop", "stop", "signal", "manual")]

    assert len({thread.join_or_fail() for thread in threads}) == 1 and Order.objects.filter(purpose="exit").count() == 1
    w.gateway_step()
    books_agree(w)


def test_an_order_moves_once_when_two_move_it():
    w = world()
    order = planned_entry(w.bot)
    other = Order.objects.get(pk=order.pk)
    with transaction.atomic():
        orders.move(order, Status.DENIED, actor=Actor.GATEWAY, now=SLOT)

    with pytest.raises(orders.MovedMeanwhile), transaction.atomic():
        orders.move(other, Status.LAPSED, actor=Actor.GATEWAY, now=SLOT)

    assert OrderEvent.objects.filter(order=order).count() == 2
