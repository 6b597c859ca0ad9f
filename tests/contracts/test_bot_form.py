"""The bot form in the admin: typed fields of the chosen strategy, JSON behind them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from backtests.strategies.base import Strategy
from backtests.strategies.registry import STRATEGIES
from dgbot.accounts import roles
from dgbot.accounts.models import AuditEntry
from dgbot.core.types import Mode
from risk.models import AccountLimits, LimitChange, RiskProfile
from risk.seeds import create_profiles
from tests import face_rows as rows
from tests import factories
from tests.second_factors import proven
from trading.models import Bot, TickCount
from trading.services import config

pytestmark = pytest.mark.django_db(databases=["default", "venue"])
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)


@pytest.fixture
def bot(client: Client) -> Bot:
    made = rows.bot(rows.user(), parameters={"trend_bars": 30})
    client.force_login(made.user)
    return made


def address(bot: Bot | None = None) -> str:
    return reverse("admin:trading_bot_change", args=[bot.pk]) if bot else reverse("admin:trading_bot_add")


def filled_in(client: Client, url: str, **changed: Any) -> dict[str, Any]:
    """What a browser would post: every field as shown, with some changed."""
    form = client.get(url).context["adminform"].form
    shown = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in {**shown, **changed}.items() if value not in (None, False)}


def errors(answer: Any) -> dict[str, list[str]]:
    return {} if answer.context is None else dict(answer.context["adminform"].form.errors)


def test_stored_parameters_are_shown_in_their_fields(client: Client, bot: Bot) -> None:
    form = client.get(address(bot)).context["adminform"].form

    assert form["parameter_trend_bars"].value() == 30
    assert form["parameter_volume_factor"].value() == 1.5
    assert "parameters" not in form.fields


def test_only_what_differs_from_the_defaults_is_stored(client: Client, bot: Bot) -> None:
    posted = filled_in(client, address(bot), parameter_trend_bars="50", parameter_volume_factor="2.25")

    answer = client.post(address(bot), posted)

    assert answer.status_code == 302, errors(answer)
    bot.refresh_from_db()
    assert bot.parameters == {"volume_factor": 2.25}
    assert AuditEntry.objects.latest("pk").diff["parameter_trend_bars"] == ["30", "50"]


def test_an_empty_field_is_its_default(client: Client, bot: Bot) -> None:
    client.post(address(bot), filled_in(client, address(bot), parameter_trend_bars=""))

    bot.refresh_from_db()
    assert bot.parameters == {}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("1", "1 is outside 2 … 1000 bars; enter a value within, or nothing for 50."),
        ("1001", "1001 is outside 2 … 1000 bars; enter a value within, or nothing for 50."),
        ("20.5", "Enter a whole number."),
        ("many", "Enter a whole number."),
    ],
)
def test_a_value_out_of_bounds_is_refused_under_its_field(client: Client, bot: Bot, value: str, told: str) -> None:
    answer = client.post(address(bot), filled_in(client, address(bot), parameter_trend_bars=value))

    assert errors(answer) == {"parameter_trend_bars": [told]}
    bot.refresh_from_db()
    assert bot.parameters == {"trend_bars": 30}


@pytest.mark.parametrize("value", ["nan", "inf", "1e999"])
def test_a_number_that_is_none_is_refused(client: Client, bot: Bot, value: str) -> None:
    answer = client.post(address(bot), filled_in(client, address(bot), parameter_volume_factor=value))

    assert list(errors(answer)) == ["parameter_volume_factor"]


def test_another_strategy_first_shows_its_fields_and_then_saves(client: Client, bot: Bot) -> None:
    first = client.post(address(bot), filled_in(client, address(bot), strategy="volume_zone_breakout", name="renamed"))

    form = first.context["adminform"].form
    assert list(errors(first)) == ["strategy"]
    assert errors(first)["strategy"][0].startswith("Nothing is saved yet: the parameters are those of Volume zone breakout now.")
    assert (form["parameter_zone_bars"].value(), form["parameter_include_wicks"].value()) == (10, True)
    assert (form["name"].value(), form["shown_strategy"].value()) == ("renamed", "volume_zone_breakout")
    bot.refresh_from_db()
    assert bot.strategy == "volatility_breakout"

    posted = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    second = client.post(address(bot), {**posted, "parameter_zone_bars": "15"} | {"parameter_include_wicks": ""})

    assert second.status_code == 302, errors(second)
    bot.refresh_from_db()
    assert (bot.name, bot.strategy, bot.parameters) == ("renamed", "volume_zone_breakout", {"zone_bars": 15, "include_wicks": False})


def test_a_field_of_the_same_name_is_not_carried_to_another_strategy(client: Client) -> None:
    bot = rows.bot(rows.user(), strategy="aggressive_bollinger", parameters={"stop": 0.2})
    client.force_login(bot.user)

    answer = client.post(address(bot), filled_in(client, address(bot), strategy="conservative_ema"))

    assert answer.context["adminform"].form["parameter_stop"].value() == 0.04


@every_strategy
def test_a_new_bot_can_be_made_of_every_strategy(client: Client, strategy: Strategy[Any]) -> None:
    account = rows.account(rows.user())
    client.force_login(account.user)
    url = f"{address()}?strategy={strategy.name}"
    posted = filled_in(client, url, name="new", account=account.pk, symbol="KRW-BTC", analyst="rules")

    answer = client.post(url, posted)

    assert answer.status_code == 302, errors(answer)
    made = Bot.objects.get(name="new")
    assert (made.strategy, made.parameters) == (strategy.name, {})


@every_strategy
def test_every_parameter_has_a_field_with_its_bounds_and_its_help(client: Client, strategy: Strategy[Any]) -> None:
    account = rows.account(rows.user())
    client.force_login(account.user)

    page = client.get(f"{address()}?strategy={strategy.name}")

    form = page.context["adminform"].form
    assert strategy.description in page.content.decode()
    for name, bounds in strategy.parameters.bounds().items():
        field = form.fields[f"parameter_{name}"]
        assert bounds.help in field.help_text
        if strategy.parameters.kinds()[name] is not bool:
            assert (field.widget.attrs["min"], field.widget.attrs["max"]) == (bounds.low, bounds.high)


def test_an_unknown_strategy_is_refused(client: Client, bot: Bot) -> None:
    answer = client.post(address(bot), filled_in(client, address(bot), strategy="moon"))

    assert "strategy" in errors(answer)


def test_who_may_only_look_sees_what_is_stored(client: Client) -> None:
    viewer = rows.user(role=roles.VIEWER, is_superuser=False)
    own = rows.bot(viewer, parameters={"trend_bars": 31})
    client.force_login(viewer)

    page = client.get(address(own))

    assert page.status_code == 200
    assert "trend_bars" in page.content.decode()


@pytest.mark.parametrize(("seconds", "told"), [("0", "greater than or equal to 1"), ("60", "less than or equal to 59")])
def test_a_look_that_is_no_tickers_business_is_refused(client: Client, bot: Bot, seconds: str, told: str) -> None:
    answer = client.post(address(bot), filled_in(client, address(bot), tick_seconds=seconds))

    assert told in errors(answer)["tick_seconds"][0]


def test_a_bot_with_a_schedule_cannot_tick_as_well(client: Client, bot: Bot) -> None:
    task = PeriodicTask.objects.create(name="hourly", task="x", interval=IntervalSchedule.objects.create(every=1, period="hours"))

    answer = client.post(address(bot), filled_in(client, address(bot), tick_seconds="5", schedule=str(task.pk)))

    assert "not both" in errors(answer)["tick_seconds"][0]


def test_how_punctual_a_watched_bot_was_is_shown(client: Client, bot: Bot) -> None:
    Bot.objects.filter(pk=bot.pk).update(tick_seconds=5, schedule=None)
    TickCount.objects.create(bot=bot, hour=datetime(2026, 1, 1, 9, tzinfo=UTC), looks=720, late=3, worst_lateness_ms=812)

    assert "09:00 UTC: 720 looks, 3 late, worst 812 ms, 0 left out" in client.get(address(bot)).content.decode()


# --- What allows more asks for a reason ---


@pytest.fixture
def profiles(db: None) -> None:
    """The three shared profiles and the settings that name one of them."""
    create_profiles()
    config.create_missing()


def saved(client: Client, bot: Bot, **changed: Any) -> str:
    """Post the form with changes; what it refuses at the reason, or an empty text."""
    answer = client.post(address(bot), filled_in(client, address(bot), **changed))
    return " ".join(errors(answer).get("change_reason", []))


def profile(name: str) -> int:
    return RiskProfile.objects.get(name=name, user=None).pk


def test_less_money_needs_no_reason_and_more_does(client: Client, bot: Bot, profiles: None) -> None:
    Bot.objects.filter(pk=bot.pk).update(allocation=1_000_000, trade_amount=50_000)

    assert saved(client, bot, allocation="900000", trade_amount="40000") == ""
    assert "allocation, trade_amount would allow more than before; say why" in saved(client, bot, allocation="900001", trade_amount="40001")
    assert "allocation would allow more" in saved(client, bot, allocation="")
    bot.refresh_from_db()
    assert (bot.allocation, bot.trade_amount) == (900_000, 40_000)

    assert saved(client, bot, allocation="2000000", change_reason="it earns") == ""
    change = LimitChange.objects.latest("pk")
    assert (change.subject, change.subject_pk, change.loosened, change.reason) == ("bot", bot.pk, ["allocation"], "it earns")
    assert (change.before["allocation"], change.after["allocation"]) == ("900000", "2000000")


def test_another_profile_needs_a_reason_and_is_kept(client: Client, bot: Bot, profiles: None) -> None:
    assert saved(client, bot, risk_profile=profile("conservative")) != "", "its target is another, which no rule can call tighter"
    assert saved(client, bot, risk_profile=profile("conservative"), change_reason="calmer") == ""
    refused = saved(client, bot, risk_profile=profile("aggressive"))

    assert "daily_loss_fraction" in refused and "position_fraction" in refused
    assert LimitChange.objects.latest("pk").after["risk_profile"] == "conservative"


def test_what_the_account_limits_does_not_loosen_with_the_profile(client: Client, bot: Bot, profiles: None) -> None:
    AccountLimits.objects.create(account=bot.account, daily_loss_fraction="0.04", position_fraction="0.1")

    refused = saved(client, bot, risk_profile=profile("aggressive"))

    assert "weekly_loss_fraction" in refused and "daily_loss_fraction" not in refused and "position_fraction" not in refused


def test_more_real_money_asks_for_the_second_factor(client: Client, profiles: None) -> None:
    live = factories.bot(home=factories.account(owner=rows.user(), mode=Mode.LIVE))
    client.force_login(live.user)

    assert "second factor is not verified" in saved(client, live, trade_amount="60000", change_reason="it earns")
    assert saved(client, live, trade_amount="40000") == ""
    proven(client, live.user)
    assert saved(client, live, trade_amount="60000", change_reason="it earns") == ""


def test_a_change_of_other_things_keeps_no_change_of_limits(client: Client, bot: Bot) -> None:
    assert saved(client, bot, name="another name") == ""

    assert not LimitChange.objects.exists()
