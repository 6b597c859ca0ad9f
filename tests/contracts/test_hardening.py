"""What a site for others refuses: to start carelessly, to be framed or scripted, to be asked from elsewhere; and its log is whole."""

import json
import os
import secrets
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from dgbot import checks
from dgbot.accounts import audit
from dgbot.accounts.models import AuditEntry
from dgbot.base.cache import JsonSerializer
from dgbot.core.errors import BadInput
from dgbot.env import BASE_DIR
from tests import face_rows as rows
from tests.authorization.routes import all_routes
from tests.factories import execute, triggers_off
from trading.models import Analyst, PromptTemplate
from trading.services import analysts

pytestmark = pytest.mark.django_db(databases=["default", "venue"])

GOOD = {"DGBOT_HTTPS": "true", "DGBOT_ALLOWED_HOSTS": "bot.example.com", "DGBOT_SECRET_KEY": secrets.token_urlsafe(50)}


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A fresh process of the platform with these variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DGBOT_")}
    kept = {"DGBOT_DATA_DIR": os.environ["DGBOT_DATA_DIR"]}
    return subprocess.run(
        [sys.executable, *arguments], check=False, cwd=BASE_DIR, env={**clean, **kept, **variables}, capture_output=True, text=True
    )


def test_one_setting_makes_the_deploy_check_silent() -> None:
    done = python("manage.py", "check", "--deploy", "--tag", "security", "--fail-level", "WARNING", **GOOD)

    assert done.returncode == 0 and "no issues" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("careless", "sentence"),
    [
        ({"DEBUG": True}, "DGBOT_DEBUG"),
        ({"ALLOWED_HOSTS": ["*"]}, "every name"),
        ({"SECRET_KEY": "change_me"}, "DGBOT_SECRET_KEY is shorter"),
        ({"SECRET_KEY": "a" * 60}, "no secret"),
    ],
)
def test_a_careless_site_is_told_why_it_does_not_start(settings: Any, careless: dict[str, Any], sentence: str) -> None:
    settings.HTTPS = True
    for name, value in careless.items():
        setattr(settings, name, value)

    with pytest.raises(BadInput, match=sentence) as refusal:
        checks.refuse_to_start()
    assert str(careless.get("SECRET_KEY", "nothing")) not in str(refusal.value)


def test_the_web_process_refuses_before_it_answers_anybody() -> None:
    done = python("-c", "import dgbot.asgi", **{**GOOD, "DGBOT_SECRET_KEY": "change_me"})

    assert done.returncode != 0 and "DGBOT_SECRET_KEY is shorter" in done.stderr and "change_me" not in done.stderr


def test_every_answer_carries_the_headers(client: Client) -> None:
    for url in ("/login/", "/health/live", "/nowhere/", "/api/v1/bots", "/admin/"):
        headers = client.get(url).headers
        assert headers["X-Frame-Options"] == "DENY" and headers["X-Content-Type-Options"] == "nosniff", url
        assert headers["Referrer-Policy"] == "same-origin" and headers["Cross-Origin-Opener-Policy"] == "same-origin", url
        assert "camera=()" in headers["Permissions-Policy"], url
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], url
        assert "Access-Control-Allow-Origin" not in client.get(url, headers={"origin": "https://evil.example"}).headers, url


def test_no_form_is_taken_without_its_token() -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(rows.user(is_superuser=True))
    values = {"object_id": "1", "bot_pk": 1, "app_label": "trading", "url": "x", "content_type_id": 1, "id": "1", "pk": "1"}
    tried = 0
    for route in all_routes():
        if route.pattern.startswith("api/") or not set(route.parameters) <= set(values):
            continue
        answer = strict.post(route.url(**values))
        tried += answer.status_code == 403
        assert answer.status_code in (302, 403, 404, 405), route.name
    assert tried > 100


def test_another_sites_request_is_refused_whatever_it_carries(client: Client) -> None:
    client.force_login(rows.user())

    assert client.post("/account/sessions/end/", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.post("/account/sessions/end/", headers={"sec-fetch-site": "same-origin"}).status_code == 302


def test_a_nul_in_an_address_is_refused(client: Client) -> None:
    client.force_login(rows.user())

    assert client.get("/admin/trading/bot/?symbol__startswith=%00").status_code == 400


def test_the_cache_and_the_queue_take_json_only(settings: Any) -> None:
    with pytest.raises(ValueError):
        JsonSerializer().loads(b"\x80\x04\x95K.")
    assert (settings.CELERY_ACCEPT_CONTENT, settings.SESSION_SERIALIZER) == (
        ["json"],
        "django.contrib.sessions.serializers.JSONSerializer",
    )


def test_an_analyst_gives_the_key_to_named_hosts_only(settings: Any) -> None:
    """Whoever may edit analysts could otherwise have the key sent anywhere."""
    settings.OPENAI_API_KEY = "sk-canary"
    prompt = PromptTemplate.objects.create(name="p", version=1, system="Judge.")
    analyst = Analyst.objects.create(
        name="elsewhere", model="m", prompt=prompt, input_price=1, output_price=1, base_url="https://evil.example/v1"
    )

    told = analysts.ask(analysts.Question(analyst, "KRW-BTC", "propose", {}))

    assert told.answer is None and told.call is None
    assert "evil.example" in told.reasons[0].message and "DGBOT_AI_HOSTS" in told.reasons[0].remedy


# --- The audit log ---


def verified(*arguments: str) -> str:
    """What the command says."""
    out = StringIO()
    call_command("verify_audit", *arguments, stdout=out)
    return out.getvalue()


def test_the_audit_log_is_verified_exported_and_a_change_shows(tmp_path: Path) -> None:
    for number in range(3):
        audit.record(actor="test", action="drill", target=f"thing:{number}")
    told = json.loads(verified("--json", "--export", str(tmp_path / "log")))

    assert told["entries"] == 3 and len((tmp_path / "log").read_text().splitlines()) == 3
    assert "all whole" in verified("--expect", told["last"])
    with triggers_off():
        execute("UPDATE audit_log SET target = 'thing:9' WHERE id = %s", AuditEntry.objects.order_by("pk")[1].pk)
    with pytest.raises(CommandError, match="does not follow"):
        verified()


def test_a_cut_end_shows_against_a_hash_that_was_kept() -> None:
    for number in range(3):
        audit.record(actor="test", action="drill", target=f"thing:{number}")
    kept = json.loads(verified("--json"))["last"]
    with triggers_off():
        execute("DELETE FROM audit_log WHERE hash = %s", kept)

    assert "2 entries" in verified()
    with pytest.raises(CommandError, match="cut off"):
        verified("--expect", kept)
