"""A write that comes twice happens once: idempotency keys, in one transaction with what they name."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from dgbot.accounts.models import KeptAnswer, PersonalToken
from tests import face_rows
from tests.api_client import Api, access_token
from trading.models import Bot

BOT = {"name": "once", "symbol": "KRW-BTC", "strategy": "volatility_breakout"}


def _wish(owner):
    return {**BOT, "account": face_rows.account(owner).pk}


@pytest.mark.django_db
def test_the_same_key_and_body_answer_the_same_and_do_nothing_more():
    owner = face_rows.user()
    api, wish = Api(owner), _wish(owner)

    first = api.post("bots", wish, key="k1")
    again = api.post("bots", dict(reversed(wish.items())), key="k1")

    assert first[0] == 201
    assert again == first
    assert api.response.headers["Idempotency-Replayed"] == "true"
    assert Bot.objects.count() == 1


@pytest.mark.django_db
def test_the_same_key_with_another_body_or_address_is_refused():
    owner = face_rows.user()
    api, wish = Api(owner), _wish(owner)
    _status, made = api.post("bots", wish, key="k1")

    other_body = api.post("bots", {**wish, "name": "twice"}, key="k1")
    other_place = api.post(f"bots/{made['id']}/start", {}, key="k1")

    assert [(status, told["code"]) for status, told in (other_body, other_place)] == [(409, "key_used")] * 2
    assert list(Bot.objects.values_list("name", "is_running")) == [("once", False)]


@pytest.mark.django_db
def test_a_refused_write_keeps_nothing_so_its_key_is_free():
    owner = face_rows.user()
    api, wish = Api(owner), _wish(owner)

    refused = api.post("bots", {**wish, "tick_seconds": 5, "schedule": 1_000_000}, key="k1")
    mended = api.post("bots", wish, key="k1")

    assert (refused[0], mended[0]) == (400, 201)


@pytest.mark.django_db
def test_keys_of_two_users_have_nothing_to_do_with_each_other():
    one, other = face_rows.user(), face_rows.user()

    answers = [Api(user).post("bots", _wish(user), key="k1") for user in (one, other)]

    assert [status for status, _told in answers] == [201, 201]
    assert answers[0][1]["id"] != answers[1][1]["id"]


@pytest.mark.django_db
def test_a_key_is_forgotten_after_a_day():
    owner = face_rows.user()
    api, wish = Api(owner), _wish(owner)
    api.post("bots", wish, key="k1")
    KeptAnswer.objects.update(created_at=F("created_at") - timedelta(hours=24, seconds=1))

    status, _made = api.post("bots", {**wish, "name": "next day"}, key="k1")

    assert status == 201


@pytest.mark.django_db
def test_a_secret_is_not_kept_with_its_answer():
    owner = face_rows.user()
    wish = {"name": "program", "scopes": ["read"]}

    _status, made = Api(owner).post("tokens", wish, key="k1")
    status, again = Api(owner).post("tokens", wish, key="k1")

    assert (status, again["token"]) == (201, None)
    assert made["token"] not in KeptAnswer.objects.get().body
    assert PersonalToken.objects.filter(name="program").count() == 1


@pytest.mark.django_db
def test_a_write_that_was_cut_off_is_told_and_not_repeated():
    owner = face_rows.user()
    bot = face_rows.bot(owner)
    api = Api(owner)
    api.post(f"bots/{bot.pk}/start", key="k0")
    api.post(f"bots/{bot.pk}/run", key="k1")
    KeptAnswer.objects.filter(key="k1").update(status=None, body="")

    status, told = api.post(f"bots/{bot.pk}/run", key="k1")

    assert (status, told["code"]) == (409, "under_way")


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["with space", "a" * 256, "ü"])
def test_a_key_that_cannot_be_one_is_refused(key):
    owner = face_rows.user()

    status, told = Api(owner).post("bots", _wish(owner), key=key)

    assert (status, list(told["fields"])) == (400, ["Idempotency-Key"])


@pytest.mark.django_db(transaction=True)
def test_parallel_duplicates_have_one_effect_and_one_answer():
    owner = face_rows.user()
    wish, token = _wish(owner), access_token(owner)
    answers = []

    def ask():
        try:
            answers.append(Api(token=token).post("bots", wish, key="k1"))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert len(answers) == 8
    assert {status for status, _told in answers} == {201}
    assert len({told["id"] for _status, told in answers}) == 1
    assert Bot.objects.count() == 1
