"""The archive's pages in a real browser: the picture in light and dark, and an upload from file to stored series."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtests.candles import archive
from backtests.candles.exporting import write_csv
from backtests.candles.series import COLUMNS
from backtests.candles.spans import spans_of
from backtests.models import CandleSeries
from backtests.selectors import archive_root
from backtests.services import candles
from dgbot.core.interval import Interval
from tests import face_rows as rows
from tests.candle_factory import random_candles

pytestmark = pytest.mark.django_db(transaction=True)
SHOTS = os.environ.get("SCREENSHOTS", "")  # a folder, for people who want to look


@pytest.fixture
def series(settings: Any) -> CandleSeries:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]  # the server knows no test hasher
    rows.user("operator")
    whole = random_candles(4000)
    close = whole.close.copy()
    close[[900, 2500]] *= [1.5, 0.7]
    absent = set(range(500, 520)) | set(range(3000, 3150)) | {1500}
    kept = [index for index in range(4000) if index not in absent]
    high, low = np.maximum(whole.high, close), np.minimum(whole.low, close)
    columns = {name: getattr(whole, name)[kept] for name in COLUMNS} | {"close": close[kept], "high": high[kept], "low": low[kept]}
    empty = spans_of([(whole.open_time[500], whole.open_time[520])])
    archive.merge(replace(whole, symbol="KRW-SHOWN", **columns, chain=None), archive_root(), confirmed=empty)
    return candles.label(root=archive_root(), exchange="upbit", symbol="KRW-SHOWN", interval=Interval.HOUR_1, source_name="test")


@pytest.fixture
def page(site: str, browser: Any, series: CandleSeries) -> Iterator[Any]:
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900})
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
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def test_the_picture_shows_gaps_and_outliers_in_light_and_dark(page: Any, site: str, series: CandleSeries) -> None:
    page.goto(f"{site}/admin/backtests/candleseries/")
    page.wait_for_selector("text=KRW-SHOWN")
    shoot(page, "candle-list")
    page.goto(f"{site}/admin/backtests/candleseries/{series.pk}/change/")
    page.wait_for_selector(".dg-picture svg")
    fill = "element => getComputedStyle(element).fill"
    light = page.locator(".dg-cover-missing").first.evaluate(fill)
    shoot(page, "candle-light")

    page.evaluate("document.documentElement.classList.add('dark')")

    assert page.locator(".dg-cover.dg-cover-missing").count() == 2
    assert page.locator(".dg-outlier").count() == 2
    assert page.locator(".dg-cover-missing").first.evaluate(fill) != light
    assert page.locator(".dg-cover-missing").first.bounding_box()["width"] >= 2
    shoot(page, "candle-dark")


def test_an_upload_goes_from_file_to_stored_series(page: Any, site: str, tmp_path: Path) -> None:
    write_csv(replace(random_candles(300), symbol="KRW-NEW", chain=None), tmp_path / "new.csv")
    naive = (tmp_path / "new.csv").read_text().replace("Z,", ",")
    (tmp_path / "new.csv").write_text(naive)
    page.goto(f"{site}/admin/backtests/candleseries/upload-file/")
    page.set_input_files("[name=file]", str(tmp_path / "new.csv"))
    page.fill("[name=symbol]", "KRW-NEW")
    page.click("text=Read it")
    page.wait_for_selector(".dg-error")
    shoot(page, "upload-error")

    page.set_input_files("[name=file]", str(tmp_path / "new.csv"))
    page.select_option("[name=timezone]", "Asia/Seoul")
    page.click("text=Read it")
    page.wait_for_selector(".dg-preview")
    shoot(page, "upload-preview")
    page.click("text=Yes, store them")
    page.wait_for_selector(".dg-picture svg")

    assert CandleSeries.objects.get(symbol="KRW-NEW").rows == 300
