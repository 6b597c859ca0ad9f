"""Exchange keys: sealed by everybody, opened by the gateway alone, shown nowhere, judged by what the exchange says."""

import io
import logging
import os
import pickle
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import serializers
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from dgbot import env
from dgbot.accounts.models import AuditEntry
from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput, CredentialsRefused, ExchangeUnavailable
from dgbot.core.types import KeyRights, Mode
from tests import factories
from tests.second_factors import proven
from trading import seeds, vault
from trading.exchanges.keys import ApiKey, masked
from trading.exchanges.venue import Venue
from trading.models import Command, CommandKind, CommandState, Credential, ExchangeAccount, KeyStatus
from trading.models.accounts import ExchangeName
from trading.services import commands, credentials, gateway
from trading.services.command_handlers import handlers_for
from trading.services.gateway_loop import Gateway

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(databases=["default", "venue"])]

CANARY = ApiKey("CANARYaccess7Q2mXw91ZKpT4vLr", "CANARYsecret8NcYd63HsBfE5uJg", "CANARYphrase2TtRr")
GOOD = KeyRights(can_read=True, can_trade=True, can_withdraw=False, is_ip_locked=True, expires_at=None)


@dataclass
class SaysOfKeys:
    """An exchange at its wire: what it answers when asked about a key."""

    rights: KeyRights | Exception
    asked: list[str] = field(default_factory=list)

    def key_rights(self) -> KeyRights:
        self.asked.append("key_rights")
        if isinstance(self.rights, Exception):
            raise self.rights
        return self.rights


@pytest.fixture(autouse=True)
def sealing_key(settings, tmp_path):
    settings.KEY_FILE, settings.PUBLIC_KEY_FILE = tmp_path / "private" / "sealing.key", tmp_path / "sealing.pub"
    vault.create_missing()


@pytest.fixture
def account() -> ExchangeAccount:
    return factories.account(mode=Mode.LIVE)


def kept(account: ExchangeAccount, key: ApiKey = CANARY) -> Credential:
    return credentials.keep(key, account=account, by="test")


# --- the vault ---


def test_what_was_sealed_opens_again(account):
    credential = kept(account)

    assert vault.open_key(credential) == CANARY
    assert CANARY.secret_key.encode() not in bytes(credential.sealed)


def test_the_private_key_is_its_owners_alone_and_made_once(settings):
    made = settings.KEY_FILE.read_text()

    assert vault.create_missing() is None

    assert settings.KEY_FILE.stat().st_mode & 0o777 == 0o600
    assert settings.KEY_FILE.read_text() == made
    assert made.strip() not in settings.PUBLIC_KEY_FILE.read_text()


def test_a_private_key_that_others_may_read_is_refused(settings, account):
    credential = kept(account)
    settings.KEY_FILE.chmod(0o640)

    with pytest.raises(vault.VaultLocked, match="chmod 600"):
        vault.open_key(credential)
    assert "dgbot.E005" in {message.id for message in run_checks(tags=["dgbot"])}


def test_a_missing_private_key_is_said_in_one_sentence(settings, account):
    credential = kept(account)
    settings.KEY_FILE.unlink()

    with pytest.raises(vault.VaultLocked, match="cannot be read"):
        vault.open_key(credential)


def test_another_private_key_does_not_open(settings, account):
    credential = kept(account)
    settings.KEY_FILE.unlink()
    vault.create_missing()

    with pytest.raises(vault.VaultLocked, match="cannot be opened"):
        vault.open_key(credential)


@pytest.mark.parametrize("process", ["web", "worker", "beat", "guardian", "ticker"])
def test_no_other_process_opens_a_key_even_beside_the_file(settings, account, process):
    credential = kept(account)
    settings.PROCESS = process

    with pytest.raises(vault.VaultLocked, match="only the gateway"):
        vault.open_key(credential)


