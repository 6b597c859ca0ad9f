"""What a change would have done, beside the forms: told from candles at hand, saving nothing, waiting for nobody."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from backtests.candles.archive import save
from backtests.selectors import archive_root
from dgbot.core.interval import Interval
from dgbot.core.types import Mode
from risk.models import BotLimits, RiskProfile
from risk.seeds import create_profiles
from tests import face_rows as rows
from tests import factories
from trading.exchanges.simulated_market import SimulatedMarket
from trading.models import Bot, BotConfig
from trading.seeds import create_settings
from trading.services import parity, what_if

pytestmark = pytest.mark.django_db
D = Decimal
SPAN = timedelta(days=45)


@pytest.fixture
def bot() -> Bot:
    """A paper bot on a market that has just been recorded, and is traded often."""
    create_profiles()
    create_settings()
    newest = Interval.HOUR_1.open_of(datetime.now(tz=UTC))
    candles = SimulatedMarket("KRW-BTC", 6, newest - SPAN).closed_candles(Interval.HOUR_1, newest)
    save(replace(candles, exchange="upbit", chain=None), archive_root())
    owner = rows.user("operator", is_superuser=True)
    made = factories.bot(home=factories.account(owner=owner, mode=Mode.PAPER), filter_mode="")
    return parity.bot_of(made.pk)


def only(told: what_if.Told) -> what_if.Effect:
    [effect] = told.effects
    assert not effect.unknown, effect.unknown
    return effect


def test_a_smaller_cap_makes_the_same_trades_smaller(bot: Bot) -> None:
    effect = only(what_if.of_setting("max_trade_amount_krw", {"amount": 10_000}, by=bot.user))

    assert effect.before is not None and effect.after is not None
    assert effect.before.entries == effect.after.entries > 0
    assert effect.after.fees < effect.before.fees / 4
    assert BotConfig.objects.get(key="max_trade_amount_krw").value == {"amount": 1_000_000}, "nothing is saved by looking"


def test_a_symbol_that_leaves_trades_no_more(bot: Bot) -> None:
    effect = only(what_if.of_setting("target_symbols", {"symbols": ["KRW-ETH"]}, by=bot.user))
    assert effect.before is not None
    assert effect.after is None


def test_a_setting_of_schedules_has_nothing_to_compute(bot: Bot) -> None:
    assert "when bots run" in what_if.of_setting("bot_status", {"enabled": True}, by=bot.user).nothing


def test_one_entry_a_day_makes_fewer_entries(bot: Bot) -> None:
    profile = RiskProfile.objects.get(name="medium", user=None)
    profile.spacing, profile.entries_per_day = timedelta(days=7), 1
    effect = only(what_if.of_limits(profile, by=bot.user))
    assert effect.before is not None and effect.after is not None
    assert 0 < effect.after.entries < effect.before.entries

    own = only(what_if.of_limits(BotLimits(bot=bot, spacing=timedelta(days=7)), by=bot.user))
    assert own.after is not None
    assert own.after.entries == effect.after.entries, "a bot's own limit is the profile's for it"
    assert RiskProfile.objects.get(name="medium", user=None).entries_per_day == 5


def test_missing_candles_are_told_with_their_remedy(bot: Bot) -> None:
    bot.symbol = "KRW-XRP"
    [effect] = what_if.of_bot(bot).effects
    assert "import_candles" in effect.unknown


def test_time_that_is_over_names_who_was_left_out(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(what_if, "BUDGET_S", -1.0)
    told = what_if.of_bot(bot)
    assert (told.effects, told.left_out) == ((), (bot.name,))


def test_the_forms_answer_their_users_only(bot: Bot, client: Client) -> None:
    setting = BotConfig.objects.get(key="max_trade_amount_krw")
    client.force_login(bot.user)
    page = client.get(reverse("admin:trading_botconfig_change", args=[setting.pk]))
    assert "what_if.js" in page.content.decode()

    answer = client.post(reverse("admin:trading_botconfig_what_if", args=[setting.pk]), {"value": "10000"})
    assert answer.status_code == 200
    assert bot.name in answer.content.decode()
    wrong = client.post(reverse("admin:trading_botconfig_what_if", args=[setting.pk]), {"value": "-1"})
    assert "filled in" in wrong.content.decode()

    form: dict[str, Any] = client.get(reverse("admin:trading_bot_change", args=[bot.pk])).context["adminform"].form.initial
    filled = {name: value for name, value in form.items() if value is not None and value is not False}
    mine = client.post(reverse("admin:trading_bot_what_if", args=[bot.pk]), {**filled, "trade_amount": "90000"})
    assert bot.name in mine.content.decode()
    assert Bot.objects.get(pk=bot.pk).trade_amount == 50_000

    client.force_login(rows.user("stranger"))
    assert client.post(reverse("admin:trading_bot_what_if", args=[bot.pk]), filled).status_code in (403, 404)
