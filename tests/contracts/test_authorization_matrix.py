"""Every address × every role × one's own and somebody else's rows: generated, and an address that nobody has listed fails."""

import random
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import models
from django.test import Client
from django.urls import reverse

from dgbot.accounts import roles
from dgbot.accounts.models import User
from tests import face_rows
from tests.authorization.expectations import ADDRESSES, SEES_ALL, SHARED, Expected, expected
from tests.authorization.routes import Route, admins, all_routes
from tests.authorization.somebody import WORD, Somebody, with_everything
from tests.scale import IS_FULL, scale, turn_of
from trading.models import Bot
from trading.seeds import create_settings

pytestmark = pytest.mark.django_db(databases=["default", "venue"])

ROOMS = ("accounts", "risk", "backtests", "trading", "monitoring")
OWNERS = ("user", "account", "bot", "order", "cycle", "position")  # columns that lead to whoever a row belongs to
# Tables that no page, endpoint or message shows; what begins to show one gives it `for_user` first.
NEVER_SHOWN = {"Authenticator", "RecoveryCode", "SignIn"}  # of oneself, through oneself
NEVER_SHOWN |= {"Credential", "CancelCommand", "OrderInquiry", "TickCount", "Watermark", "MarginSetting", "PriceAlarm"}
FREE = {
    "name": "volatility_breakout",
    "key": "bot_status",
    "app_label": "trading",
    "url": "nowhere",
    "content_type_id": 1,
    "object_id": "1",
    "bot_pk": 1,
    "id": "1",
}
ROUTES = all_routes()
# A door has no outcome of its own; the others ask for more than an address. Other tests say what these do.
OPEN_API = {"v1:auth_token", "v1:auth_refresh", "v1:nowhere", "api_nowhere"}
DOORS = OPEN_API | {"login", "admin:login", "set_language", "metrics", "admin/(?P<url>.*)$"}
UNFIT = DOORS | {"admin:autocomplete", "admin:view_on_site", "admin:app_list"}


@pytest.fixture
def somebody() -> Somebody:
    """Whose rows they are."""
    create_settings()
    return with_everything()


def visit(client: Client, route: Route, values: dict[str, Any], *, method: str = "get", data: Any = None) -> Any:
    """The answer; a page that breaks counts as an answer, too."""
    client.raise_request_exception = False
    return getattr(client, method)(route.url(**values), data or {})


def outcome(answer: Any) -> str:
    """In one word."""
    if answer.status_code >= 500:
        return "broken"
    if answer.status_code == 401 or (answer.status_code == 302 and "/login/" in answer.url):
        return "login"
    return {403: "denied", 404: "hidden"}.get(answer.status_code, "fine")


def wanted(rule: Expected, *, who: User | None, is_owner: bool, method: str = "get") -> set[str]:
    """The outcomes that are right."""
    if rule.is_open:
        return {"fine"}
    if who is None:
        return {"login"}
    if (rule.only_posts and method == "get") or (rule.only_gets and method == "post"):
        return {"fine", "denied"}  # 405
    needs = rule.posts_need if method == "post" and rule.posts_need is not None else rule.needs
    may = all(who.has_perm(need) for need in needs)
    if rule.by_state:
        return {"hidden", "denied", "fine"} if may and (is_owner or who.has_perm(SEES_ALL)) else {"hidden", "denied"}
    if rule.owned and not is_owner and not who.has_perm(SEES_ALL):
        return {"hidden"} if may else {"hidden", "denied"}
    return {"fine"} if may else {"denied"}


def values_for(route: Route, somebody: Somebody) -> dict[str, Any]:
    """Somebody's rows in its address."""
    given = {**FREE, "bot_pk": somebody.bot.pk, "kind": "csv"}
    given |= {"name": "equity"} if route.name.startswith("backtest") else {}
    given |= {"run_pk": somebody.rows["backtests_backtestrun"], "sweep_pk": somebody.rows["backtests_sweep"]}
    rows = getattr(getattr(route.view, "cls", None), "queryset", None)
    if rows is not None:
        given["pk"] = somebody.rows.get(f"{rows.model._meta.app_label}_{rows.model._meta.model_name}", 1)
    for key in admins():
        if route.name.startswith(f"admin:{key}_") or route.pattern.startswith(f"admin/{key.replace('_', '/', 1)}/"):
            model = admins()[key].model
            given["object_id"] = somebody.rows.get(key) or model._default_manager.values_list("pk", flat=True).first() or 1
    return given


