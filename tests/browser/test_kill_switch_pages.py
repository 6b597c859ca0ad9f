"""The kill switch in a real browser: raised with a click, a reason and a typed word; every head and the dashboard show it."""

import os
from pathlib import Path
from typing import Any

import pytest

from dgbot.accounts import roles
from risk.models import KillSwitch
from tests import face_rows as rows
from trading.models import Order

pytestmark = pytest.mark.django_db(transaction=True)
SHOTS = os.environ.get("SCREENSHOTS", "")  # a folder, for people who want to look


@pytest.fixture
def bot(settings: Any) -> Any:
    """A bot of an operator's that holds something."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]  # the server knows no test hasher
    made = rows.bot(rows.user("operator", role=roles.OPERATOR), name="Breakout")
    rows.position(made)
    return made


def signed_in(browser: Any, site: str, *, scheme: str = "light", language: str = "en") -> Any:
    page = browser.new_context(color_scheme=scheme, locale=language, viewport={"width": 1300, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{site}/login/")
    page.fill("[name=username]", "operator")
    page.fill("[name=password]", rows.PASSWORD)
    page.click("button.primary")
    page.wait_for_selector("#bots")
    return page


def shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def test_a_level_that_sells_is_raised_in_three_steps_and_seen_at_once(site: str, browser: Any, bot: Any) -> None:
    watching, page = signed_in(browser, site), signed_in(browser, site)
    watching.goto(f"{site}/")

    page.click("text=Kill switch")
    shot(page, "panel")
    page.click(".dg-hard >> nth=0")
    shot(page, "question")
    page.fill("[name=reason]", "prices look wrong")
    page.fill("[name=typed]", "FLATTEN")
    page.click(".dg-confirm button")
    page.wait_for_selector(".kill-switch.dg-bad")

    assert KillSwitch.objects.get().level == 3
    assert "close all positions" in page.inner_text(".kill-switch")
    watching.wait_for_selector("#notices >> text=prices look wrong", timeout=15_000)
    shot(page, "raised")
    shot(watching, "dashboard")


def test_a_position_is_sold_from_its_page(site: str, browser: Any, bot: Any) -> None:
    page = signed_in(browser, site, scheme="dark", language="ko")
    position = bot.positions.get()

    page.goto(f"{site}/admin/trading/position/{position.pk}/reduce")
    shot(page, "reduce_dark_ko")
    page.fill("[name=reason]", "less risk")
    page.fill("[name=amount]", "7777")
    page.click(".dg-confirm button")
    page.wait_for_selector(".dg-error")

    assert page.input_value("[name=amount]") == "7777" and not Order.objects.filter(purpose="exit").exists()
    for name, path in (("kill_dark_ko", "risk/killswitch/"), ("position_dark_ko", f"trading/position/{position.pk}/change/")):
        page.goto(f"{site}/admin/{path}")
        shot(page, name)
