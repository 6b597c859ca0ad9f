"""Lists of history, the page that tells why and the results in a real browser: drawn, readable by anybody, in light and dark."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from dgbot.base.keyset import END
from tests import face_rows as rows
from tests.contracts.test_why_pages import traded_position
from tests.scale import in_turn
from trading.models import Bot, BotConfig, ExchangeAccount, Position

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "venue"]), in_turn(0, of=2)]
SHOTS = os.environ.get("SCREENSHOTS", "")  # a folder, for people who want to look
SERIOUS = {"serious", "critical"}


@pytest.fixture
def position(settings: Any) -> Position:
    """A position with its whole story, which everybody's lists show, and some more days of results."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]  # the server knows no test hasher
    boss = rows.user("boss", is_superuser=True)
    found = traded_position()
    ExchangeAccount.objects.update(is_hidden=False)
    Bot.objects.update(is_hidden=False)
    bot = rows.bot(boss, symbol="KRW-ETH", strategy="balanced_rsi_divergence", name="조용한 봇")
    for number in range(60):
        at = found.opened_at + timedelta(hours=5 * number)
        rows.trade(bot, at=at, side=("buy", "sell")[number % 2], reason=("", "stop")[number % 2])
        held = rows.position(bot, opened_at=at)
        earned = (number * 37 % 50 - 18) * 1000
        columns = {"closed_at": at + timedelta(hours=3), "sold_total": held.bought_total + earned, "fees": 50}
        Position.objects.filter(pk=held.pk).update(amount=0, exit_reason=("target", "stop", "timeout")[number % 3], **columns)
    return found


@pytest.fixture
def page(site: str, browser: Any, position: Position) -> Iterator[Any]:
    context = browser.new_context(locale="en-US", viewport={"width": 1360, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    opened.errors = []
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.on("console", lambda message: opened.errors.append(message.text) if message.type == "error" else None)
    opened.goto(f"{site}/login/")
    opened.fill("[name=username]", "boss")
    opened.fill("[name=password]", rows.PASSWORD)
    opened.click("button.primary")
    opened.wait_for_selector("#bots")
    yield opened
    context.close()


def looked_at(page: Any, name: str) -> None:
    """Pictures of the page as it is, in the dark, and on a phone."""
    if not SHOTS:
        return
    page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)
    page.evaluate("document.documentElement.classList.add('dark')")
    page.wait_for_timeout(400)
    page.screenshot(path=str(Path(SHOTS) / f"{name}-dark.png"), full_page=True)
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.set_viewport_size({"width": 360, "height": 780})
    page.wait_for_timeout(400)
    page.screenshot(path=str(Path(SHOTS) / f"{name}-phone.png"), full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 361, f"{name} is wider than a phone"
    page.set_viewport_size({"width": 1360, "height": 900})


def serious(page: Any) -> list[str]:
    """What an accessibility checker finds serious in our part of the page."""
    found = Axe().run(page, context={"include": [["#content, .dg-why, .dg-results, #content-main"]]}).response["violations"]
    return [f"{one['id']}: {node['html'][:160]}" for one in found if one["impact"] in SERIOUS for node in one["nodes"]]


def test_history_is_drawn_and_readable_by_anybody(page: Any, site: str, position: Position) -> None:
    found: list[str] = []
    addresses = {
        "trades": "/admin/trading/trade/",
        "trades-end": f"/admin/trading/trade/?newer={END}",
        "orders": "/admin/trading/order/",
        "decisions": "/admin/trading/decision/",
        "logs": "/admin/monitoring/systemlog/",
        "settings": "/admin/trading/botconfig/",
        "setting": f"/admin/trading/botconfig/{BotConfig.objects.get(key='risk_level').pk}/change/",
        "schedules": "/admin/django_celery_beat/periodictask/",
    }
    for name, address in addresses.items():
        page.goto(f"{site}{address}")
        page.wait_for_selector("#content-main, #content")
        found += [f"{name}: {one}" for one in serious(page)]
        looked_at(page, name)

    page.goto(f"{site}/admin/trading/position/{position.pk}/why/")
    page.wait_for_selector("[data-drawn=yes] canvas")
    page.wait_for_selector("[data-proof] .dg-good")
    found += [f"why: {one}" for one in serious(page)]
    looked_at(page, "why")

    page.goto(f"{site}/admin/trading/trade/results/?period=")
    page.wait_for_selector(".dg-profit-chart[data-drawn=yes] canvas")
    found += [f"results: {one}" for one in serious(page)]
    looked_at(page, "results")

    page.context.add_cookies([{"name": "django_language", "value": "ko", "url": site}])
    page.goto(f"{site}/admin/trading/trade/results/?period=")
    page.wait_for_selector(".dg-profit-chart[data-drawn=yes] canvas")
    looked_at(page, "results-ko")

    assert not found
    assert not page.errors
