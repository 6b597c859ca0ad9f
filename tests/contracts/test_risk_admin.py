"""Limits in the admin: tightened at once, loosened for a reason, on real money with the second factor; and shown with their use."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from dgbot.core.types import Mode
from risk.models import AccountLimits, BotLimits, LimitChange, RiskProfile, SymbolGroup
from tests import factories
from tests.factories import world
from trading.models import Bot

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

D = Decimal


@pytest.fixture
def operator(client: Client) -> Client:
    """A signed-in superuser."""
    client.force_login(get_user_model().objects.create_superuser("root", password="x"))
    return client


def medium() -> RiskProfile:
    """The profile most bots have."""
    return RiskProfile.objects.get(name="medium", user=None)


def saved(client: Client, row: Any, reason: str = "", **changes: Any) -> str:
    """Post the row's form with changes; the refusal it shows, or an empty text."""
    url = reverse(f"admin:risk_{row._meta.model_name}_change", args=[row.pk])
    form = client.get(url).context["adminform"].form
    names = [name for name in form.fields if name not in ("spacing", "change_reason")]
    data = {name: "" if form.initial.get(name) is None else form.initial[name] for name in names}
    told = {name: value for name, value in {**data, **changes}.items() if value is not False}
    response = client.post(url, {"spacing": "04:00:00" if isinstance(row, RiskProfile) else "", **told, "change_reason": reason})
    return "" if response.status_code == 302 else " ".join(map(str, response.context["adminform"].form.errors.values()))


def test_a_profile_is_tightened_at_once_and_loosened_for_a_reason(operator: Client):
    world()

    assert saved(operator, medium(), daily_loss_fraction="0.05") == ""
    assert "would allow more than before; say why" in saved(operator, medium(), daily_loss_fraction="0.20")
    assert medium().daily_loss_fraction == D("0.05")
    assert saved(operator, medium(), reason="a calmer market", daily_loss_fraction="0.20") == ""

    assert list(LimitChange.objects.order_by("pk").values_list("loosened", "changed_by__username")) == [
        ([], "root"),
        (["daily_loss_fraction"], "root"),
    ]
    page = operator.get(reverse("admin:risk_riskprofile_change", args=[medium().pk])).content.decode()
    assert "daily_loss_fraction 0.05 → 0.2" in page and "a calmer market" in page
    assert "loosened" in operator.get(reverse("admin:risk_limitchange_changelist")).content.decode()


def test_on_real_money_loosening_asks_for_the_second_factor(operator: Client):
    world()
    factories.bot(home=factories.account(mode=Mode.LIVE), mode=Mode.LIVE)

    assert "second factor is not verified" in saved(operator, medium(), reason="why not", daily_loss_fraction="0.20")
    assert saved(operator, medium(), daily_loss_fraction="0.09") == ""


def test_a_wrong_number_is_refused_before_anything_is_judged(operator: Client):
    world()

    assert "Enter a number" in saved(operator, medium(), daily_loss_fraction="much")


def test_own_and_hard_limits_are_made_and_kept_in_their_order(operator: Client):
    w = world()
    hard = operator.post(reverse("admin:risk_accountlimits_add"), {"account": w.bot.account_id, "position_fraction": "0.25"})
    assert hard.status_code == 302
    beyond = operator.post(reverse("admin:risk_botlimits_add"), {"bot": w.bot.pk, "position_fraction": "0.26", "change_reason": "x"})
    assert "beyond the hard limits" in beyond.content.decode()
    own = operator.post(reverse("admin:risk_botlimits_add"), {"bot": w.bot.pk, "position_fraction": "0.20"})
    assert own.status_code == 302

    assert saved(operator, AccountLimits.objects.get(), position_fraction="0.22") == ""
    assert saved(operator, BotLimits.objects.get(), position_fraction="0.10") == ""
    for model in ("accountlimits", "botlimits"):
        assert operator.get(reverse(f"admin:risk_{model}_changelist")).status_code == 200


def test_a_group_is_a_list_of_symbols(operator: Client):
    url = reverse("admin:risk_symbolgroup_add")

    assert operator.post(url, {"name": "large", "symbols": '["KRW-BTC", 5]'}).status_code == 200
    assert operator.post(url, {"name": "large", "symbols": '["KRW-BTC", "KRW-ETH"]'}).status_code == 302
    assert str(SymbolGroup.objects.get()) == "large"
    assert "KRW-BTC, KRW-ETH" in operator.get(reverse("admin:risk_symbolgroup_changelist")).content.decode()


def test_a_viewer_sees_limits_and_gives_no_reason(client: Client):
    w = world()
    from django.contrib.auth.models import Permission

    user = w.bot.user
    user.is_staff = True
    user.save()
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_riskprofile", "view_limitchange"]))
    client.force_login(user)

    page = client.get(reverse("admin:risk_riskprofile_change", args=[medium().pk]))

    assert page.status_code == 200 and "change_reason" not in page.content.decode()
    assert client.get(reverse("admin:risk_limitchange_changelist")).status_code == 200


def test_a_bots_page_shows_each_limit_with_how_much_of_it_is_used(operator: Client):
    w = world(mode=Mode.SIMULATED)
    factories.position(w.bot)
    Bot.objects.filter(pk=w.bot.pk).update(allocation=D(1_000_000))

    page = operator.get(reverse("admin:trading_bot_change", args=[w.bot.pk])).content.decode()

    for told in ("loss today", "entries today", "still to wait", "at stake in the account", "<progress", "profile medium", "unknown"):
        assert told in page, told
