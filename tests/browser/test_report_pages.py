"""The report of a backtest in a real browser: five different ones, light and dark, on a phone and on paper."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backtests.candles.archive import save
from backtests.models import BacktestRun
from backtests.selectors import archive_root
from backtests.services import candles, runs
from dgbot.core.interval import Interval
from tests import face_rows as rows
from tests.run_factory import run_spec
from tests.scale import in_turn
from trading.exchanges.simulated_market import SimulatedMarket

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600), in_turn(1, of=2)]
SHOTS = os.environ.get("SCREENSHOTS", "")  # a folder, for people who want to look
ORIGIN = datetime(2024, 1, 1, tzinfo=UTC)
HOURS = 24 * 300


def archived(symbol: str, seed: int) -> None:
    market = SimulatedMarket(symbol, seed, ORIGIN)
    walk = market.closed_candles(Interval.HOUR_1, ORIGIN + HOURS * timedelta(hours=1))
    save(replace(walk, exchange="upbit", chain=None), archive_root())
    candles.label(root=archive_root(), exchange="upbit", symbol=symbol, interval=Interval.HOUR_1, source_name="test")


@pytest.fixture
def reports(settings: Any) -> list[BacktestRun]:
    """Busy, calm, two markets, one that ends in safe mode, one that never trades."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]  # the server knows no test hasher
    owner = rows.user("operator")
    archived("KRW-BTC", 1)
    archived("KRW-ETH", 2)
    specs = [
        run_spec(hold_out=0.3),
        run_spec(strategy="volatility_breakout"),
        run_spec("KRW-BTC", "KRW-ETH"),
        run_spec(strategy="aggressive_bollinger", setup={"drawdown_fraction": Decimal("0.002")}),
        run_spec(strategy="volume_zone_breakout", setup={"largest_amount": Decimal(1)}),
    ]
    return [runs.run_now(spec=spec, user=owner) for spec in specs]


@pytest.fixture
def page(site: str, browser: Any, reports: list[BacktestRun]) -> Iterator[Any]:
    context = browser.new_context(locale="en-US", viewport={"width": 1360, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    opened.goto(f"{site}/login/")
    opened.fill("[name=username]", "operator")
    opened.fill("[name=password]", rows.PASSWORD)
    opened.click("button.primary")
    opened.wait_for_selector("#bots")
    yield opened
    context.close()


def shoot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def test_reports_draw_what_was_computed(site: str, page: Any, reports: list[BacktestRun]) -> None:
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    for number, run in enumerate(reports, 1):
        page.goto(f"{site}/backtests/{run.pk}/")
        page.wait_for_selector("#equity canvas")
        page.wait_for_selector("#candles canvas")
        page.wait_for_timeout(400)
        assert page.inner_text(".tiles .card dd").endswith("%")
        shoot(page, f"report-{number}-light")

    page.click("#theme")
    page.goto(f"{site}/backtests/{reports[0].pk}/")
    page.wait_for_selector("#candles canvas")
    page.click("button.show >> nth=0")
    page.wait_for_timeout(600)
    assert page.locator("tr.chosen").count() == 1
    shoot(page, "report-1-dark")

    page.goto(f"{site}/backtests/compare/?" + "&".join(f"run={run.pk}" for run in reports))
    page.wait_for_selector("#growth canvas")
    page.wait_for_timeout(400)
    shoot(page, "compare-dark")
    assert troubles == []

    if SHOTS:
        page.click("#theme")
        page.click("button[lang=ko]")
        page.goto(f"{site}/backtests/{reports[0].pk}/")
        page.set_viewport_size({"width": 390, "height": 844})
        page.wait_for_selector("#candles canvas")
        page.wait_for_timeout(600)
        shoot(page, "report-1-phone-ko")
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 900, "height": 1200})
        shoot(page, "report-1-print")