def test_web_and_workers_do_not_even_load_the_vault():
    code = (
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'dgbot.settings'; os.environ['DGBOT_PROCESS'] = 'web'\n"
        "import django; django.setup(); import dgbot.urls, dgbot.celery, trading.tasks\n"
        "sys.exit('trading.vault' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=env.BASE_DIR, env=os.environ, check=False).returncode == 0


def test_a_sealed_key_moved_to_another_account_is_refused(account):
    credential, other = kept(account), kept(factories.account(mode=Mode.LIVE), ApiKey("other access key", "other secret"))
    other.sealed = credential.sealed

    with pytest.raises(vault.VaultLocked, match="sealed for another account"):
        vault.open_key(other)


def test_rotation_seals_every_key_anew_and_the_gateway_goes_on_reading(settings, account):
    credential = kept(account)
    before = bytes(credential.sealed), credential.sealed_with

    assert vault.rotate() == 1

    credential.refresh_from_db()
    assert vault.open_key(credential) == CANARY
    assert (bytes(credential.sealed), credential.sealed_with) != before
    assert settings.KEY_FILE.stat().st_mode & 0o777 == 0o600


def test_a_key_that_was_sealed_while_keys_rotated_still_opens(account):
    to = credentials.public_key()
    vault.rotate()
    late = kept(account)
    Credential.objects.filter(pk=late.pk).update(
        sealed=credentials.seal(CANARY, account=account, to=to), sealed_with=credentials.key_id(to)
    )

    assert vault.open_key(Credential.objects.get(pk=late.pk)) == CANARY


def test_the_second_rotation_forgets_the_first_key(settings, account):
    kept(account)
    first = settings.KEY_FILE.read_text().split()[0]
    vault.rotate()
    vault.rotate()

    assert first not in settings.KEY_FILE.read_text()
    assert vault.open_key(Credential.objects.get()) == CANARY


def test_rotation_is_a_command_that_answers_programs(account):
    kept(account)
    said = io.StringIO()

    call_command("rotate_keys", "--json", stdout=said)

    assert '"resealed": 1' in said.getvalue()


# --- keeping ---


@pytest.mark.parametrize("mode", [Mode.PAPER, Mode.REPLAY, Mode.SIMULATED])
def test_pretended_money_takes_no_key(mode):
    with pytest.raises(BadInput, match="pretended money"):
        kept(factories.account(mode=mode))


def test_a_key_of_bitget_needs_its_passphrase():
    account = factories.account(mode=Mode.LIVE)
    account.exchange = ExchangeName.BITGET

    with pytest.raises(BadInput, match="passphrase"):
        kept(account, replace(CANARY, passphrase=""))


def test_without_a_sealing_key_nothing_is_kept(settings, account):
    settings.PUBLIC_KEY_FILE.unlink()

    with pytest.raises(BadInput, match="run `manage"):
        kept(account)
    assert not Credential.objects.exists()


def test_a_new_key_begins_unverified_and_replaces_the_verdict_on_the_old_one(account):
    kept(account)
    credentials.check(account=account, exchange=SaysOfKeys(GOOD))

    credential = kept(account, replace(CANARY, access_key="another access key entirely"))

    assert credential.status == KeyStatus.UNVERIFIED
    assert credential.can_trade is None and credential.checked_at is None
    assert AuditEntry.objects.filter(action="enter key", target=f"account:{account.pk}").count() == 2


def test_keys_in_the_environment_are_imported_once(settings, account):
    given = env.load({"UPBIT_ACCESS_KEY": CANARY.access_key, "UPBIT_SECRET_KEY": CANARY.secret_key}, dotenv=None)
    settings.ENV = given
    owner = factories.user()
    type(owner).objects.filter(pk=owner.pk).update(is_superuser=True)

    first, second = seeds.import_keys(), seeds.import_keys()

    credential = Credential.objects.get(account__exchange="upbit")
    assert vault.open_key(credential) == replace(CANARY, passphrase="")
    assert "Empty UPBIT_ACCESS_KEY" in first and "not read any more" in second
    assert CANARY.secret_key not in first + second and CANARY.access_key not in first + second
    Credential.objects.all().delete()
    seeds.import_keys()
    assert not Credential.objects.exists()  # what an operator took away does not come back from the environment


# --- verdicts ---


@pytest.mark.parametrize(
    ("rights", "status", "word"),
    [
        (GOOD, KeyStatus.VERIFIED, ""),
        (replace(GOOD, can_withdraw=True), KeyStatus.REFUSED, "withdraw"),
        (replace(GOOD, can_trade=False), KeyStatus.REFUSED, "place orders"),
        (replace(GOOD, can_read=False), KeyStatus.REFUSED, "read balances"),
        (replace(GOOD, is_ip_locked=False), KeyStatus.VERIFIED, ""),
        (replace(GOOD, expires_at=datetime(2020, 1, 1, tzinfo=UTC)), KeyStatus.EXPIRED, "expired"),
        (KeyRights(None, None, None, None, None), KeyStatus.VERIFIED, ""),
        (CredentialsRefused("wrong signature"), KeyStatus.REFUSED, "wrong signature"),
    ],
)
def test_a_key_is_judged_by_what_the_exchange_says(account, rights, status, word):
    kept(account)

    credential = credentials.check(account=account, exchange=SaysOfKeys(rights))

    assert credential.status == status
    assert word in credential.cause


def test_a_key_of_real_money_is_refused_for_a_demo_account(account):
    ExchangeAccount.objects.filter(pk=account.pk).update(is_demo=True)
    account.refresh_from_db()
    kept(account)

    assert credentials.check(account=account, exchange=SaysOfKeys(replace(GOOD, is_demo=False))).status == KeyStatus.REFUSED


def test_what_the_exchange_does_not_tell_stays_unknown(account):
    kept(account)

    credential = credentials.check(account=account, exchange=SaysOfKeys(replace(GOOD, can_withdraw=None, is_ip_locked=None)))

    assert credential.can_withdraw is None and credential.is_ip_locked is None


def test_an_exchange_that_does_not_answer_changes_no_verdict(account):
    kept(account)
    credentials.check(account=account, exchange=SaysOfKeys(GOOD))

    with pytest.raises(ExchangeUnavailable):
        credentials.check(account=account, exchange=SaysOfKeys(ExchangeUnavailable("asleep")))

    assert Credential.objects.get().status == KeyStatus.VERIFIED


def test_postgres_refuses_a_verified_key_that_may_withdraw(account):
    kept(account)

    with pytest.raises(IntegrityError, match="credential_verified_cannot_withdraw"), transaction.atomic():
        Credential.objects.update(status="verified", can_withdraw=True, checked_at=machine_now())


# --- commands ---


def served(account: ExchangeAccount, exchange: Any) -> int:
    tenure = gateway.take_account(account.pk)
    assert tenure is not None
    venue = Venue(mode=Mode(account.mode), clock=None, exchange=exchange, history=None)  # type: ignore[arg-type]
    return commands.answer_all(account_id=account.pk, tenure=tenure, handlers=handlers_for(venue, tenure=tenure))


def asked(account: ExchangeAccount) -> Command:
    return commands.ask(kind=CommandKind.CHECK_KEY, account=account, by="test")


def test_the_gateway_answers_in_the_row(account):
    kept(account)
    command = asked(account)

    served(account, SaysOfKeys(replace(GOOD, expires_at=datetime(2099, 1, 1, tzinfo=UTC))))

    command.refresh_from_db()
    assert command.state == CommandState.DONE
    assert command.answer["status"] == "verified" and command.answer["expires_at"].startswith("2099")
    assert command.taken_by and command.finished_at >= command.taken_at >= command.created_at


def test_the_same_wish_twice_is_one_command(account):
    kept(account)

    assert asked(account).pk == asked(account).pk
    exchange = SaysOfKeys(GOOD)
    assert served(account, exchange) == 1
    assert exchange.asked == ["key_rights"]


def test_a_failure_is_an_answer(account):
    kept(account)
    command = asked(account)

    served(account, SaysOfKeys(ExchangeUnavailable("Upbit did not answer within 8 s")))

    command.refresh_from_db()
    assert (command.state, command.error_message) == (CommandState.FAILED, "Upbit did not answer within 8 s")


def test_a_command_of_a_gateway_that_died_is_failed_and_not_repeated(account):
    kept(account)
    command = asked(account)
    tenure = gateway.take_account(account.pk)
    assert commands._take(account_id=account.pk, tenure=tenure).pk == command.pk
    factories.successor(tenure)
    factories.execute("UPDATE leases SET expires_at = '-infinity'")
    exchange = SaysOfKeys(GOOD)

    served(account, exchange)

    command.refresh_from_db()
    assert command.state == CommandState.FAILED and "was lost" in command.error_message
    assert exchange.asked == []


def test_a_command_that_waited_too_long_is_not_carried_out(account):
    kept(account)
    now = machine_now()
    command = Command.objects.create(
        kind="check_key", account=account, asked_by="test", created_at=now - timedelta(hours=1), valid_until=now - timedelta(minutes=59)
    )
    exchange = SaysOfKeys(GOOD)

    served(account, exchange)

    command.refresh_from_db()
    assert command.state == CommandState.FAILED
    assert exchange.asked == []


def test_who_lost_the_lease_takes_no_command(account):
    kept(account)
    asked(account)
    tenure = gateway.take_account(account.pk)
    factories.successor(tenure)

    assert commands._take(account_id=account.pk, tenure=tenure) is None


def test_postgres_keeps_an_answered_command_as_it_is(account):
    kept(account)
    command = asked(account)

    with pytest.raises(IntegrityError, match="never change"), transaction.atomic():
        factories.execute("UPDATE commands SET payload = '{\"amount\": 1}' WHERE id = %s", command.pk)
    served(account, SaysOfKeys(GOOD))
    with pytest.raises(IntegrityError, match="not carried out again"), transaction.atomic():
        Command.objects.filter(pk=command.pk).update(state="pending", taken_at=None, finished_at=None)


def test_a_live_account_whose_venue_cannot_be_built_still_gets_its_commands_answered(account):
    command = asked(account)  # there is no key at all
    loop = Gateway(open_key=vault.open_key)

    loop.turn()
    loop.close()

    command.refresh_from_db()
    assert command.state == CommandState.FAILED and "no key" in command.error_message


# --- the canary ---


def test_a_key_prints_as_four_characters_and_is_never_pickled():
    for text in (repr(CANARY), str(CANARY), f"{CANARY}", f"{[CANARY]!r}"):
        assert CANARY.access_key not in text and CANARY.secret_key not in text and CANARY.passphrase not in text
    assert masked(CANARY.access_key) == "••••4vLr"
    assert masked("short") == "••••"
    with pytest.raises(TypeError):
        pickle.dumps(CANARY)


def test_the_environment_prints_no_secret():
    given = env.load({"UPBIT_ACCESS_KEY": CANARY.access_key, "UPBIT_SECRET_KEY": CANARY.secret_key}, dotenv=None)

    assert "CANARY" not in repr(given) + repr([entry.shown for entry in given])


FIELDS = dict(zip(("access_key", "secret_key", "passphrase"), (CANARY.access_key, CANARY.secret_key, CANARY.passphrase), strict=True))


@pytest.fixture
def boss() -> Client:
    user = factories.user("boss")
    user.is_superuser = user.is_staff = True
    user.save()
    client = Client(raise_request_exception=False)
    proven(client, user)
    return client


def everything_in_the_database() -> str:
    """Every row of every table as text, the sealed column left out."""
    told = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT to_jsonb(t) - 'sealed' FROM {table} t")
            told += [str(row) for row in cursor.fetchall()]
    return "\n".join(told)


def test_a_canary_key_entered_in_the_admin_appears_nowhere(boss, caplog, monkeypatch, django_capture_on_commit_callbacks):
    caplog.set_level(logging.DEBUG)
    output = io.StringIO()
    seen: list[str] = []
    add = reverse("admin:trading_exchangeaccount_add")
    owner = factories.user()
    form = {"name": "Real", "user": owner.pk, "exchange": "upbit", "mode": "live", "quote_currency": "KRW", **FIELDS}

    def got(response: Any) -> Any:
        seen.extend([response.content.decode(errors="replace"), str(response.headers)])
        return response

    with redirect_stdout(output), redirect_stderr(output), django_capture_on_commit_callbacks(execute=True):
        got(boss.post(add, {**form, "name": ""}))  # a mistake elsewhere: the form comes back
        got(boss.post(add, {**form, "mode": "paper"}))  # refused
        assert got(boss.post(add, form, follow=True)).status_code == 200
        credential = Credential.objects.get()
        change = reverse("admin:trading_exchangeaccount_change", args=[credential.account_id])
        got(boss.get(change))
        got(boss.post(change, {"name": "Real", "quote_currency": "KRW", **FIELDS}, follow=True))
        for name in ("exchangeaccount", "command"):
            got(boss.get(reverse(f"admin:trading_{name}_changelist")))
        got(boss.get(reverse("admin:accounts_auditentry_changelist")))
        got(boss.get("/metrics"))
        monkeypatch.setattr("nacl.public.SealedBox.encrypt", factories.dies_loudly)
        broken = got(boss.post(change, {"name": "Real", "quote_currency": "KRW", **FIELDS}))
        monkeypatch.undo()
        served(credential.account, SaysOfKeys(GOOD))
        got(boss.get(change))

    assert broken.status_code == 500
    assert vault.open_key(Credential.objects.select_related("account").get()) == CANARY
    dump = serializers.serialize("json", [*Credential.objects.all(), *Command.objects.all(), *AuditEntry.objects.all()])
    for place, text in {
        "pages": "\n".join(seen),
        "logs": "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records),
        "output": output.getvalue(),
        "database": everything_in_the_database(),
        "dump": dump,
    }.items():
        for part in FIELDS.values():
            assert part not in text, f"a part of the key appears in the {place}"
    assert "••••4vLr" in "\n".join(seen)  # what may be seen is seen


def test_django_debug_pages_hide_the_key_too(boss, settings, monkeypatch):
    settings.DEBUG = True
    monkeypatch.setattr("nacl.public.SealedBox.encrypt", factories.dies_loudly)
    owner = factories.user()
    form = {"name": "Real", "user": owner.pk, "exchange": "upbit", "mode": "live", "quote_currency": "KRW", **FIELDS}

    page = boss.post(reverse("admin:trading_exchangeaccount_add"), form)

    assert page.status_code == 500
    for part in FIELDS.values():
        assert part not in page.content.decode()


def test_the_key_page_counts_down_and_says_unknown(boss, account):
    kept(account)
    soon = machine_now() + timedelta(days=12, hours=1)
    credentials.check(account=account, exchange=SaysOfKeys(KeyRights(None, True, None, False, soon)))

    text = boss.get(reverse("admin:trading_exchangeaccount_change", args=[account.pk])).content.decode()

    assert "expires in 12 days" in text
    assert "withdraw: unknown" in text and "bound to addresses: no" in text


def test_a_user_reaches_no_key_of_another(account):
    kept(account)
    stranger = factories.user()
    stranger.is_staff = True
    stranger.save()
    client = Client()
    client.force_login(stranger)

    assert client.get(reverse("admin:trading_exchangeaccount_change", args=[account.pk])).status_code in (302, 403, 404)
