"""Prometheus' and Grafana's files: what they ask for exists, and each alert has fired once."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dgbot.env import BASE_DIR
from monitoring.exposition import families

FOLDER = BASE_DIR / "deploy/prometheus"
RULES = {path.name: yaml.safe_load(path.read_text()) for path in (FOLDER / "rules").glob("*.yml")}
ALERTS: list[dict[str, Any]] = [rule for group in RULES["alerts.yml"]["groups"] for rule in group["rules"]]
RECORDED = {rule["record"]: rule["expr"] for group in RULES["recording.yml"]["groups"] for rule in group["rules"]}
TESTED = {test["name"] for test in yaml.safe_load((FOLDER / "tests/alerts.yml").read_text())["tests"]}
PROMETHEUS_OWN = {"up", "ALERTS"}
DJANGO_PROMETHEUS = re.compile(r"^django_http_")
NAMES = re.compile(r"(?<![\w.\"{,=])([a-zA-Z_:][a-zA-Z0-9_:]*)(?=[{\[ )]|$)")
WORDS = {
    *("sum", "by", "rate", "increase", "max", "absent", "and", "on", "or", "without", "histogram_quantile", "avg", "topk", "time", "min"),
    *("sum_over_time", "avg_over_time", "last_over_time", "clamp_min", "delta", "count"),
}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def metrics_in(expression: str) -> set[str]:
    """Names of metrics an expression asks for."""
    bare = re.sub(r"\{[^}]*\}", "", re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", "", expression))
    return {name for name in NAMES.findall(bare) if name not in WORDS and not re.fullmatch(r"\d+[smhdw]?", name)}


def exposed() -> set[str]:
    """Every name our exposition can say, read from the code's own families."""
    source = Path(families.__file__).read_text()
    names = set(re.findall(r'"((?:dgbot_|scheduler_|risk_|portfolio_|bot_|ai_|trade|slippage)\w+)"', source))
    suffixed = {f"{name}{suffix}" for name in names for suffix in ("_sum", "_count", "_bucket")}
    return names | suffixed


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_what_we_tell_and_says_what_to_do(alert: dict[str, Any]) -> None:
    wanted = metrics_in(alert["expr"])
    wanted = {name for each in wanted for name in (metrics_in(RECORDED[each]) if each in RECORDED else {each})}

    assert wanted
    assert not {name for name in wanted if name not in PROMETHEUS_OWN | exposed() and not DJANGO_PROMETHEUS.match(name)}
    assert alert["labels"]["severity"] in ("warning", "error", "critical")
    assert {"summary", "remedy"} <= set(alert["annotations"])


@pytest.mark.parametrize("record", RECORDED)
def test_a_recorded_series_asks_for_what_we_tell(record: str) -> None:
    assert not {name for name in metrics_in(RECORDED[record]) if name not in exposed() and not DJANGO_PROMETHEUS.match(name)}


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    assert {alert["alert"] for alert in ALERTS} == TESTED


@needs_promtool
def test_prometheus_takes_its_configuration() -> None:
    run("check", "config", "--syntax-only", "prometheus.yml")
    run("check", "rules", "rules/alerts.yml", "rules/recording.yml")


@needs_promtool
def test_every_alert_is_silent_and_then_fires() -> None:
    run("test", "rules", "tests/alerts.yml")


def run(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
