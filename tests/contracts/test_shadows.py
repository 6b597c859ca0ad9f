"""Shadows: made beside their champion, given what it saw, compared day by day, promoted by a person alone."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from backtests.strategies.registry import STRATEGIES
from dgbot.accounts import roles
from dgbot.accounts.models import AuditEntry
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from risk.models import RiskState
from tests import factories
from tests.factories import CASH, SLOT, World, eager_strategy, world
from trading import seeds
from trading.domain.shadows import Finding
from trading.exchanges.pretend import PretendExchange
from trading.models import AnalystCall, Bot, BotStatus, Decision, KrwRate, Order, StageResult
from trading.models.cycles import CycleTrigger
from trading.selectors import shadows as selectors
from trading.services import config, cycles, dispatch, gateway, shadows
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import KRW_FEES, account_key

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(transaction=True, databases=["default", "venue"])]

D = Decimal


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A strategy that buys at every close is known by name."""
    monkeypatch.setitem(STRATEGIES, "eager", eager_strategy())
    yield


def followed() -> tuple[World, Bot]:
    """A paper bot and its shadow, both running."""
    w = world(mode=Mode.PAPER, strategy="eager")
    shadow = shadows.create(champion_pk=w.bot.pk, name="without a model", by=w.bot.user, reason="what is it worth")
    Bot.objects.filter(pk=shadow.pk).update(is_running=True, status=BotStatus.RUNNING)
    taken = gateway.take_account(shadow.account_id)
    assert taken is not None
    gateway.step(account_id=shadow.account_id, venue=venue_of(w, shadow), tenure=taken)
    return w, Bot.objects.get(pk=shadow.pk)


def venue_of(w: World, bot: Bot) -> Any:
    """Another account at the same market."""
    store = DatabaseVenueStore(account_key(bot.account))
    return replace(w.venue, exchange=PretendExchange(quotes=w.quotes, store=store, clock=w.clock, fee_rates=KRW_FEES))


def decision_of(w: World, bot: Bot) -> Decision:
    cycles.run(bot_id=bot.pk, slot=SLOT, venue=w.venue if bot == w.bot else venue_of(w, bot))
    return Decision.objects.get(bot=bot)


# --- Made ---


def test_a_shadow_is_its_champion_with_pretended_money_of_its_own() -> None:
    w, shadow = followed()

    assert (shadow.shadow_of, shadow.mode, shadow.symbol, shadow.strategy, shadow.allocation) == (w.bot, "paper", "KRW-BTC", "eager", CASH)
    assert shadow.account_id != w.bot.account_id and shadow.is_hidden and shadow.account.is_hidden
    assert DatabaseVenueStore(account_key(shadow.account)).balances() == {"KRW": CASH}
    assert AuditEntry.objects.filter(action="create shadow", target=f"bot:{shadow.pk}").exists()


def test_a_shadow_never_trades_real_money() -> None:
    champion = factories.bot(mode=Mode.PAPER)
    with pytest.raises(IntegrityError, match="bot_shadow_risks_no_money"), transaction.atomic():
        factories.bot(mode=Mode.LIVE, shadow_of=champion)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": " "}, "give it a name"),
        ({"reason": ""}, "say why"),
        ({"analyst": "nobody"}, "no enabled analyst nobody"),
    ],
)
def test_an_unfit_shadow_is_refused_in_one_sentence_and_leaves_nothing(given: dict[str, str], sentence: str) -> None:
    champion = factories.bot(mode=Mode.PAPER)
    asked: dict[str, Any] = {"name": "other", "reason": "curious", **given}

    with pytest.raises(BadInput, match=sentence):
        shadows.create(champion_pk=champion.pk, by=champion.user, **asked)
    assert Bot.objects.count() == 1


def test_a_shadow_has_no_shadow_and_a_bot_has_five() -> None:
    champion = factories.bot(mode=Mode.PAPER)
    made = [shadows.create(champion_pk=champion.pk, name=f"s{number}", by=champion.user, reason="x") for number in range(5)]

    with pytest.raises(BadInput, match="has 5 already"):
        shadows.create(champion_pk=champion.pk, name="s5", by=champion.user, reason="x")
    with pytest.raises(BadInput, match="is a shadow itself"):
        shadows.create(champion_pk=made[0].pk, name="s6", by=champion.user, reason="x")


# --- Given what the champion saw ---


def test_it_decides_on_the_price_and_book_its_champion_saw() -> None:
    w, shadow = followed()
    first = decision_of(w, w.bot)
    w.quotes.price = factories.PRICE * 2  # the market has moved on meanwhile

    second = decision_of(w, shadow)

    assert (first.inputs["ticker"], first.inputs["book"]) == (second.inputs["ticker"], second.inputs["book"])
    assert first.inputs["candles"] == second.inputs["candles"] and first.inputs["known_at"] == second.inputs["known_at"]
    assert StageResult.objects.get(cycle=second.cycle, stage="data_collection").data["seen_by_decision"] == first.pk
    assert [order.bot_id for order in Order.objects.order_by("pk")] == [w.bot.pk, shadow.pk]


