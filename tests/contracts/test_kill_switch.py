"""The kill switch: people raise and lower it, rules only raise it, every change stays, and nobody passes it."""

import io
import json
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from dgbot.accounts import roles
from dgbot.accounts.models import AuditEntry
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from risk import kill_switch
from risk.domain import kill
from risk.domain.reasons import Reason
from risk.models import KillLevel, KillScope, KillSwitch, KillSwitchChange
from tests import face_rows, factories
from tests.factories import Thread, execute

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

LIST, SET = "admin:risk_killswitch_changelist", "admin:risk_killswitch_set"
FACT = Reason("many_unknown", "Four orders of unknown fate.", value="4", limit="3", remedy="Look at the exchange.")


def platform(level: int, *, by: Any, **more: Any) -> KillSwitch:
    """Set the platform's level."""
    return kill_switch.change(**{"scope": "platform", "scope_id": "", "level": level, "by": by, "reason": "drill", **more})


def level() -> int:
    """The platform's level."""
    return KillSwitch.objects.get(scope="platform").level


# --- Who may change it, and what stays ---


def test_every_change_is_kept_with_who_when_why_and_both_levels() -> None:
    somebody = factories.user("alice")
    platform(1, by=somebody)
    platform(3, by=somebody, reason="worse")
    platform(0, by=somebody, reason="over")

    told = KillSwitchChange.objects.order_by("epoch").values_list("epoch", "before", "after", "actor", "reason")
    assert list(told) == [(1, 0, 1, "alice", "drill"), (2, 1, 3, "alice", "worse"), (3, 3, 0, "alice", "over")]
    assert AuditEntry.objects.filter(action="set kill switch").count() == 3


def test_the_same_level_again_changes_nothing() -> None:
    somebody = factories.user()
    platform(2, by=somebody)

    assert platform(2, by=somebody).epoch == 1 and KillSwitchChange.objects.count() == 1


def test_a_rule_raises_and_never_lowers() -> None:
    assert kill_switch.trip(scope=KillScope.ACCOUNT, scope_id=7, reason=FACT, by="gateway")
    assert not kill_switch.trip(scope=KillScope.ACCOUNT, scope_id=7, reason=FACT, by="gateway")

    change = KillSwitchChange.objects.get()
    assert (change.actor, change.changed_by, change.after) == ("gateway", None, 1)
    assert (change.code, change.value, change.limit, change.remedy) == ("many_unknown", "4", "3", "Look at the exchange.")


def test_raising_needs_no_second_factor_and_lowering_does() -> None:
    somebody = factories.user()
    platform(4, by=somebody, second_factor=lambda: False)

    with pytest.raises(BadInput, match="second factor"):
        platform(1, by=somebody, second_factor=lambda: False)
    assert level() == 4
    platform(1, by=somebody, second_factor=lambda: True)
    assert level() == 1


def test_two_people_lower_a_hard_level_where_the_operator_wants_it(settings: Any) -> None:
    settings.TWO_PERSON = True
    alice, bob = factories.user("alice"), factories.user("bob")
    platform(3, by=alice)

    for _ in range(2):  # the same person twice is one person
        assert platform(0, by=alice).lowering_to == 0 and level() == 3
    assert platform(1, by=bob).lowering_to == 1  # another level is another question
    assert platform(1, by=alice).level == 1

    change = KillSwitchChange.objects.latest("pk")
    assert (change.changed_by, change.second) == (bob, alice)


def test_a_soft_level_is_lowered_by_one_person(settings: Any) -> None:
    settings.TWO_PERSON = True
    alice = factories.user()
    platform(2, by=alice)

    assert platform(0, by=alice).level == 0


@pytest.mark.parametrize(
    "wrong", [{"scope_id": "7"}, {"scope": "account"}, {"scope": "bot", "scope_id": "seven"}, {"scope": "market"}, {"reason": ""}]
)
def test_a_switch_that_names_nothing_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="not changed"):
        platform(1, by=factories.user(), **wrong)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM kill_switches",
        "UPDATE kill_switches SET level = 0",
        "UPDATE kill_switches SET epoch = epoch + 1",
        "UPDATE kill_switches SET level = 0, epoch = epoch + 2",
        "UPDATE kill_switches SET lowering_to = 0",
        "DELETE FROM kill_switch_changes",
        "UPDATE kill_switch_changes SET reason = 'nothing happened'",
        'INSERT INTO kill_switch_changes (scope, scope_id, epoch, before, after, actor, reason, code, value, "limit", remedy)'
        " VALUES ('platform', '', 9, 3, 0, 'gateway', 'x', '', '', '', '')",
    ],
)
def test_postgresql_keeps_it_latched(sql: str) -> None:
    platform(3, by=factories.user())

    with pytest.raises(DatabaseError), transaction.atomic():
        execute(sql)


