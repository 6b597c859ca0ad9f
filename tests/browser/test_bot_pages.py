"""The guided creation and the page of one bot in a real browser, looked at in light, dark, Korean and on a phone."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from dgbot.accounts import roles
from dgbot.core.types import Mode
from risk.models import RiskEvent, RiskState
from risk.seeds import create_profiles
from tests import face_rows as rows
from trading.models import Bot
from trading.services import config

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])
SHOTS = os.environ.get("SCREENSHOTS", "")  # a folder, for people who want to look


@pytest.fixture
def bot(settings: Any) -> Bot:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]  # the server knows no test hasher
    create_profiles()
    config.create_missing()
    made = rows.bot(rows.user("operator", role=roles.ADMIN), name="alpha", is_running=True, status="running")
    for hour in range(3):
        rows.decision(rows.cycle(made, slot=rows.T0.replace(hour=hour)))
    rows.position(made)
    rows.trade(made)
    return made


@pytest.fixture
def page(site: str, browser: Any, bot: Bot) -> Iterator[Any]:
    """A page after a login, watched for errors and for requests to others."""
    context = browser.new_context(locale="en-US", timezone_id="Asia/Seoul", viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(f"{message.text} {message.location}") if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.append(request.url) if not request.url.startswith((site, "data:", "blob:")) else None)
    opened.goto(f"{site}/login/")
    opened.fill("[name=username]", "operator")
    opened.fill("[name=password]", rows.PASSWORD)
    opened.click("button.primary")
    opened.wait_for_selector("#bots")
    yield opened
    assert complaints == []
    context.close()


def shoot(page: Any, name: str) -> None:
    """Pictures in both themes and widths for people, and the accessibility check, which is for everybody."""
    check_accessibility(page)
    if not SHOTS:
        return
    for width, height, device in ((1280, 900, "desk"), (360, 740, "phone")):
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.evaluate(f"document.documentElement.dataset.theme = '{theme}'; document.dispatchEvent(new Event('themechange'))")
            page.wait_for_timeout(300)
            page.screenshot(path=str(Path(SHOTS) / f"{name}-{device}-{theme}.png"), full_page=True)
    page.set_viewport_size({"width": 1280, "height": 900})


def check_accessibility(page: Any) -> None:
    """No serious finding of axe; the admin's skin and the charts' own canvas are not ours."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in grave]


def test_a_paper_bot_is_created_with_its_account_and_its_page_says_what_is_missing(page: Any, site: str) -> None:
    page.goto(f"{site}/bots/new/")
    page.wait_for_selector("[data-check=candles]")
    shoot(page, "new")
    page.select_option("[name=home]", "new:upbit")
    page.fill("[name=name]", "first")
    page.select_option("[name=strategy]", "conservative_ema")
    page.wait_for_selector("[name=parameter_fast_bars]", state="attached")
    page.click("button[value=create]")
    page.wait_for_selector("#connection[data-state=live]")

    made = Bot.objects.select_related("account").get(name="first")
    assert (made.mode, made.account.quote_currency, made.strategy, made.is_running) == (Mode.PAPER, "KRW", "conservative_ema", False)
    assert page.locator("[data-check=candles].blocks button").count() == 1
    assert page.locator("[data-check=switch].blocks").count() == 1
    shoot(page, "first")


def test_the_page_of_a_bot_moves_by_itself(page: Any, site: str, bot: Bot, elsewhere: Callable[[int], Any]) -> None:
    page.goto(f"{site}/bots/{bot.pk}/")
    page.wait_for_selector("#connection[data-state=live]")
    pk, _at = elsewhere(bot.pk).trade()

    page.wait_for_selector(f"#trades tr[data-trade='{pk}']")
    page.wait_for_selector("#limits [data-limit=daily_loss]")
    assert "nothing protects it" in page.inner_text("#positions")
    page.click("[data-act=pause]")
    page.wait_for_selector("[data-act=resume]")
    shoot(page, "bot")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_home_shows_what_matters_now(page: Any, site: str, bot: Bot) -> None:
    rows.snapshot(bot.account, at=rows.T0, value="1000000")
    rows.snapshot(bot.account, at=rows.T0.replace(hour=5), value="1012000")
    told = {"code": "daily_loss", "message": "The loss today is 3.2 %, over the limit of 3 %; entries wait.", "actor": "risk"}
    RiskEvent.objects.create(bot=bot, account=bot.account, user=bot.user, created_at=rows.T0, **told)
    today = {"trading_day": rows.T0.date(), "updated_at": rows.T0, "daily_pnl": "-3200", "weekly_pnl": "12000"}
    for owner in (bot, None):
        RiskState.objects.create(bot=owner, account=bot.account, user=bot.user, mode=bot.mode, daily_trade_count=4, **today)
    page.goto(site)
    page.wait_for_selector("#connection[data-state=live]")

    assert "-3,200 KRW" in page.inner_text("#equity-figure").replace("−", "-")
    assert "over the limit" in page.inner_text("#alarms")
    assert "entries today 80 %" in page.inner_text("#bots")
    shoot(page, "home")
    page.goto(f"{site}/admin/")
    assert "+12,000" in page.inner_text(".dg-home")
    assert page.locator(".dg-spark").count() == 1
