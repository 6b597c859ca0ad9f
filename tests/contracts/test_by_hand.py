"""What a person does with positions and orders himself: for a reason, under the same keys as everybody, refused in one sentence."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from dgbot.accounts import roles
from dgbot.accounts.models import AuditEntry
from dgbot.core.errors import BadInput, DgbotError, OutcomeUnknown
from dgbot.core.types import Mode, Ticker
from risk import kill_switch
from tests import factories
from tests.factories import PRICE, SLOT, Thread, World, planned_entry, planned_exit, rows, world
from tests.scale import scale
from trading.models import Bot, Command, Order, Position, Trade
from trading.services import by_hand, gateway_duties, guardian, ledger, positions
from trading.services.command_handlers import handlers_for
from trading.services.commands import answer_all

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

D = Decimal


def bought(w: World) -> Position:
    order = w.fill(planned_entry(w.bot))
    assert order.position is not None
    return order.position


def frozen(w: World) -> None:
    kill_switch.change(scope="platform", scope_id="", level=4, by=w.bot.user, reason="drill")


# --- Positions ---


def test_a_position_is_closed_through_the_path_of_every_exit() -> None:
    w = world()
    position = bought(w)

    order = by_hand.close(position_pk=position.pk, by=w.bot.user, reason="I know better", venue=w.venue)
    w.gateway_step()

    position.refresh_from_db()
    assert order.decision_key == f"exit:{position.pk}:1" and (position.amount, position.exit_reason) == (0, "operator")
    entry = AuditEntry.objects.get(action="close position")
    assert (entry.actor, entry.reason) == (w.bot.user, "I know better")


def test_a_part_is_sold_and_the_rest_stays_with_its_stop() -> None:
    w = world()
    position = bought(w)

    by_hand.reduce(position_pk=position.pk, amount=D("0.0002"), by=w.bot.user, reason="less", venue=w.venue)
    w.gateway_step()

    left = position.amount - D("0.0002")
    position.refresh_from_db()
    assert position.amount == left and position.is_open and position.exit_version == 2


@pytest.mark.parametrize("amount", ["0", "-1", "1", "NaN", "0.000001", "0.00049"])
def test_a_part_that_cannot_be_sold_is_refused(amount: str) -> None:
    w = world()
    position = bought(w)

    with pytest.raises(BadInput, match="Nothing was sold"):
        by_hand.reduce(position_pk=position.pk, amount=D(amount), by=w.bot.user, reason="less", venue=w.venue)
    assert not Order.objects.filter(purpose="exit").exists()


def test_nothing_is_sold_without_a_reason_twice_or_while_frozen() -> None:
    w = world()
    position = bought(w)

    def close(reason: str = "x") -> Order:
        return by_hand.close(position_pk=position.pk, by=w.bot.user, reason=reason, venue=w.venue)

    with pytest.raises(BadInput, match="a reason is needed"):
        close(" ")
    frozen(w)
    with pytest.raises(BadInput, match="kill switch"):
        close()
    kill_switch.change(scope="platform", scope_id="", level=1, by=w.bot.user, reason="over")
    assert close().pk == close().pk
    w.gateway_step()
    with pytest.raises(BadInput, match="is closed"):
        close()


def test_exits_from_every_side_at_once_make_one_order_at_the_exchange() -> None:
    """Operator, kill switch, guardian and cycle, as many of each as there are threads for."""
    w = world()
    position = bought(w)
    position = Position.objects.select_related("bot__account").get(pk=position.pk)
    kill_switch.change(scope="account", scope_id=str(w.bot.account_id), level=3, by=w.bot.user, reason="out")
    touch = guardian.Touch(position.pk, tick=Ticker("KRW-BTC", PRICE / 2, SLOT), exchange=w.venue.exchange, now=SLOT)
    sides: list[Callable[[], Any]] = [
        lambda: by_hand.close(position_pk=position.pk, by=w.bot.user, reason="out", venue=w.venue),
        lambda: gateway_duties.before_sending(w.bot.account, venue=w.venue),
        lambda: guardian.fire([touch]),
        lambda: planned_exit(position, reason="signal"),
    ]
    count = scale(sample=24, full=100)

    for thread in [Thread(sides[number % len(sides)]) for number in range(count)]:
        thread.join_or_fail()
    w.gateway_step()

    order = Order.objects.get(purpose="exit")
    assert order.status == "filled" and rows("SELECT count(*) FROM venue_orders WHERE client_id = %s", order.client_id) == [(1,)]


# --- Orders ---


def test_an_order_that_may_rest_is_cancelled_for_a_reason() -> None:
    w = world()
    w.edge.after["place"] = no_answer
    order = w.fill(planned_entry(w.bot))

    by_hand.cancel(order_pk=order.pk, by=w.bot.user, reason="wrong price")

    assert rows("SELECT order_pk, reason FROM cancel_commands") == [(order.pk, "wrong price")]
    assert AuditEntry.objects.filter(action="cancel order", target=f"order:{order.pk}").exists()


def no_answer(*_: Any, **__: Any) -> None:
    raise OutcomeUnknown("timeout")


def test_no_cancel_for_an_order_that_has_ended_or_while_frozen() -> None:
    w = world()
    ended = w.fill(planned_entry(w.bot))
    other = planned_entry(factories.bot(home=w.bot.account))

    with pytest.raises(BadInput, match="already"):
        by_hand.cancel(order_pk=ended.pk, by=w.bot.user, reason="x")
    with pytest.raises(BadInput, match="reason"):
        by_hand.cancel(order_pk=other.pk, by=w.bot.user, reason="")
    frozen(w)
    with pytest.raises(BadInput, match="level 4"):
        by_hand.cancel(order_pk=other.pk, by=w.bot.user, reason="x")


# --- Adopting ---


def holding(w: World, *, coins: str = "0.01") -> None:
    """Coins that nobody's bot bought."""
    w.store.open(asset="BTC", amount=D(coins))