def test_raising_from_many_sides_at_once_ends_at_the_highest() -> None:
    somebody = factories.user()
    threads = [Thread(lambda to=to: platform(to, by=somebody)) for to in (1, 2, 4, 3, 1)]
    for thread in threads:
        thread.join_or_fail()

    epochs = list(KillSwitchChange.objects.order_by("epoch").values_list("epoch", "before", "after"))
    assert [epoch for epoch, _before, _after in epochs] == list(range(1, len(epochs) + 1))
    assert all(later[1] == earlier[2] for earlier, later in pairwise(epochs))


@pytest.mark.parametrize(("at", "opening", "exits", "cancels"), [(0, 0, 0, 0), (1, 1, 0, 0), (2, 1, 0, 0), (3, 1, 0, 0), (4, 1, 1, 1)])
def test_what_a_level_forbids(at: int, opening: bool, exits: bool, cancels: bool) -> None:
    assert [kill.forbids(at, deed) for deed in kill.Deed] == [bool(opening), bool(exits), bool(cancels)]


# --- The admin ---


@pytest.fixture
def signed_in(client: Client) -> Callable[[str], Client]:
    """A browser of somebody with this role, who owns a bot."""

    def sign_in(role: str) -> Client:
        person = face_rows.user(role=role)
        face_rows.bot(person, name="mine")
        client.force_login(person)
        return client

    return sign_in


def asked(client: Client, to: int, *, target: str = "platform:", **more: str) -> Any:
    """Answer the confirmation page."""
    return client.post(reverse(SET), {"target": target, "level": str(to), "reason": "drill", "confirmed": "yes", **more})


def test_a_click_and_a_reason_raise_it(signed_in: Callable[[str], Client]) -> None:
    client = signed_in(roles.OPERATOR)
    page = client.get(reverse(LIST)).content.decode()
    question = client.get(reverse(SET), {"level": "1"}).content.decode()

    assert f"{reverse(SET)}?level=1" in page and "Nothing is opened" in question and not KillSwitch.objects.exists()
    assert asked(client, 1).status_code == 302 and level() == 1
    assert "Kill switch: platform: no new positions" in " ".join(client.get("/admin/").content.decode().split())


def test_a_level_that_sells_is_typed_out(signed_in: Callable[[str], Client]) -> None:
    client = signed_in(roles.OPERATOR)

    assert "not typed as shown" in asked(client, 3).content.decode()
    assert "not typed as shown" in asked(client, 3, typed="flatten").content.decode()
    assert asked(client, 3, typed="FLATTEN").status_code == 302 and level() == 3


@pytest.mark.parametrize(
    ("role", "may_raise", "may_lower"), [(roles.VIEWER, False, False), (roles.OPERATOR, True, False), (roles.RISK_MANAGER, True, True)]
)
def test_operators_raise_and_risk_managers_lower(signed_in: Callable[[str], Client], role: str, may_raise: bool, may_lower: bool) -> None:
    client = signed_in(role)
    assert client.get(reverse(LIST)).status_code == 200

    assert (asked(client, 1).status_code == 302) == may_raise
    platform(2, by=factories.user())
    assert (asked(client, 0).status_code == 302) == may_lower


def test_nobody_stops_a_bot_he_cannot_see(signed_in: Callable[[str], Client]) -> None:
    client = signed_in(roles.OPERATOR)
    other = face_rows.bot(face_rows.user(), name="theirs")

    assert asked(client, 1, target=f"bot:{other.pk}").status_code == 302
    assert not KillSwitch.objects.exists()


# --- The command ---


