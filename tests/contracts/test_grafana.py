"""Grafana's panels: every statement runs on our schema, every expression is PromQL over metrics that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import connection

from dgbot.env import BASE_DIR
from monitoring.system import reader
from tests.unit.dgbot.test_monitoring_files import DJANGO_PROMETHEUS, PROMETHEUS_OWN, RECORDED, exposed, metrics_in

FOLDER = BASE_DIR / "deploy/grafana"
BOARDS: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "dashboards").glob("*.json"))}
SOURCES = {source["uid"] for source in yaml.safe_load((FOLDER / "provisioning/datasources/dgbot.yml").read_text())["datasources"]}
PANELS = [(board, panel) for board, content in BOARDS.items() for panel in content["panels"]]
STATEMENTS = [pytest.param(t["rawSql"], id=f"{b}-{p['title']}") for b, p in PANELS for t in p["targets"] if "rawSql" in t]
EXPRESSIONS = [pytest.param(t["expr"], id=f"{b}-{p['title']}-{t['refId']}") for b, p in PANELS for t in p["targets"] if "expr" in t]
FROM, TO = "'2026-01-01T00:00:00Z'::timestamptz", "'2026-02-01T00:00:00Z'::timestamptz"


def plain(statement: str) -> str:
    """With Grafana's macros written out."""
    for macro, text in (("$__timeFrom()", FROM), ("$__timeTo()", TO)):
        statement = statement.replace(macro, text)
    statement = re.sub(r"\$__timeFilter\((.*?)\)", rf"\1 BETWEEN {FROM} AND {TO}", statement)
    return re.sub(r"\$__timeGroup\((.*?), '1h'\)", r"date_trunc('hour', \1)", statement)


@pytest.mark.django_db
@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_panels_statement_runs(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(plain(statement))
        assert cursor.description


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_panel_asks_for_metrics_that_exist(expression: str) -> None:
    wanted = metrics_in(expression)
    known = PROMETHEUS_OWN | exposed() | set(RECORDED) | {"vector", "count"}

    assert not {name for name in wanted if name not in known and not DJANGO_PROMETHEUS.match(name)}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_every_expression_is_promql(tmp_path: Path) -> None:
    plain_ones = [param.values[0].replace("$__rate_interval", "5m").replace("$mode", "live") for param in EXPRESSIONS]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(plain_ones)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    done = subprocess.run(["promtool", "check", "rules", tmp_path / "panels.yml"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.django_db
@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_role_of_dashboards_may_read_what_a_panel_shows_and_no_more(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {reader.ROLE}")
        reader.grant()
        cursor.execute(f"SET LOCAL ROLE {reader.ROLE}")
        cursor.execute(plain(statement))
        cursor.execute("SELECT has_table_privilege('users', 'SELECT') OR has_table_privilege('credentials', 'SELECT')")
        assert cursor.fetchone() == (False,)
        cursor.execute("RESET ROLE")


def test_every_panel_has_a_source_that_is_provisioned() -> None:
    assert {panel["datasource"]["uid"] for _board, panel in PANELS} == SOURCES


def test_the_panels_of_the_sources_are_there() -> None:
    """Requirements S0-15 and S3-20."""
    titles = {panel["title"] for _board, panel in PANELS}

    assert {"Job runs", "Share of jobs that ended well", "Mean run time", "AI decisions"} <= titles
    assert {"AI decisions over time", "Decisions", "Fills", "Profit now", "Total value", "Mean AI confidence"} <= titles
    assert {"Value over time", "Profit over time", "Last fills", "Last AI decisions"} <= titles
