"""The dashboard in a real browser, on a real server: snapshot, live trades, buttons, Korean."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from dgbot.accounts.models import User
from tests import face_rows as rows
from trading.models import Bot

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bot(settings: Any) -> Bot:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]  # the server knows no test hasher
    made = rows.bot(rows.user("operator"), name="alpha")
    rows.decision(rows.cycle(made))
    rows.position(made)
    for hour in range(5):
        rows.snapshot(made.account, at=rows.T0 + timedelta(hours=hour), value=str(1_000_000 + 500 * hour))
    return made


@pytest.fixture
def page(site: str, browser: Any, bot: Bot) -> Iterator[Any]:
    """The dashboard after a login, watched for errors and for requests to others."""
    context = browser.new_context(locale="en-US", timezone_id="Asia/Seoul", viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.append(request.url) if not request.url.startswith((site, "data:", "blob:")) else None)
    log_in(opened, site)
    yield opened
    assert complaints == []
    context.close()


def log_in(page: Any, site: str) -> None:
    page.goto(site)
    page.fill("[name=username]", "operator")
    page.fill("[name=password]", rows.PASSWORD)
    page.click("button.primary")
    page.wait_for_selector("#connection[data-state=live]")


def test_the_page_shows_what_there_is(page: Any) -> None:
    assert page.inner_text("#running") == "0 of 1 bots running"
    assert page.locator("#stages > li").count() == 4
    assert page.locator("#decisions > li.decision").count() == 1
    assert "95,000,000" in page.inner_text("#positions")
    assert "1,002,000 KRW" in page.inner_text("#equity-figure")
    assert "Simulated" in page.inner_text("#notices")
    assert page.locator("#chart canvas").count() > 0


def test_a_trade_shows_within_a_second_of_its_commit(page: Any, bot: Bot, elsewhere: Callable[[int], Any]) -> None:
    gateway = elsewhere(bot.pk)
    delays = []
    for _ in range(10):
        pk, committed_at = gateway.trade()
        page.wait_for_selector(f"#trades tr[data-trade='{pk}']", timeout=5000)
        delays.append(time.time() - committed_at)

    print(f"commit to visible: median {sorted(delays)[5] * 1000:.0f} ms, worst {max(delays) * 1000:.0f} ms")  # noqa: T201
    assert max(delays) < 1


def test_start_and_stop(page: Any, bot: Bot) -> None:
    page.click("[data-act=start]")
    page.wait_for_selector("[data-act=stop]")
    assert Bot.objects.get(pk=bot.pk).is_running is True
    assert "requested" in page.inner_text("#bots")

    page.click("[data-act=stop]")
    page.wait_for_selector("[data-act=start]")
    assert Bot.objects.get(pk=bot.pk).is_running is False


def test_korean(page: Any) -> None:
    page.click("button[value=ko]")
    page.wait_for_selector("#connection[data-state=live]")

    assert page.get_attribute("html", "lang") == "ko"
    assert page.inner_text("#bots-title") == "봇"
    assert "시뮬레이션" in page.inner_text("#notices")


def test_phone_needs_no_sideways_scrolling(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})

    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_logging_out_elsewhere_ends_the_page(page: Any, site: str) -> None:
    User.objects.filter(username="operator").update(is_active=False)

    page.wait_for_url(re.compile(f"{site}/login/"), timeout=20_000)