def shows_a_row(route: Route, values: dict[str, Any]) -> bool:
    """Whether there is a row behind its address: a shared table may be empty."""
    return "object_id" not in route.parameters or values["object_id"] != 1


def test_every_address_is_listed() -> None:
    unlisted = sorted(f"{route.name} ({route.pattern})" for route in ROUTES if expected(route) is None)

    assert not unlisted, "say in tests/authorization/expectations.py what is expected of these"
    known = {route.name for route in ROUTES}
    assert set(ADDRESSES) <= known, f"these are gone: {sorted(set(ADDRESSES) - known)}"


def test_every_table_that_leads_to_an_owner_asks_whose_it_is() -> None:
    open_tables = {
        model.__name__
        for model in apps.get_models()
        if model._meta.app_label in ROOMS
        and any(column.is_relation and column.name in OWNERS for column in model._meta.fields)
        and not hasattr(model._default_manager.all(), "for_user")
    }

    assert open_tables <= NEVER_SHOWN
    assert not {model.__name__ for model in admin.site._registry} & NEVER_SHOWN


def test_every_admin_is_shared_on_purpose_or_has_a_row_of_somebody(somebody: Somebody) -> None:
    assert set(admins()) - SHARED == set(somebody.rows)


def test_each_role_reaches_what_it_may_and_nothing_else(somebody: Somebody) -> None:
    """As a stranger, as the owner, and as anybody else with the same role: GET everywhere, POST wherever it must be refused.

    In CI each address is tried in one role, another at the next commit, and what is allowed as the operator, who sees nobody else's rows.
    """
    wrong = []
    for turn, role in enumerate(roles.ROLES):
        other, owner = face_rows.user(role=role), somebody.becomes(role)
        people = (Visitor("a stranger", None, is_owner=False), Visitor(role, other), Visitor(f"{role} and owner", owner, is_owner=True))
        for number, route in enumerate(ROUTES):
            values = values_for(route, somebody)
            has_turn = IS_FULL or (number + turn_of(len(roles.ROLES))) % len(roles.ROLES) == turn
            if route.name in UNFIT or not has_turn or not shows_a_row(route, values):
                continue
            for visitor in people:
                if visitor.who is not None or role == roles.VIEWER or not IS_FULL:  # a stranger is one in every role
                    opens = IS_FULL or (role == roles.OPERATOR and not visitor.is_owner)
                    wrong += tried(route, values, visitor, opens=opens, methods=("get", "post"))
    assert not wrong, "\n".join(wrong)


class Visitor:
    """Who comes, signed in."""

    def __init__(self, name: str, who: User | None, *, is_owner: bool = False) -> None:
        self.name, self.who, self.is_owner, self.client = name, who, is_owner, Client()
        if who is not None:
            self.client.force_login(who)


def tried(route: Route, values: dict[str, Any], visitor: Visitor, *, opens: bool, methods: tuple[str, ...]) -> list[str]:
    """What went wrong with one address and one visitor, in sentences. opens: whether pages that may open are opened, too."""
    rule, who, wrong = expected(route), visitor.who, []
    assert rule is not None
    for method in methods:
        right = wanted(rule, who=who, is_owner=visitor.is_owner, method=method)
        if "denied" in right and route.parameters:
            right = right | {"hidden"}
        if "fine" in right and (method == "post" or not opens):
            continue  # what is allowed is done by the tests of its page
        answer = visit(visitor.client, route, values, method=method)
        told = f"{method} {route.name} as {visitor.name}"
        if outcome(answer) not in right:
            wrong.append(f"{told}: {outcome(answer)} ({answer.status_code}), not {' or '.join(sorted(right))}")
        if not (who is None or visitor.is_owner or who.has_perm(SEES_ALL)) and WORD.encode() in answer.getvalue():
            wrong.append(f"{told}: shows {WORD}")
    return wrong


@pytest.mark.parametrize("role", [roles.VIEWER, roles.OPERATOR])
def test_no_list_action_touches_somebody_elses_rows(client: Client, somebody: Somebody, role: str) -> None:
    person = face_rows.user(role=role)
    client.force_login(person)
    for key, one in admins().items():
        if key in SHARED:
            continue
        row = one.model._default_manager.filter(pk=somebody.rows[key])
        before = row.values().get()
        for name in {*(action if isinstance(action, str) else action.__name__ for action in one.actions or ()), "delete_selected"}:
            posted = {"action": name, "_selected_action": [somebody.rows[key]], "post": "yes", "confirmed": "yes", "choice": "close"}
            client.post(reverse(f"admin:{key}_changelist"), posted)
        assert row.values().get() == before, key


