"""The content policy in a real browser: every kind of page works under it, and none of ours needs more than its own files."""

import os
from base64 import b32decode
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from dgbot.accounts import authenticators, roles
from dgbot.accounts.views import MAY_SET_UP
from tests import face_rows as rows
from tests.second_factors import Phone

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

SHOTS = os.environ.get("SCREENSHOTS")  # a folder; for looking at the pages


def test_no_page_breaks_its_policy(site: str, browser: Any) -> None:
    person = rows.user("boss", role=roles.ADMIN, is_superuser=True)
    bot = rows.bot(person, name="alpha")
    rows.decision(rows.cycle(bot))
    rows.snapshot(bot.account)
    schedule = rows_of_beat()
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    refused: list[str] = []
    page.on("console", lambda told: refused.append(f"{page.url}: {told.text}") if "Content Security Policy" in told.text else None)
    page.on("pageerror", lambda error: refused.append(f"{page.url}: {error}"))
    page.goto(f"{site}/login/")
    signed_in = Client()
    signed_in.force_login(person)
    mine = signed_in.session
    mine[MAY_SET_UP] = True  # the server hashes passwords in another way than tests do
    mine.save()
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": mine.session_key, "url": site}])
    for path in ("/", f"/bots/{bot.pk}/", "/admin/", "/admin/trading/bot/", f"/admin/trading/bot/{bot.pk}/change/", "/account/", schedule):
        answer = page.goto(f"{site}{path}")
        page.wait_for_timeout(300)
        assert answer.status in (200, 404), path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert ("unsafe" in policy) == path.startswith(("/admin/", "/account/")), path
        shoot(page, path.strip("/").replace("/", "-") or "home")
    page.goto(f"{site}/account/second-factor/")
    page.wait_for_selector(".dg-qr svg")
    shoot(page, "qr")
    begun = authenticators.begin(person)
    page.fill("#code", Phone(b32decode(begun.key)).code())
    page.click("button.dg-button")
    page.wait_for_selector(".dg-codes")
    shoot(page, "codes")
    for path in ("/account/second-factor/", "/account/verify/", "/account/"):
        page.goto(f"{site}{path}")
        shoot(page, f"after-{path.strip('/').replace('/', '-')}")
    assert not refused, "\n".join(refused)


def rows_of_beat() -> str:
    """The form of a schedule, whose own page brings a script along."""
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    every, _is_new = IntervalSchedule.objects.get_or_create(every=1, period="hours")
    task = PeriodicTask.objects.create(name="policy", task="monitoring.tasks.tidy", interval=every)
    return f"/admin/django_celery_beat/periodictask/{task.pk}/change/"


def shoot(page: Any, name: str) -> None:
    """Light, dark and on a phone."""
    if not SHOTS:
        return
    page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=str(Path(SHOTS) / f"{name}-dark.png"))
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 800})
    page.screenshot(path=str(Path(SHOTS) / f"{name}-phone.png"))
    page.set_viewport_size({"width": 1280, "height": 800})
