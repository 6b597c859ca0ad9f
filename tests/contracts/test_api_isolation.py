"""Every action of every face, read from the resolver: who may not, gets nothing; what is somebody else's does not exist; a write with a
key happens once. An address or a write that nobody has listed fails.
"""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import transaction

from dgbot.accounts.access import Scope
from dgbot.accounts.models import KeptAnswer, User
from dgbot.base.rest.needs import ANYBODY, Needs
from dgbot.base.rest.routing import actions_of
from tests import face_rows
from tests.api_client import Api, access_token, personal_token
from tests.authorization.routes import Route, all_routes
from tests.authorization.somebody import WORD, Somebody, with_everything
from trading.models import Bot
from trading.seeds import create_schedules, create_settings

pytestmark = pytest.mark.django_db(databases=["default", "venue"])

FACES = [route for route in all_routes() if hasattr(getattr(route.view, "cls", None), "needs") and "nowhere" not in route.name]
ACTIONS = [(route, method, name) for route in FACES for method, name in sorted(actions_of(route.view).items())]
CLOSED = [(route, method, name) for route, method, name in ACTIONS if route.view.cls.needs[name] is not ANYBODY]
WRITES = [(route, method) for route, method, _name in CLOSED if method != "get"]
NAMED = {"key": "bot_status", "name": "volatility_breakout"}  # what addresses without a number are given

# A body with which each write can be tried on a row of one's own; None: it cannot succeed here, and must be refused alike each time.
BODIES: dict[tuple[str, str], dict[str, Any] | None] = {
    ("v1:auth_logout", "post"): None,  # ends the very token that asks
    ("v1:auth_logout_everywhere", "post"): None,
    ("v1:me", "patch"): {"first_name": "Ada"},
    ("v1:me_password", "post"): {},
    ("v1:token-list", "post"): {"name": "program", "scopes": ["read"]},
    ("v1:token-detail", "delete"): {},
    ("v1:risk_profile-list", "post"): {"name": "careful", "daily_loss_fraction": "0.02"},
    ("v1:risk_profile-detail", "patch"): {"daily_loss_fraction": "0.001"},
    ("v1:risk_state-release", "post"): {},
    ("v1:kill_switch-list", "post"): {"scope": "platform", "level": 1, "reason": "test"},
    ("v1:bot-list", "post"): {"name": "made once", "symbol": "KRW-BTC", "strategy": "volatility_breakout"},
    ("v1:bot-detail", "patch"): {"name": "renamed"},
    ("v1:bot-start", "post"): {"reason": "test"},
    ("v1:bot-stop", "post"): {},
    ("v1:bot-pause", "post"): {},
    ("v1:bot-resume", "post"): {},
    ("v1:bot-run", "post"): {},
    ("v1:position-close", "post"): {},  # without a reason: an exchange would be asked
    ("v1:position-reduce", "post"): {},
    ("v1:order-cancel", "post"): {"reason": "test"},
    ("v1:setting-detail", "put"): {"value": {"enabled": True}, "reason": "test"},
    ("v1:setting_version-revert", "post"): {"reason": "test"},
    ("v1:schedule-list", "post"): {"name": "once", "crontab": "0 */4 * * *"},
    ("v1:schedule-detail", "patch"): {"enabled": False},
    ("bot_start", "post"): {},
    ("bot_stop", "post"): {},
    **{(f"v1:{job}-{deed}", "post"): {} for job in ("backtest", "sweep") for deed in ("list", "cancel", "retry", "pin")},
    ("v1:backtest-submit", "post"): {},
}
NOT_YET = {"v1:backtest-result", "v1:backtest-report", "v1:sweep-result"}  # of jobs that are queued there is nothing to read


@pytest.fixture
def somebody() -> Somebody:
    """Whose rows they are."""
    create_settings()
    create_schedules()
    return with_everything()


def everything_but_others() -> User:
    """Whoever may do anything, with his own rows only."""
    person = face_rows.user()
    person.user_permissions.set(Permission.objects.exclude(codename="see_all_owners"))
    return User.objects.get(pk=person.pk)


def address(route: Route, somebody: Somebody) -> str:
    """With somebody's row in it."""
    rows = getattr(route.view.cls, "queryset", None)
    pk = None
    if rows is not None:
        key = f"{rows.model._meta.app_label}_{rows.model._meta.model_name}"
        pk = somebody.rows.get(key) or rows.values_list("pk", flat=True).first()
    return route.url(**{"pk": pk or 1, **NAMED})


def is_owned(route: Route) -> bool:
    rows = getattr(route.view.cls, "queryset", None)
    return rows is not None and hasattr(rows.all(), "for_user")


def test_every_action_names_what_it_needs():
    silent = [f"{route.name} {name}" for route, _method, name in ACTIONS if name not in route.view.cls.needs]

    assert FACES
    assert not silent, "name it in `needs` of the face"


def test_every_write_is_listed():
    assert {(route.name, method) for route, method in WRITES} == set(BODIES)


