"""Limits in the admin: tightened at once, loosened for a reason, on real money with the second factor; and shown with their use."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from dgbot.accounts import roles
from dgbot.accounts.models import AuditEntry
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from risk import kill_switch, services
from risk.domain.days import trading_day
from risk.domain.limits import EffectiveLimits
from risk.models import AccountLimits, BotLimits, LimitChange, Reservation, RiskEvent, RiskProfile, RiskState, SymbolGroup, Transfer
from risk.services import Owner
from tests import face_rows, factories
from tests.factories import SLOT, world
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


def test_every_list_of_the_room_tells_its_rows(operator: Client):
    w = world()
    owner = Owner(account_id=w.bot.account_id, user_id=w.bot.user_id, mode=w.bot.mode)
    factories.planned_entry(w.bot)
    services.record_transfer(owner=owner, amount=D(-5000), reference="t1", at=SLOT, zone="Asia/Seoul")
    for equity in (1_000_000, 650_000):
        seen = services.Observation(None, "Account", D(equity), None, EffectiveLimits(drawdown_fraction=D("0.3")))
        services.observe(owner=owner, observations=[seen], now=SLOT, zone="Asia/Seoul")
    RiskState.objects.create(
        account=w.bot.account, user=w.bot.user, mode=w.bot.mode, trading_day=SLOT.date() - timedelta(days=1), updated_at=SLOT
    )
    kill_switch.change(scope="platform", scope_id="", level=1, by=w.bot.user, reason="drill")

    def text(model: str) -> str:
        return operator.get(reverse(f"admin:risk_{model}_changelist")).content.decode()

    assert "35.00 %" in text("riskstate") and "fell 35" in text("riskevent")
    assert "5,000" in text("transfer") and "50,025" in text("reservation") and "no new positions" in text("killswitch")
    assert "-5.00 %" in text("riskprofile") or "5.00 %" in text("riskprofile")
    told = [str(model.objects.order_by("pk")[0]) for model in (Transfer, Reservation, RiskEvent)]
    assert told[0].startswith("-5000 ") and told[1] == "50025 held" and told[2].startswith("drawdown: Account fell 35.00 %")
    assert str(RiskState.objects.order_by("pk")[0]).endswith(str(trading_day(SLOT, zone="Asia/Seoul")))


def test_safe_mode_is_released_after_a_question_and_for_a_reason(operator: Client):
    w = world(mode=Mode.SIMULATED)
    owner = Owner(account_id=w.bot.account_id, user_id=w.bot.user_id, mode=w.bot.mode)
    assert services.enter_safe_mode(owner=owner, bot_id=None, code="test", message="a drill", at=SLOT, zone="Asia/Seoul")
    assert not services.enter_safe_mode(owner=owner, bot_id=None, code="test", message="again", at=SLOT, zone="Asia/Seoul")
    state = RiskState.objects.get()
    url = reverse("admin:risk_riskstate_release", args=[state.pk])

    assert "a drill" in operator.get(url).content.decode()
    assert "a drill" in operator.post(url, {"reason": " "}).content.decode()
    operator.post(url, {"reason": "it was a drill"})
    assert not RiskState.objects.get().safe_mode
    assert "Nothing to release" in operator.get(url, follow=True).content.decode()


@pytest.mark.parametrize(("wrong", "words"), [({"reason": " "}, "reason"), ({"scope": "moon"}, "scope"), ({"level": 9}, "level")])
def test_a_kill_switch_needs_a_reason_a_scope_and_a_level(wrong: dict[str, Any], words: str):
    by = factories.account().user

    with pytest.raises(BadInput, match=words):
        kill_switch.change(**{"scope": "platform", "scope_id": "", "level": 1, "by": by, "reason": "x", **wrong})


def test_what_cannot_be_released_says_why(operator: Client):
    w = world()
    owner = Owner(account_id=w.bot.account_id, user_id=w.bot.user_id, mode=w.bot.mode)
    services.enter_safe_mode(owner=owner, bot_id=None, code="test", message="a loss", at=SLOT, zone="Asia/Seoul")
    url = reverse("admin:risk_riskstate_release", args=[RiskState.objects.get().pk])

    page = operator.post(url, {"reason": "a replay keeps it to its end"}, follow=True).content.decode()

    assert "replay" in page and RiskState.objects.get().safe_mode


def test_a_new_profile_has_no_history_and_a_change_has_a_name(operator: Client):
    world()
    assert operator.get(reverse("admin:risk_riskprofile_add")).status_code == 200

    saved(operator, medium(), daily_loss_fraction="0.05")
    assert str(LimitChange.objects.get()).startswith("medium 20")


def told(client: Client, **changes: str) -> str:
    """Tell of a deposit by hand; the refusal the form shows, or an empty text."""
    account = Bot.objects.get().account_id
    given = {"account": account, "amount": "500000", "at_0": "2026-01-04", "at_1": "12:00:00", "reference": "d1", "note": "from the bank"}
    response = client.post(reverse("admin:risk_transfer_add"), {**given, **changes})
    return "" if response.status_code == 302 else " ".join(map(str, response.context["adminform"].form.errors.values()))


def test_a_deposit_told_by_hand_is_no_profit_and_has_a_reason(operator: Client):
    bot = world().bot
    at = datetime(2026, 1, 4, 9, tzinfo=UTC)
    owner = Owner(account_id=bot.account_id, user_id=bot.user_id, mode=bot.mode)

    def look(equity: str) -> RiskState:
        seen = services.Observation(bot_id=None, whose="It", equity=D(equity), limit_base=None, limits=EffectiveLimits())
        return services.observe(owner=owner, observations=[seen], now=at, zone="Asia/Seoul")[0]

    look("1000000")
    assert told(operator) == ""

    assert look("1500000").daily_pnl == 0
    transfer = Transfer.objects.get()
    assert (transfer.amount, transfer.reference, transfer.note) == (D(500_000), "d1", "from the bank")
    entry = AuditEntry.objects.get(action="record transfer")
    assert (entry.reason, entry.diff["amount"]) == ("from the bank", "500000")
    assert "from the bank" in operator.get(reverse("admin:risk_transfer_changelist")).content.decode()
    assert operator.get(reverse("admin:risk_transfer_change", args=[transfer.pk])).status_code == 200
    assert "booked already" in told(operator)
    assert told(operator, reference="w1", amount="-500000") == ""
    assert look("1000000").daily_pnl == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"amount": "0"}, "minus sign"),
        ({"amount": "NaN"}, "Enter a number"),
        ({"note": ""}, "required"),
        ({"reference": ""}, "required"),
        ({"at_0": "2999-01-01"}, "lies in the future"),
    ],
)
def test_a_transfer_that_says_too_little_is_refused(operator: Client, wrong: dict[str, str], words: str):
    world()

    assert words in told(operator, **wrong)
    assert not Transfer.objects.exists()


def test_only_who_manages_risk_tells_of_transfers(client: Client):
    world()
    for role, status in ((roles.OPERATOR, 403), (roles.RISK_MANAGER, 200)):
        client.force_login(face_rows.user(role=role))
        assert client.get(reverse("admin:risk_transfer_add")).status_code == status