def test_it_looks_itself_where_its_champion_decided_nothing() -> None:
    w, shadow = followed()

    second = decision_of(w, shadow)

    assert second.inputs["ticker"] is not None
    assert "seen_by_decision" not in StageResult.objects.get(cycle=second.cycle, stage="data_collection").data


def test_its_slot_waits_for_its_champions_and_not_for_ever() -> None:
    config.create_missing({"bot_status": {"enabled": True}})
    seeds.create_schedules()
    task = PeriodicTask.objects.get(name=seeds.HOURLY)
    champion = factories.bot(mode=Mode.PAPER, schedule=task)
    shadow = shadows.create(champion_pk=champion.pk, name="other", by=champion.user, reason="x")
    Bot.objects.filter(pk=shadow.pk).update(is_running=True, status=BotStatus.RUNNING)
    slot = datetime(2036, 3, 1, 12, tzinfo=UTC)  # after the plan's last change, which is now

    def due(after: timedelta) -> set[int]:
        return {one.bot_id for one in dispatch._owed(task, now=slot + after)}

    assert due(timedelta(seconds=10)) == {champion.pk}
    assert due(timedelta(minutes=6)) == {champion.pk, shadow.pk}
    cycle = factories.cycle(champion, slot=slot)
    assert due(timedelta(seconds=20)) == set()
    type(cycle).objects.filter(pk=cycle.pk).update(status="done", finished_at=slot, lease_expires_at=None)
    assert due(timedelta(seconds=20)) == {shadow.pk}
    assert shadows.followers(bot_pk=champion.pk) == [shadow.pk]


def test_a_champions_task_hands_the_slot_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from trading import tasks

    w, shadow = followed()
    queued: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tasks.run_cycle, "delay", lambda *arguments: queued.append(arguments))
    monkeypatch.setattr(tasks, "venue_for", lambda _account: w.venue)

    tasks.run_cycle(w.bot.pk, SLOT.isoformat(), CycleTrigger.OPERATOR)

    assert queued == [(shadow.pk, SLOT.isoformat(), CycleTrigger.OPERATOR)]


# --- Compared ---


def days_of(bot: Bot, profits: list[int]) -> None:
    """Risk states as the days left them."""
    RiskState.objects.bulk_create(
        RiskState(
            bot=bot,
            account=bot.account,
            user=bot.user,
            mode=bot.mode,
            trading_day=SLOT.date() + timedelta(days=number),
            start_equity=CASH,
            daily_pnl=profit,
            start_capital=CASH,
            capital=CASH,
            updated_at=SLOT,
        )
        for number, profit in enumerate(profits)
    )


def asked(bot: Bot, *, cost: str, day: int) -> None:
    """A decision's call to a model."""
    from tests.contracts.test_analyst import analyst
    from trading.models import Analyst

    whom = Analyst.objects.first() or analyst()
    call = AnalystCall.objects.create(
        analyst=whom, bot=bot, user=bot.user, purpose="decision", status="answered", prompt=whom.prompt, model="m", messages=[],
        reserved_cost=cost, cost=cost,
    )  # fmt: skip
    AnalystCall.objects.filter(pk=call.pk).update(asked_at=SLOT + timedelta(days=day))


def told(shadow: Bot) -> selectors.Beside:
    (one,) = selectors.beside(
        [Bot.objects.select_related("shadow_of__account").get(pk=shadow.pk)], now=SLOT + timedelta(days=90), zone="UTC"
    )
    return one


def test_a_model_without_an_edge_is_worth_its_price_in_the_red() -> None:
    champion = factories.bot(mode=Mode.PAPER)
    shadow = shadows.create(champion_pk=champion.pk, name="rules", by=champion.user, reason="x")
    Bot.objects.filter(pk=champion.pk).update(analyst="gpt")
    profits = [(-1) ** number * 7000 for number in range(40)]
    days_of(champion, profits)
    days_of(shadow, profits)
    for day in range(40):
        asked(champion, cost="0.02", day=day)
    KrwRate.objects.create(currency="USDT", krw_per_unit=1400, source="upbit KRW-USDT", known_at=SLOT, recorded_at=SLOT)

    worth = told(shadow).worth

    assert worth is not None and worth.finding is Finding.WORSE
    assert (worth.days, worth.profit, worth.cost) == (40, D(0), D("0.02") * 40 * 1400)


