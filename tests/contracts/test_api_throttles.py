"""How often programs may ask, and what happens when nobody can count."""

import pytest

from tests import face_rows
from tests.api_client import Api, access_token

pytestmark = pytest.mark.django_db
NOWHERE = "redis://127.0.0.1:1/0"


def _without_redis(settings):
    backend = {**settings.CACHES["default"], "LOCATION": NOWHERE}
    settings.CACHES = {"default": backend}


def test_a_user_who_asks_too_often_is_told_when_to_ask_again(settings):
    owner, other = face_rows.user(), face_rows.user()
    api = Api(owner)
    settings.API_PER_MINUTE = 5

    answers = [api.get("bots")[0] for _ in range(12)]  # a minute may end in between, so twice as many as are allowed

    assert answers[:5] == [200] * 5
    assert 429 in answers
    status, told = api.get("bots")
    if status == 429:
        assert told["code"] == "throttled"
        assert 1 <= int(api.response.headers["Retry-After"]) <= 60
    settings.API_PER_MINUTE = 1_000
    assert Api(other).get("bots")[0] == 200


def test_passwords_are_guessed_slowly(settings):
    owner = face_rows.user()
    api = Api()
    settings.API_LOGINS_PER_MINUTE = 3

    answers = [api.post("auth/token", {"username": owner.username, "password": "guess"})[0] for _ in range(8)]

    assert set(answers) == {401, 429}


def test_without_redis_a_token_still_stops_a_bot_and_nobody_logs_in(settings):
    owner = face_rows.user()
    bot, token = face_rows.bot(owner), access_token(owner)
    api = Api(token=token)
    _without_redis(settings)

    assert api.post(f"bots/{bot.pk}/stop")[0] == 200
    status, told = api.post("auth/token", {"username": owner.username, "password": face_rows.PASSWORD})
    assert (status, told["code"]) == (503, "cannot_count")