def run(*arguments: str) -> str:
    """What the command prints."""
    out = io.StringIO()
    call_command("kill_switch", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_sets_shows_and_tells_its_history() -> None:
    factories.user("alice")
    assert "everything may trade" in run()

    run("1", "--reason", "odd prices", "--by", "alice")
    told = json.loads(run("3", "--scope", "market", "--id", "KRW-BTC", "--reason", "worse", "--by", "alice", "--yes", "--json"))

    assert [(row["scope"], row["id"], row["level"]) for row in told] == [("market", "KRW-BTC", 3), ("platform", "", 1)]
    assert "reason=odd prices" in run("--history") and json.loads(run("--history", "--json"))[0]["after"] == 3


@pytest.mark.parametrize("wrong", [("1", "--by", "alice"), ("1", "--reason", "x"), ("1", "--reason", "x", "--by", "alice", "--id", "7")])
def test_the_command_refuses_in_one_sentence(wrong: tuple[str, ...]) -> None:
    factories.user("alice")

    with pytest.raises(CommandError):
        run(*wrong)
    assert not KillSwitch.objects.exists()


def test_the_command_asks_for_the_word(monkeypatch: pytest.MonkeyPatch) -> None:
    factories.user("alice")
    words = iter(["no", KillLevel.FREEZE.name])
    monkeypatch.setattr("builtins.input", lambda _question: next(words))
    freeze = (str(KillLevel.FREEZE.value), "--reason", "x", "--by", "alice")

    with pytest.raises(CommandError, match="not typed"):
        run(*freeze)
    assert "level=4" in run(*freeze)


def test_redis_is_not_needed(settings: Any) -> None:
    settings.CACHE_URL = settings.NEWS_URL = "redis://127.0.0.1:1/0"

    platform(1, by=factories.user())

    assert level() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kill_switch_changes")
        assert cursor.fetchone() == (1,)


# --- What seldom happens ---


def test_a_rule_that_waited_for_a_person_who_raised_it_changes_nothing() -> None:
    with transaction.atomic():
        platform(2, by=factories.user())
        waiting = Thread(lambda: kill_switch.trip(scope=KillScope.PLATFORM, scope_id="", reason=FACT, by="guardian", level=2))
        wait_for_advisory_lock()

    assert waiting.join_or_fail() is False
    assert KillSwitchChange.objects.count() == 1


def wait_for_advisory_lock() -> None:
    """Until somebody waits for the kill switch."""
    until = time.monotonic() + factories.WAIT_S
    while not factories.rows("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"):
        assert time.monotonic() < until, "nobody waits"
        time.sleep(0.01)


def test_a_fall_that_waits_for_a_second_person_says_so_on_the_page(signed_in: Callable[[str], Client], settings: Any) -> None:
    settings.TWO_PERSON = True
    platform(4, by=factories.user())

    client = signed_in(roles.RISK_MANAGER)
    asked(client, 0, reason="over")
    page = client.get(reverse(LIST)).content.decode()

    assert "Another person must ask for the same" in page and level() == 4
    assert "set to run" in page


def test_a_fall_without_the_second_factor_says_so_on_the_page(signed_in: Callable[[str], Client]) -> None:
    factories.account(mode=Mode.LIVE)
    platform(1, by=factories.user())
    client = signed_in(roles.RISK_MANAGER)

    asked(client, 0, reason="over")
    page = client.get(reverse(LIST)).content.decode()

    assert "second factor" in page and level() == 1


def test_the_list_of_changes_tells_each(signed_in: Callable[[str], Client]) -> None:
    platform(1, by=factories.user("alice"))
    platform(0, by=factories.user("bob"))
    client = signed_in(roles.RISK_MANAGER)

    page = client.get(reverse("admin:risk_killswitchchange_changelist")).content.decode()

    assert "alice" in page and "drill" in page
    assert str(KillSwitchChange.objects.first()).endswith("0 → 1")
    assert "set to run" not in client.get(reverse(LIST)).content.decode()


def test_the_command_says_when_a_second_person_or_the_database_is_missing(settings: Any) -> None:
    platform(4, by=factories.user("alice"))
    settings.TWO_PERSON = True
    with pytest.raises(CommandError, match="a second person must ask for level 0"):
        run("0", "--reason", "over", "--by", "alice")
    with pytest.raises(CommandError, match="reason"):
        run("0", "--by", "alice")
    execute("ALTER TABLE kill_switches RENAME TO away")
    try:
        with pytest.raises(CommandError, match="The database cannot be reached"):
            run()
    finally:
        execute("ALTER TABLE away RENAME TO kill_switches")
