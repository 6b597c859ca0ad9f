"""Who gets in: JWTs that end at once, personal tokens with scopes, one form for every error."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dgbot.accounts import logins, personal_tokens, roles
from dgbot.accounts.models import ApiLogin, PersonalToken
from tests import face_rows
from tests.api_client import Api, personal_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner():
    return face_rows.user()


def _log_in(user):
    status, pair = Api().post("auth/token", {"username": user.username, "password": face_rows.PASSWORD})
    assert status == 200, pair
    return pair


def test_name_and_password_get_a_pair_that_opens_the_api(owner):
    pair = _log_in(owner)

    status, me = Api(token=pair["access"]).get("me")

    assert status == 200
    assert me["username"] == owner.username
    assert me["scopes"] == ["admin", "read", "trade"]


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(owner):
    wrong = Api().post("auth/token", {"username": owner.username, "password": "something else"})
    unknown = Api().post("auth/token", {"username": "nobody", "password": "something else"})

    assert wrong == unknown
    assert wrong[0] == 401
    assert wrong[1]["code"] == "login_refused"


@pytest.mark.parametrize(
    "end",
    [
        lambda user: logins.revoke_all(user, by=user, reason="test"),
        lambda user: (user.set_password("another-long-one"), user.save()),
        lambda user: (setattr(user, "is_active", False), user.save()),
    ],
    ids=["logged out everywhere", "password changed", "deactivated"],
)
def test_an_access_token_ends_at_once(owner, end):
    pair = _log_in(owner)

    end(owner)

    assert Api(token=pair["access"]).get("me")[0] == 401
    assert Api().post("auth/refresh", {"refresh": pair["refresh"]})[0] == 401


def test_logging_out_ends_this_login_and_no_other(owner):
    here, there = _log_in(owner), _log_in(owner)

    status, told = Api(token=here["access"]).post("auth/logout")

    assert (status, told) == (200, {"ended": 1})
    assert Api(token=here["access"]).get("me")[0] == 401
    assert Api(token=there["access"]).get("me")[0] == 200


def test_a_refresh_token_is_good_once_and_a_second_use_ends_the_login(owner):
    first = _log_in(owner)
    status, second = Api().post("auth/refresh", {"refresh": first["refresh"]})
    assert status == 200
    assert Api(token=second["access"]).get("me")[0] == 200

    assert Api().post("auth/refresh", {"refresh": first["refresh"]})[0] == 401

    assert Api(token=second["access"]).get("me")[0] == 401
    assert Api().post("auth/refresh", {"refresh": second["refresh"]})[0] == 401
    assert ApiLogin.objects.get(user=owner).revoked_reason == "a used refresh token came back"


def test_a_refresh_token_is_no_access_token_and_the_other_way_round(owner):
    pair = _log_in(owner)

    assert Api(token=pair["refresh"]).get("me")[0] == 401
    assert Api().post("auth/refresh", {"refresh": pair["access"]})[0] == 401


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "dgbot_", "dgbot_" + "a" * 43, "é" * 10, "a" * 5000])
def test_what_is_no_token_opens_nothing(token):
    api = Api(token=token)

    status, told = api.get("me")

    assert status == 401
    assert set(told) == {"code", "message", "fields"}
    assert api.response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_personal_token_is_shown_once_and_kept_as_a_hash(owner):
    status, made = Api(owner).post("tokens", {"name": "spreadsheet", "scopes": ["read"]})

    assert status == 201
    text = made["token"]
    assert Api(token=text).get("bots")[0] == 200
    row = PersonalToken.objects.get()
    assert text not in (row.digest, row.prefix)
    assert text.startswith(row.prefix)
    assert row.last_used_at is not None
    _status, listed = Api(owner).get("tokens")
    assert text not in str(listed)


def test_a_scope_that_is_missing_is_named(owner):
    bot = face_rows.bot(owner)

    status, told = Api(owner, scopes=("read",)).post(f"bots/{bot.pk}/start")

    assert (status, told["code"]) == (403, "scope_missing")
    assert "trade" in told["message"]


def test_a_permission_that_is_missing_is_named():
    viewer = face_rows.user(role=roles.VIEWER)
    bot = face_rows.bot(viewer)

    status, told = Api(viewer).post(f"bots/{bot.pk}/start")

    assert (status, told["code"]) == (403, "permission_missing")
    assert "trading.change_bot" in told["message"]


def test_a_personal_token_ends_when_it_runs_out_is_revoked_or_its_owner_is_deactivated(owner):
    revoked, expired, left = (personal_token(owner) for _ in range(3))
    personal_tokens.revoke(PersonalToken.objects.get(prefix=revoked[: personal_tokens.SHOWN]), by=owner)
    past = timezone.now() - timedelta(seconds=1)
    PersonalToken.objects.filter(prefix=expired[: personal_tokens.SHOWN]).update(created_at=past - timedelta(days=1), expires_at=past)

    assert [Api(token=token).get("me")[0] for token in (revoked, expired, left)] == [401, 401, 200]

    owner.is_active = False
    owner.save()
    assert Api(token=left).get("me")[0] == 401


def test_a_token_may_end_a_year_from_now_and_no_later(owner):
    far = (timezone.now() + timedelta(days=400)).isoformat()

    status, told = Api(owner).post("tokens", {"name": "for ever", "scopes": ["read"], "expires_at": far})

    assert (status, told["code"]) == (409, "refused")
    assert "366 days" in told["message"]


def test_nobody_sees_or_revokes_somebody_elses_token(owner):
    manager = face_rows.user(is_superuser=True)
    personal_token(owner)
    token = PersonalToken.objects.get(user=owner)

    assert Api(manager).get(f"tokens/{token.pk}")[0] == 404
    assert Api(manager).send("delete", f"tokens/{token.pk}")[0] == 404
    token.refresh_from_db()
    assert token.revoked_at is None


def test_a_new_password_needs_the_old_one_and_ends_every_login(owner):
    api = Api(owner)
    assert api.post("me/password", {"old": "wrong", "new": "quite-another-1"})[0] == 400
    assert api.post("me/password", {"old": face_rows.PASSWORD, "new": "1234"})[0] == 400

    status, _told = api.post("me/password", {"old": face_rows.PASSWORD, "new": "quite-another-1"})

    assert status == 204
    assert api.get("me")[0] == 401


def test_a_page_of_ours_needs_its_csrf_token_to_write(owner):
    from django.test import Client

    bot = face_rows.bot(owner)
    page = Client(enforce_csrf_checks=True)
    page.force_login(owner)

    assert page.get("/api/v1/me").status_code == 200
    assert page.post(f"/api/v1/bots/{bot.pk}/start").status_code == 403


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/api/v1/nothing", "get", 404),
        ("/api/nothing/at/all", "post", 404),
        ("bots/x", "get", 404),
        ("bots/99999999999999999999", "get", 404),
        ("bots/9223372036854775808", "get", 404),
        ("bots", "delete", 405),
        ("bots/1/start", "get", 405),
        ("me", "put", 405),
    ],
)
def test_every_error_has_the_one_form(owner, path, method, status):
    api = Api(owner)

    answered, told = api.send(method, path) if method != "get" else api.get(path)

    assert answered == status, told
    assert set(told) == {"code", "message", "fields"}
    assert api.response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"NaN", "application/json", 400),
        (b"1" * 5000, "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "application/json", 400),
        (b'"' + b"a" * 300_000 + b'"', "application/json", 413),
        (b"<a/>", "text/xml", 415),
        (b"[1]", "application/json", 400),
    ],
    ids=["cut off", "no text", "not a number", "endless number", "deep list", "deep object", "large", "xml", "no object"],
)
def test_a_body_that_cannot_be_read_is_refused(owner, content, kind, status):
    api = Api(owner)

    response = api.client.post("/api/v1/bots", content, content_type=kind, headers=api._headers())

    assert response.status_code == status, response.content
    assert set(response.json()) == {"code", "message", "fields"}
