"""Log lines for people and for collectors, and error reports: complete, in UTC, without secrets."""

import json
import logging
import sys

import sentry_sdk

from dgbot import reporting
from dgbot.env import MASK
from dgbot.logs import JsonFormatter, UtcFormatter
from dgbot.redaction import redacted


def record(message: str, *, exc_info=None) -> logging.LogRecord:
    made = logging.LogRecord("trading.gateway", logging.WARNING, "/app/trading/services/gateway.py", 1, message, (), exc_info)
    made.created = 1767225600.25
    return made


def test_a_json_line_has_what_a_collector_looks_for():
    said = json.loads(JsonFormatter(process="gateway").format(record("order=12 cycle=7 sent")))

    assert said == {
        "timestamp": "2026-01-01T00:00:00.250+00:00",
        "level": "warning",
        "logger": "trading.gateway",
        "module": "gateway",
        "process": "gateway",
        "message": "order=12 cycle=7 sent",
        "context": {"order": "12", "cycle": "7"},
    }


def test_an_exception_stays_on_one_line_and_keeps_no_secret():
    try:
        raise ValueError("password=hunter22x")
    except ValueError:
        line = JsonFormatter(process="web").format(record("failed", exc_info=sys.exc_info()))

    assert "\n" not in line
    assert "ValueError" in json.loads(line)["trace"]
    assert "hunter22x" not in line


def test_a_line_for_people_keeps_no_secret_either():
    assert "hunter22x" not in UtcFormatter().format(record("postgres://dgbot:hunter22x@db/x refused"))


def test_structures_are_redacted_to_the_last_leaf():
    assert redacted({"headers": [{"Authorization": "abc"}, ("Bearer abcdef", 1)]}) == {
        "headers": [{"Authorization": MASK}, [f"Bearer {MASK}", 1]]
    }


def test_an_error_report_leaves_without_secrets_and_local_variables(monkeypatch):
    sent = []
    given = {}
    monkeypatch.setattr(sentry_sdk, "init", lambda **options: given.update(options))
    reporting.start("https://key@sentry.example/1", process="web", deployment="DEV")
    client = sentry_sdk.Client(**given, default_integrations=False, transport=sent.append)

    def fails() -> None:
        opened_key = "".join(["AKIA", "VERY", "SECRET"])
        raise RuntimeError(f"token=abcdef123456 {len(opened_key)}")

    try:
        fails()
    except RuntimeError as error:
        event, hint = sentry_sdk.utils.event_from_exception(error, client_options=client.options)
        client.capture_event(event, hint)
    client.close()

    told = repr(sent)
    assert "RuntimeError" in told
    assert "abcdef123456" not in told
    assert "AKIAVERYSECRET" not in told
