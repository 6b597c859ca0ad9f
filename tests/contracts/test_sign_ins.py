"""Signing in: guesses are counted by name and by address, sessions end by themselves, and one sees where one is signed in."""

import time
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client, RequestFactory

from dgbot.accounts import sign_ins
from dgbot.accounts.models import AuditEntry
from dgbot.base.visitors import address_of
from tests import face_rows as rows

pytestmark = pytest.mark.django_db

LOGIN = "/login/"
LIMIT = 5


def attempt(client: Client, name: str, password: str = "wrong", **more: Any) -> int:
    """The status of one login."""
    return int(client.post(LOGIN, {"username": name, "password": password}, **more).status_code)


@pytest.mark.parametrize("door", ["/login/", "/admin/login/"])
def test_a_thousand_guesses_never_meet_the_password(client: Client, door: str) -> None:
    rows.user("alice")
    asked = [client.post(door, {"username": "alice", "password": f"guess{number}"}).status_code for number in range(30)]

    assert asked[: LIMIT - 1] == [200] * (LIMIT - 1) and set(asked[LIMIT:]) == {429}
    assert client.post(door, {"username": "alice", "password": rows.PASSWORD}).status_code == 429
    assert AuditEntry.objects.filter(action="lock sign-in").exists()


def test_guesses_from_everywhere_lock_the_name_and_guesses_of_every_name_lock_the_address(client: Client) -> None:
    rows.user("alice")
    rows.user("bob")
    for number in range(LIMIT):
        attempt(client, "alice", REMOTE_ADDR=f"198.51.100.{number}")
    assert attempt(client, "alice", rows.PASSWORD, REMOTE_ADDR="203.0.113.9") == 429

    for number in range(LIMIT):
        attempt(client, f"nobody{number}", REMOTE_ADDR="198.51.100.77")
    assert attempt(client, "bob", rows.PASSWORD, REMOTE_ADDR="198.51.100.77") == 429
    assert attempt(client, "bob", rows.PASSWORD, REMOTE_ADDR="198.51.100.78") == 302


def test_a_wrong_name_is_answered_as_a_wrong_password(client: Client) -> None:
    rows.user("alice")
    known, unknown = (client.post(LOGIN, {"username": name, "password": "wrong"}) for name in ("alice", "nobody"))

    assert known.status_code == unknown.status_code
    assert known.context["form"].non_field_errors() == unknown.context["form"].non_field_errors()


def test_the_command_lets_somebody_in_again(client: Client) -> None:
    rows.user("alice")
    for _ in range(LIMIT):
        attempt(client, "alice")

    call_command("unlock_login", "alice", "--by", "root")

    assert attempt(client, "alice", rows.PASSWORD) == 302
    assert AuditEntry.objects.filter(action="unlock sign-in", actor_name="root", target="login:alice").exists()


def test_whoever_is_signed_in_stays_so_while_the_name_waits(client: Client) -> None:
    person = rows.user("alice")
    client.force_login(person)
    for _ in range(LIMIT):
        attempt(Client(), "alice")

    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "1.2.3.4", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, "1.2.3.4", "1.2.3.4"),
        (1, "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (2, "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        (1, "<script>", None),
        (1, "::ffff:1.2.3.4", "1.2.3.4"),
    ],
)
def test_a_proxy_is_believed_only_where_there_is_one(settings: Any, proxies: int, forwarded: str, address: str | None) -> None:
    settings.PROXIES = proxies
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=forwarded)

    assert address_of(request) == address


# --- Sessions ---


def test_a_login_makes_a_new_session(client: Client) -> None:
    rows.user("alice")
    client.get(LOGIN)
    client.session.save()
    before = client.session.session_key
    attempt(client, "alice", rows.PASSWORD)

    assert client.session.session_key != before


@pytest.mark.parametrize(("times", "is_in"), [({"seen_at": -60}, True), ({"seen_at": -3 * 3600}, False), ({"began_at": -13 * 3600}, False)])
def test_a_session_ends_when_idle_and_after_a_day_of_work(client: Client, times: dict[str, float], is_in: bool) -> None:
    client.force_login(rows.user())
    session = client.session
    session.update({name: time.time() + shift for name, shift in times.items()})
    session.save()

    assert (client.get("/").status_code == 200) == is_in


def test_one_sees_where_one_is_signed_in_and_ends_the_others(client: Client) -> None:
    person, phone = rows.user(), Client(HTTP_USER_AGENT="a phone")
    client.force_login(person)
    phone.post(LOGIN, {"username": person.get_username(), "password": rows.PASSWORD})
    stranger = Client()
    stranger.force_login(rows.user())

    page = client.get("/account/").content.decode()
    assert "a phone" in page and "this one" in page
    assert len(sign_ins.open_ones(person, this=None)) == 2
    client.post("/account/sessions/end/")

    assert phone.get("/").status_code == 302
    assert client.get("/").status_code == 200 and stranger.get("/").status_code == 200
    assert AuditEntry.objects.latest("pk").action == "end sessions"


def test_a_new_password_ends_every_other_session(client: Client) -> None:
    person, other = rows.user(), Client()
    client.force_login(person)
    other.force_login(person)

    new = {"old_password": rows.PASSWORD, "new_password1": "an-even-longer-one", "new_password2": "an-even-longer-one"}
    assert client.post("/admin/password_change/", new).status_code == 302

    assert client.get("/").status_code == 200 and other.get("/").status_code == 302