def adopted(w: World, bot: Bot, amount: str, price: str | None = None) -> Command:
    """What the gateway answered."""
    by_hand.ask_to_adopt(bot_pk=bot.pk, amount=D(amount), price=None if price is None else D(price), by=w.bot.user, reason="mine")
    answer_all(account_id=bot.account_id, tenure=w.tenure, handlers=handlers_for(w.venue, tenure=w.tenure))
    return Command.objects.latest("pk")


def test_a_holding_becomes_a_position_with_stop_and_target_and_is_sold_like_any_other() -> None:
    w = world()
    holding(w)
    before = ledger.selectors.holdings(account_id=w.bot.account_id)

    command = adopted(w, w.bot, "0.004", "90000000")

    position = Position.objects.get()
    assert (command.state, command.answer["position"]) == ("done", position.pk)
    assert position.stop_price is not None and position.target_price is not None
    assert position.stop_price < D(90_000_000) < position.target_price
    assert (position.amount, position.entry_price, Trade.objects.get().source) == (D("0.004"), D(90_000_000), "adopted")
    assert positions.sums_from_trades(position)["amount"] == D("0.004")
    assert ledger.selectors.holdings(account_id=w.bot.account_id) == before and not Order.objects.exists()

    by_hand.close(position_pk=position.pk, by=w.bot.user, reason="out", venue=w.venue)
    w.gateway_step()
    position.refresh_from_db()
    assert position.amount == 0 and position.realised_profit is not None and position.realised_profit > 0


def test_without_a_cost_todays_price_is_the_cost() -> None:
    w = world()
    holding(w)

    adopted(w, w.bot, "0.004")

    assert Position.objects.get().entry_price == PRICE


def test_what_belongs_to_another_bot_is_not_adopted() -> None:
    w = world()
    holding(w)
    adopted(w, w.bot, "0.007")

    command = adopted(w, factories.bot(home=w.bot.account), "0.004")

    assert command.state == "failed" and "at most 0.003 can be adopted" in command.error_message and Position.objects.count() == 1


@pytest.mark.parametrize("amount", ["0", "-1", "NaN"])
def test_nothing_cannot_be_adopted(amount: str) -> None:
    w = world()

    with pytest.raises(BadInput, match="Nothing was adopted"):
        by_hand.ask_to_adopt(bot_pk=w.bot.pk, amount=D(amount), price=None, by=w.bot.user, reason="x")


def test_a_bot_that_holds_something_or_waits_for_an_order_adopts_nothing() -> None:
    w = world()
    waiting = factories.bot(home=w.bot.account)
    planned_entry(waiting)
    bought(w)

    for bot in (w.bot, waiting):
        with pytest.raises(BadInput, match="Nothing was adopted"):
            by_hand.ask_to_adopt(bot_pk=bot.pk, amount=D(1), price=None, by=w.bot.user, reason="x")


# --- The admin ---


@pytest.fixture
def operator(client: Client) -> Callable[[World], Client]:
    """The bot's owner, signed in as an operator."""

    def sign_in(w: World, role: str = roles.OPERATOR) -> Client:
        from django.contrib.auth.models import Group

        roles.create_missing()
        owner = w.bot.user
        owner.is_staff = True
        owner.save()
        owner.groups.add(Group.objects.get(name=role))
        client.force_login(owner)
        return client

    return sign_in


def test_the_admin_asks_first_and_shows_a_refusal_with_what_was_typed(operator: Callable[..., Client]) -> None:
    w = world(mode=Mode.SIMULATED)
    position = bought(w)
    client = operator(w)
    url = reverse("admin:trading_position_reduce", args=[position.pk])

    assert "Sell a part of position" in client.get(url).content.decode()
    page = client.post(url, {"reason": "too much", "amount": "7"}).content.decode()

    assert "at most" in page and "too much" in page and 'value="7"' in page
    for name, row in (("trading_position_close", position), ("trading_order_cancel", Order.objects.get()), ("trading_bot_adopt", w.bot)):
        assert client.get(reverse(f"admin:{name}", args=[row.pk])).status_code == 200
    answer = client.post(reverse("admin:trading_bot_adopt", args=[w.bot.pk]), {"reason": "x", "amount": "1", "price": ""})
    assert "holds a position already" in answer.content.decode()


def test_a_viewer_cannot_sell(operator: Callable[..., Client]) -> None:
    w = world()
    position = bought(w)
    client = operator(w, roles.VIEWER)

    answer = client.post(reverse("admin:trading_position_close", args=[position.pk]), {"reason": "x"})

    assert answer.status_code == 403 and not Order.objects.filter(purpose="exit").exists()


def test_a_refused_number_is_a_sentence() -> None:
    from trading import steering

    w = world()
    with pytest.raises(DgbotError, match="decimal"):
        steering.adopt(bot_pk=w.bot.pk, amount="much", price="", by=w.bot.user, reason="x")
