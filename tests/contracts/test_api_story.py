"""The operator's story by programs: the example of docs/api.md as it stands there, and a client that knows the OpenAPI document alone."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dgbot import api_document
from dgbot.core.types import Mode
from tests import face_rows
from tests.api_client import Api
from trading.models import Bot, Decision, Trade

DOCS = Path(__file__).parent.parent.parent / "docs"
DOCUMENT = yaml.safe_load((DOCS / "openapi.yaml").read_text())


def test_the_document_in_docs_is_in_step():
    assert (DOCS / "openapi.yaml").read_text() == api_document.text(), "run scripts/openapi.sh"


def test_every_operation_has_a_summary_and_says_how_it_fails():
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            assert operation["summary"], (method, path)
            assert {"400", "429", "500"} <= set(operation["responses"]), (method, path)
            assert "401" in operation["responses"]


@pytest.mark.django_db(transaction=True, databases=["default", "venue"])
def test_the_example_of_the_documentation_runs(live_server, monkeypatch, capsys):
    owner = face_rows.user()
    face_rows.account(owner, mode=Mode.SIMULATED)
    (example,) = re.findall(r"```python\nimport os\n.*?```", (DOCS / "api.md").read_text(), flags=re.S)
    monkeypatch.setenv("DGBOT_URL", live_server.url)
    monkeypatch.setenv("DGBOT_USER", owner.username)
    monkeypatch.setenv("DGBOT_PASSWORD", face_rows.PASSWORD)

    exec(compile(example.removeprefix("```python\n").removesuffix("```"), "docs/api.md", "exec"), {})

    told = capsys.readouterr().out
    assert "my first bot will run from its next slot on." in told
    assert "my first bot stops." in told
    assert not Bot.objects.get().is_running


class Program:
    """Knows nothing but the document: addresses, required fields and shapes come from there."""

    def __init__(self) -> None:
        self.api = Api()

    def do(self, operation: str, body: dict[str, Any] | None = None, *, id: int | None = None, **query: Any) -> Any:
        """Call an operation by its id, and check what comes back against what is promised."""
        method, path, told = next(
            (method, path, told)
            for path, item in DOCUMENT["paths"].items()
            for method, told in item.items()
            if told["operationId"] == operation
        )
        known = {parameter["name"] for parameter in told.get("parameters", [])}
        assert set(query) <= known
        if "requestBody" in told:
            shape = self._resolved(told["requestBody"]["content"]["application/json"]["schema"])
            assert set(shape.get("required", ())) <= set(body or {}) <= set(shape["properties"])
        where = path.replace("{id}", str(id))
        status, answer = self.api.get(where, **query) if method == "get" else self.api.send(method, where, body)
        promised = told["responses"][str(status)]
        assert status < 300, answer
        self._check(answer, promised["content"]["application/json"]["schema"])
        return answer

    def _resolved(self, shape: dict[str, Any]) -> dict[str, Any]:
        return DOCUMENT["components"]["schemas"][shape["$ref"].rpartition("/")[2]] if "$ref" in shape else shape

    def _check(self, value: Any, shape: dict[str, Any]) -> None:
        shape = self._resolved(shape)
        if isinstance(value, list):
            for one in value:
                self._check(one, shape["items"])
        elif isinstance(value, dict) and "properties" in shape:
            assert set(value) == set(shape["properties"])
            for name, one in value.items():
                self._check(one, shape["properties"][name])


@pytest.mark.django_db(databases=["default", "venue"])
def test_a_client_made_from_the_document_alone_runs_the_operators_story():
    owner = face_rows.user()
    face_rows.account(owner, mode=Mode.SIMULATED)
    program = Program()

    program.api.token = program.do("auth_token", {"username": owner.username, "password": face_rows.PASSWORD})["access"]
    home = program.do("accounts_list")["results"][0]
    strategy = program.do("strategies_list")[0]
    bot = program.do("bots_create", {"name": "alpha", "account": home["id"], "symbol": "KRW-BTC", "strategy": strategy["name"]})
    program.do("bots_start", {}, id=bot["id"])
    assert program.do("bots_status", id=bot["id"])["is_running"]
    _what_a_cycle_leaves(Bot.objects.get(pk=bot["id"]))
    decisions = program.do("decisions_list", bot=bot["id"])["results"]
    trades = program.do("trades_list", bot=bot["id"])["results"]
    program.do("bots_stop", {}, id=bot["id"])

    assert [row["decision"] for row in decisions] == list(Decision.objects.values_list("decision", flat=True))
    assert [row["price"] for row in trades] == ["100000000"]
    assert trades[0]["created_at"] == Trade.objects.get().created_at.isoformat()
    assert not program.do("bots_status", id=bot["id"])["is_running"]


def _what_a_cycle_leaves(bot: Bot) -> None:
    cycle = face_rows.cycle(bot)
    face_rows.decision(cycle)
    face_rows.trade(bot)
