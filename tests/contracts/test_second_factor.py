"""The second factor: set up with the password, each code good for once, asked for wherever money is real."""

import re
import threading
from base64 import b32decode, b32encode
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.urls import reverse

from dgbot.accounts import authenticators, roles
from dgbot.accounts.models import AuditEntry, Authenticator, RecoveryCode, SignIn, User
from dgbot.core.errors import SecondFactorMissing
from dgbot.core.types import Mode
from risk import kill_switch
from risk.models import KillScope, KillSwitch
from tests import face_rows as rows
from tests import factories
from tests.api_client import access_token
from tests.second_factors import Phone, proven, set_up
from trading.models import Bot
from trading.services import bots, venues

pytestmark = pytest.mark.django_db(databases=["default", "venue"])

VERIFY, SET_UP = "/account/verify/", "/account/second-factor/"


@pytest.fixture
def live_bot(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Bot:
    """A stopped bot with real money."""
    settings.LIVE_TRADING = True
    monkeypatch.setattr(venues, "LIVE_ORDER_PATH_IS_PROVEN", True)
    bot = factories.bot(home=factories.account(owner=rows.user(), mode=Mode.LIVE))
    Bot.objects.filter(pk=bot.pk).update(is_running=False, status="stopped")
    return bot


# --- Setting up ---


def test_it_is_set_up_with_the_password_and_a_code(client: Client) -> None:
    person = rows.user()
    client.force_login(person)

    assert b"QR" not in client.get(SET_UP).content
    client.post(SET_UP, {"password": "wrong"})
    assert b"QR" not in client.get(SET_UP).content, "a stolen session alone sets nothing up"
    client.post(SET_UP, {"password": rows.PASSWORD})
    page = client.get(SET_UP).content.decode()
    key = re.search(r"<code>([A-Z2-7 ]+)</code>", page)
    assert "<svg" in page and key is not None
    phone = Phone(b32decode(key[1].replace(" ", "")))
    refused = client.post(SET_UP, {"code": "000000"}, follow=True).content.decode()
    assert "not accepted" in refused and not authenticators.has_one(person)
    told = client.post(SET_UP, {"code": phone.code()}).content.decode()

    assert authenticators.has_one(person)
    assert len(re.findall(r"<code>(?:[A-Z2-7]{4}-){3}[A-Z2-7]{4}</code>", told)) == authenticators.CODES
    assert "set up second factor" in AuditEntry.objects.values_list("action", flat=True)


def test_the_key_and_the_codes_are_not_in_the_database() -> None:
    person = rows.user()
    phone, codes = set_up(person)

    ((stored_key,),) = factories.rows("SELECT key FROM authenticators WHERE user_id = %s", person.pk)
    assert stored_key.startswith("gAAAA") and b32encode(phone.key).decode() not in stored_key
    stored = " ".join(RecoveryCode.objects.values_list("hash", flat=True))
    assert not any(code in stored or code.replace("-", "") in stored for code in codes)


def test_another_authenticator_needs_the_one_there_is(client: Client) -> None:
    person = rows.user()
    phone, _codes = set_up(person)
    client.force_login(person)

    client.post(SET_UP, {"password": rows.PASSWORD})
    assert b"<svg" not in client.get(SET_UP).content
    client.post(SET_UP, {"password": rows.PASSWORD, "second_factor_code": phone.code()})
    assert b"<svg" in client.get(SET_UP).content


def test_setting_up_ends_every_other_session(client: Client) -> None:
    person, other = rows.user(), Client()
    other.force_login(person)
    client.force_login(person)
    client.post(SET_UP, {"password": rows.PASSWORD})
    key = re.search(r"<code>([A-Z2-7 ]+)</code>", client.get(SET_UP).content.decode())
    assert key is not None
    client.post(SET_UP, {"code": Phone(b32decode(key[1].replace(" ", ""))).code()})

    assert other.get("/").status_code == 302 and client.get("/").status_code == 200


# --- Codes ---


def test_a_code_is_good_for_once() -> None:
    person = rows.user()
    phone, _codes = set_up(person)
    code = phone.code()

    assert authenticators.check(person, code)
    assert not authenticators.check(person, code)


def test_a_code_before_the_last_one_is_refused() -> None:
    person = rows.user()
    phone, _codes = set_up(person)
    earlier = Phone(phone.key).code()

    assert authenticators.check(person, phone.code())
    assert not authenticators.check(person, earlier)


def test_a_recovery_code_is_good_for_once_and_on_record() -> None:
    person = rows.user()
    _phone, codes = set_up(person)

    assert authenticators.check(person, codes[3].lower())
    assert authenticators.codes_left(person) == authenticators.CODES - 1
    assert AuditEntry.objects.latest("pk").action == "use recovery code"
    assert not authenticators.check(person, codes[3])


def test_guessing_is_slowed_down_and_the_right_code_waits_with_it() -> None:
    person = rows.user()
    phone, _codes = set_up(person)

    assert not any(authenticators.check(person, f"{guess:06d}") for guess in range(200))
    assert not authenticators.check(person, phone.code())
    assert Authenticator.objects.get(user=person).throttling_failure_count < 10, "the others were not even compared"


@pytest.mark.django_db(transaction=True, databases=["default", "venue"])
def test_of_two_who_send_the_same_code_at_once_one_is_let_in() -> None:
    person = rows.user()
    phone, _codes = set_up(person)
    code, accepted = phone.code(), []

    def send() -> None:
        accepted.append(authenticators.check(person, code))
        connections.close_all()

    both = [threading.Thread(target=send) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()

    assert sorted(accepted) == [False, True]


# --- Where it is asked for ---


def test_a_bot_with_real_money_starts_only_with_it(live_bot: Bot) -> None:
    with pytest.raises(SecondFactorMissing, match="second factor is not verified"):
        bots.start(bot_pk=live_bot.pk, by=live_bot.user)
    assert bots.start(bot_pk=live_bot.pk, by=live_bot.user, second_factor=lambda: True).is_running


def test_the_page_that_asks_takes_the_code_along(client: Client, live_bot: Bot) -> None:
    phone, _codes = set_up(live_bot.user)
    client.force_login(live_bot.user)
    url = reverse("admin:trading_bot_start_bot", args=[live_bot.pk])

    assert "Code of your authenticator" in client.get(url).content.decode()
    client.post(url, {"confirmed": "yes", "second_factor_code": "000000"})
    assert not Bot.objects.get(pk=live_bot.pk).is_running
    Authenticator.objects.update(throttling_failure_timestamp=None)
    client.post(url, {"confirmed": "yes", "second_factor_code": phone.code()})
    assert Bot.objects.get(pk=live_bot.pk).is_running
    assert "Code of your authenticator" not in client.get(url).content.decode(), "it has just been proven"


def test_the_dashboard_says_what_is_missing(client: Client, live_bot: Bot) -> None:
    client.force_login(live_bot.user)
    answer = client.post(f"/dashboard/bots/{live_bot.pk}/start/")
    assert (answer.status_code, "second factor" in answer.json()["message"]) == (409, True)

    proven(client, live_bot.user)

    assert client.post(f"/dashboard/bots/{live_bot.pk}/start/").status_code == 200


def test_a_proof_is_good_for_some_minutes_only(client: Client, live_bot: Bot, settings: Any) -> None:
    proven(client, live_bot.user)
    settings.SECOND_FACTOR_S = 0

    assert client.post(f"/dashboard/bots/{live_bot.pk}/start/").status_code == 409


def test_wrong_codes_on_a_page_are_counted_although_nothing_was_changed(client: Client, live_bot: Bot) -> None:
    boss = rows.user(role=roles.RISK_MANAGER)
    set_up(boss)
    kill_switch.change(scope=KillScope.PLATFORM, scope_id="", level=1, by=boss, reason="drill")
    client.force_login(boss)

    sent = {"target": "platform:", "level": "0", "reason": "over", "confirmed": "yes", "second_factor_code": "000000"}
    client.post(reverse("admin:risk_killswitch_set"), sent)

    assert KillSwitch.objects.get().level == 1
    assert Authenticator.objects.get(user=boss).throttling_failure_count == 1


def test_the_kill_switch_falls_with_it_where_money_is_real_and_without_it_elsewhere(client: Client) -> None:
    boss = rows.user(role=roles.RISK_MANAGER)
    client.force_login(boss)
    sent = {"target": "platform:", "level": "0", "reason": "over", "confirmed": "yes"}
    kill_switch.change(scope=KillScope.PLATFORM, scope_id="", level=1, by=boss, reason="drill")
    client.post(reverse("admin:risk_killswitch_set"), sent)
    assert KillSwitch.objects.get().level == 0

    factories.account(mode=Mode.LIVE)
    kill_switch.change(scope=KillScope.PLATFORM, scope_id="", level=1, by=boss, reason="drill")
    client.post(reverse("admin:risk_killswitch_set"), sent)
    assert KillSwitch.objects.get().level == 1

    proven(client, boss)
    client.post(reverse("admin:risk_killswitch_set"), sent)
    assert KillSwitch.objects.get().level == 0


# --- Lost ---


def test_a_lost_device_is_taken_away_by_a_command_with_its_reason(client: Client) -> None:
    person, boss = rows.user("lost"), rows.user("boss")
    proven(client, person)

    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("reset_second_factor", "nobody", "--reason", "x", "--by", "boss")
    with pytest.raises(CommandError, match="reason"):
        call_command("reset_second_factor", "lost", "--reason", " ", "--by", "boss")
    call_command("reset_second_factor", "lost", "--reason", "asked in person", "--by", "boss")

    assert not authenticators.has_one(person) and not RecoveryCode.objects.filter(user=person).exists()
    assert client.get("/").status_code == 302 and not SignIn.objects.filter(user=person).exists()
    entry = AuditEntry.objects.get(action="remove second factor")
    assert (entry.actor, entry.reason, entry.target) == (User.objects.get(pk=boss.pk), "asked in person", f"user:{person.pk}")


def test_verify_never_leads_to_another_site(client: Client) -> None:
    person = rows.user()
    phone, _codes = set_up(person)
    client.force_login(person)

    assert client.post(VERIFY, {"second_factor_code": phone.code(), "next": "https://evil.example/"}).url == "/account/"


def test_a_program_proves_it_in_a_header_of_the_request(live_bot: Bot) -> None:
    phone, _codes = set_up(live_bot.user)
    url, bearer = f"/api/v1/bots/{live_bot.pk}/start", {"authorization": f"Bearer {access_token(live_bot.user)}"}

    refused = Client().post(url, {}, "application/json", headers=bearer)
    started = Client().post(url, {}, "application/json", headers={**bearer, "x-second-factor": phone.code()})

    assert refused.status_code in (400, 403, 409) and "second factor" in refused.content.decode()
    assert started.status_code == 200 and Bot.objects.get(pk=live_bot.pk).is_running