def test_no_form_offers_somebody_elses_rows(client: Client, somebody: Somebody) -> None:
    """Also not to somebody who was given every permission but the right to see all owners."""
    person = with_every_right_but_one()
    client.force_login(person)
    offered = 0
    for key, one in admins().items():
        if not one.has_add_permission(request_of(person)):
            continue
        page = client.get(reverse(f"admin:{key}_add")).context
        form = page["adminform"].form if "adminform" in page else page["form"]
        for name, field in form.fields.items():
            queryset = getattr(field, "queryset", None)
            if queryset is None:
                continue
            offered += 1
            model_key = f"{queryset.model._meta.app_label}_{queryset.model._meta.model_name}"
            hidden = somebody.user.pk if model_key == "accounts_user" else somebody.rows.get(model_key)
            assert hidden is None or not queryset.filter(pk=hidden).exists(), f"{key}.{name} offers somebody's {model_key}"
    assert offered > 5


def test_no_autocomplete_finds_somebody_elses_rows(client: Client, somebody: Somebody) -> None:
    client.force_login(with_every_right_but_one())
    asked = 0
    for one in admins().values():
        for column in one.model._meta.fields:
            if not column.is_relation:
                continue
            query = {"app_label": one.opts.app_label, "model_name": one.opts.model_name, "field_name": column.name}
            answer = client.get(reverse("admin:autocomplete"), query)
            asked += answer.status_code == 200
            assert WORD.encode() not in answer.content, f"{one.opts.label}.{column.name}"
    assert asked


@pytest.mark.parametrize(
    "probe",
    [
        "account__credential__shown__startswith=a",
        "user__password__startswith=md5",
        "bot__user__password__contains=a",
        "account__user__username__startswith=q",
    ],
)
def test_a_filter_is_no_oracle_for_columns_that_are_not_shown(client: Client, probe: str) -> None:
    client.force_login(face_rows.user(role=roles.RISK_MANAGER))

    assert client.get(f"{reverse('admin:trading_order_changelist')}?{probe}").status_code in (302, 400)


def test_swapped_ids_answer_as_if_they_did_not_exist(client: Client) -> None:
    """Somebody's ids in every address that takes one: the answer is that of an id that does not exist, and says nothing."""
    victims = [with_everything() for _ in range(scale(sample=1, full=5))]
    client.force_login(face_rows.user())
    chosen = random.Random(11)
    owned = [route for route in ROUTES if route.parameters and (rule := expected(route)) is not None and rule.owned]
    absent = 10**12
    running = Bot.objects.filter(is_running=True).count()
    for number in range(scale(sample=120, full=20_000)):
        route = owned[number % len(owned)] if number < len(owned) else chosen.choice(owned)
        values = values_for(route, chosen.choice(victims))
        swapped = {name: values.get(name, "1") for name in route.parameters}
        method = chosen.choice(("get", "post"))
        answer = visit(client, route, swapped, method=method)
        nothing = visit(client, route, dict.fromkeys(route.parameters, absent), method=method)
        assert answer.status_code == nothing.status_code, (method, route.name)
        assert answer.status_code in (404, 403, 405), (method, route.name)
        assert WORD.encode() not in answer.content
    assert Bot.objects.filter(is_running=True).count() == running


def with_every_right_but_one() -> User:
    """Staff with every permission but seeing all owners: what a careless admin might hand out."""
    person = face_rows.user(role=roles.ADMIN)
    group = person.groups.get()
    group.permissions.remove(*group.permissions.filter(codename="see_all_owners"))
    return User.objects.get(pk=person.pk)


def request_of(person: User) -> Any:
    """As the admin sees it."""
    return type("Request", (), {"user": person, "method": "GET"})()


def test_the_isolation_of_every_owned_admin_is_that_of_its_manager(somebody: Somebody) -> None:
    person = face_rows.user()
    for key, one in admins().items():
        if key not in SHARED:
            rows: models.QuerySet[Any] = one.get_queryset(request_of(person))
            assert not rows.filter(pk=somebody.rows[key]).exists(), key