def test_a_stranger_and_a_false_token_get_nothing(somebody):
    for api in (Api(), Api(token="dgbot_" + "x" * 43)):
        answers = {f"{method} {route.name}": api.send(method, address(route, somebody))[0] for route, method, _name in CLOSED}
        assert set(answers.values()) == {401}, {name: status for name, status in answers.items() if status != 401}


def test_a_token_without_the_scope_gets_nothing(somebody):
    owner = somebody.becomes("admin")
    apis = {scope: Api(owner, scopes=tuple(one for one in Scope.values if one != scope)) for scope in Scope.values}
    for route, method, name in CLOSED:
        needs: Needs = route.view.cls.needs[name]
        if needs.scope is not None:
            status, told = apis[needs.scope.value].send(method, address(route, somebody))
            assert (status, told["code"]) == (403, "scope_missing"), (method, route.name)


def test_a_user_without_the_permission_gets_nothing(somebody):
    stranger = Api(User.objects.create_user("nobody in particular"))
    for route, method, name in CLOSED:
        if route.view.cls.needs[name].permissions:
            status, told = stranger.send(method, address(route, somebody))
            assert (status, told["code"]) == (403, "permission_missing"), (method, route.name)


def test_what_is_somebody_elses_does_not_exist(somebody):
    """Whatever is asked of it, and however many rights one has but that to see all owners."""
    person, tried = everything_but_others(), 0
    face_rows.bot(person)
    api = Api(person)
    for route, method, _name in CLOSED:
        if is_owned(route) and "pk" in route.parameters:
            there, absent = api.send(method, address(route, somebody)), api.send(method, route.url(pk=10**12))
            assert there == absent, (method, route.name)
            assert there[0] == 404, (method, route.name)
            tried += 1
        elif method == "get" and "pk" not in route.parameters:
            status, _told = api.get(address(route, somebody))
            assert status == 200, (route.name, _told)
            assert WORD.encode() not in api.response.content, route.name
    assert tried > 25


def test_an_id_of_somebody_elses_in_a_body_or_a_filter_finds_nothing(somebody):
    person = everything_but_others()
    api = Api(person)
    wish = {"name": "thief", "symbol": "KRW-BTC", "strategy": "volatility_breakout", "account": somebody.bot.account_id}

    assert api.post("bots", wish)[0] == 400
    assert api.post("/bot/start", {"strategy_id": somebody.bot.pk})[0] == 404
    assert api.get("/bot/status", strategy_id=somebody.bot.pk)[0] == 404
    assert api.get("trades", bot=somebody.bot.pk)[1]["results"] == []
    assert api.post("kill-switches", {"scope": "bot", "scope_id": str(somebody.bot.pk), "level": 1, "reason": "x"})[0] == 404
    mine = face_rows.bot(person)
    assert api.send("patch", f"bots/{mine.pk}", {"risk_profile": somebody.rows["risk_riskprofile"]})[0] == 400


def test_every_row_of_ones_own_can_be_read_and_reading_changes_nothing(somebody):
    """Also not the status of a bot: asking for it once started bots, or stopped them."""
    api = Api(somebody.becomes("admin"))
    before = list(Bot.objects.order_by("pk").values())

    for route, method, _name in CLOSED:
        if method == "get" and ("pk" not in route.parameters or is_owned(route)):
            status, told = api.get(address(route, somebody))
            assert status == 200 or (route.name in NOT_YET and status == 409), (route.name, told)

    assert list(Bot.objects.order_by("pk").values()) == before


def test_each_write_with_a_key_happens_once(somebody):
    owner = somebody.becomes("admin")
    outcomes = {}
    for route, method in WRITES:
        body = BODIES[route.name, method]
        if body is None:
            continue
        if route.name == "v1:bot-list":
            body = {**body, "account": somebody.bot.account_id}
        with transaction.atomic():
            outcomes[route.name] = written_once(Api(owner), method, address(route, somebody), body)
            transaction.set_rollback(True)

    assert sum(outcomes.values()) > 14, f"most must succeed here: {outcomes}"


def written_once(api: Api, method: str, where: str, body: dict[str, Any]) -> bool:
    """Whether the write succeeded; it is tried twice with its key, then with the key and another body."""
    first = api.send(method, where, body, key="k1")
    again = api.send(method, where, body, key="k1")

    assert first[0] < 500, (where, first)
    if first[0] >= 400:
        assert again == first, where
        assert not KeptAnswer.objects.exists()
        return False
    assert again[0] == first[0], where
    assert api.response.headers["Idempotency-Replayed"] == "true"
    assert KeptAnswer.objects.count() == 1
    status, told = api.send(method, where, {**body, "reason": "another"}, key="k1")
    assert (status, told["code"]) == (409, "key_used"), where
    return True


def test_no_address_lets_a_deactivated_user_in(somebody):
    owner = somebody.becomes("admin")
    apis = [Api(token=make(owner)) for make in (access_token, personal_token)]
    User.objects.filter(pk=owner.pk).update(is_active=False)

    for api in apis:
        answers = {f"{method} {route.name}": api.send(method, address(route, somebody))[0] for route, method, _name in CLOSED}
        assert set(answers.values()) == {401}