def test_costs_nobody_can_convert_leave_the_comparison_unknown() -> None:
    champion = factories.bot(mode=Mode.PAPER, analyst="gpt")
    shadow = shadows.create(champion_pk=champion.pk, name="rules", by=champion.user, reason="x")
    days_of(champion, [1] * 40)
    days_of(shadow, [1] * 40)
    asked(champion, cost="0.02", day=1)

    one = told(shadow)

    assert one.comparison is None and one.worth is None and "USD" in one.why_unknown


def test_the_day_that_is_not_over_is_left_out() -> None:
    champion = factories.bot(mode=Mode.PAPER)
    shadow = shadows.create(champion_pk=champion.pk, name="rules", by=champion.user, reason="x")
    days_of(champion, [1] * 91)
    days_of(shadow, [2] * 91)

    comparison = told(shadow).comparison

    assert comparison is not None and (comparison.days, comparison.profit) == (90, D(90))


# --- Promoted ---


def test_a_promotion_exchanges_what_is_in_question_and_a_second_takes_it_back() -> None:
    champion = factories.bot(mode=Mode.PAPER, parameters={"breakout_bars": 30})
    shadow = shadows.create(champion_pk=champion.pk, name="s", by=champion.user, reason="x", changes={"breakout_bars": 40})

    promoted = shadows.promote(shadow_pk=shadow.pk, by=champion.user, reason="proven better")
    shadow.refresh_from_db()
    assert (promoted.parameters, shadow.parameters) == ({"breakout_bars": 40}, {"breakout_bars": 30})
    assert (promoted.mode, promoted.pk, promoted.shadow_of) == ("paper", champion.pk, None)
    entry = AuditEntry.objects.get(action="promote shadow")
    assert entry.reason == "proven better" and entry.diff["parameters"] == [{"breakout_bars": 30}, {"breakout_bars": 40}]

    shadows.promote(shadow_pk=shadow.pk, by=champion.user, reason="it was not")
    champion.refresh_from_db()
    assert champion.parameters == {"breakout_bars": 30}


def test_nothing_is_promoted_while_something_is_held_or_without_a_reason() -> None:
    champion = factories.bot(mode=Mode.PAPER)
    shadow = shadows.create(champion_pk=champion.pk, name="s", by=champion.user, reason="x")
    with pytest.raises(BadInput, match="say why"):
        shadows.promote(shadow_pk=shadow.pk, by=champion.user, reason=" ")
    with pytest.raises(BadInput, match="nobody's shadow"):
        shadows.promote(shadow_pk=champion.pk, by=champion.user, reason="x")
    factories.position(champion)

    with pytest.raises(BadInput, match="holds a position"):
        shadows.promote(shadow_pk=shadow.pk, by=champion.user, reason="x")


# --- The page ---


@pytest.fixture
def operator(client: Client) -> Any:
    """An operator who is logged in, with a paper bot."""
    roles.create_missing()
    champion = factories.bot(mode=Mode.PAPER, analyst="gpt")
    champion.user.groups.add(Group.objects.get(name="operator"))
    client.force_login(champion.user)
    return champion


def test_the_page_makes_shadows_shows_what_the_model_is_worth_and_promotes(client: Client, operator: Bot) -> None:
    made = client.post(
        reverse("create_shadow"), {"champion": operator.pk, "name": "without a model", "analyst": "rules", "reason": "is it worth it"}
    )
    shadow = Bot.objects.get(shadow_of=operator)
    assert made.headers["Location"] == reverse("bot_page", args=[shadow.pk])
    days_of(operator, [-500] * 39 + [400])
    days_of(shadow, [100] * 39 + [-300])

    shown = client.get(reverse("scorecard")).content.decode()
    assert "The model costs more than it earns." in shown and "The rules alone are the cheaper way." in shown
    assert "<polyline" in shown and "without a model" in shown

    client.post(reverse("promote_shadow", args=[shadow.pk]), {"reason": "cheaper"})
    operator.refresh_from_db()
    assert operator.analyst == "rules"


def test_a_refusal_is_shown_and_nothing_is_made(client: Client, operator: Bot) -> None:
    asked = {"champion": operator.pk, "name": "x", "analyst": "nobody", "reason": "y"}
    shown = client.post(reverse("create_shadow"), asked, follow=True).content.decode()

    assert "no enabled analyst nobody" in shown and Bot.objects.count() == 1


def test_others_bots_are_neither_shown_nor_followed(client: Client, operator: Bot) -> None:
    theirs = factories.bot(mode=Mode.PAPER)
    shadow = shadows.create(champion_pk=theirs.pk, name="their shadow", by=theirs.user, reason="x")

    assert "their shadow" not in client.get(reverse("scorecard")).content.decode()
    assert client.post(reverse("create_shadow"), {"champion": theirs.pk, "name": "n", "reason": "r"}).status_code == 404
    assert client.post(reverse("promote_shadow", args=[shadow.pk]), {"reason": "r"}).status_code == 404
