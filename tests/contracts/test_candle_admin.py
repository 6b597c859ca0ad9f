"""The archive in the admin: list, picture, actions, and an upload that shows what it read before it stores it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from backtests import tasks
from backtests.candles import archive
from backtests.candles.exporting import write_csv
from backtests.candles.series import COLUMNS
from backtests.candles.spans import spans_of
from backtests.models import CandleSeries, CandleSync
from backtests.selectors import archive_root
from backtests.services import candles
from dgbot.accounts import roles
from dgbot.accounts.models import AuditEntry
from dgbot.core.interval import Interval
from tests import face_rows as rows
from tests.candle_factory import random_candles

pytestmark = pytest.mark.django_db
UPLOAD = "/admin/backtests/candleseries/upload-file/"


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def client() -> Client:
    made = Client()
    made.force_login(rows.user("operator"))
    return made


@pytest.fixture
def series() -> CandleSeries:
    """500 hours with an outlier, five that the exchange confirmed as empty, and seven that nobody explains."""
    whole = random_candles(500)
    close = whole.close.copy()
    close[200] *= 1.6
    high = np.maximum(whole.high, close)
    kept = [index for index in range(500) if not 50 <= index < 55 and not 300 <= index < 307]
    columns = {name: getattr(whole, name)[kept] for name in COLUMNS} | {"close": close[kept], "high": high[kept]}
    empty = spans_of([(whole.open_time[50], whole.open_time[55])])
    archive.merge(replace(whole, **columns, chain=None), archive_root(), confirmed=empty)
    return candles.label(root=archive_root(), exchange="upbit", symbol="KRW-BTC", interval=Interval.HOUR_1, source_name="test")


def csv(tmp_path: Path, *, text: str = "") -> SimpleUploadedFile:
    path = tmp_path / "made.csv"
    if not text:
        write_csv(random_candles(100), path)
    return SimpleUploadedFile("made.csv", text.encode() if text else path.read_bytes())


def form(file: SimpleUploadedFile, **changed: str) -> dict[str, Any]:
    return {"file": file, "exchange": "upbit", "symbol": "KRW-BTC", "encoding": "utf-8", **changed}


def test_the_list_answers_how_many_how_old_how_complete(client: Client, series: CandleSeries) -> None:
    CandleSync.objects.create(
        exchange="upbit", symbol="KRW-BTC", interval="1h", until=series.last_opened_at, status="running", windows_done=3, windows_total=9
    )

    page = client.get(reverse("admin:backtests_candleseries_changelist")).content.decode()

    assert "488" in page
    assert "98.60 %" in page
    assert "7 missing" in page
    assert '<progress class="dg-progress" value="3" max="9">' in page
    assert "Upload a file" in page


def test_the_list_costs_a_fixed_number_of_queries(client: Client, series: CandleSeries, django_assert_max_num_queries: Any) -> None:
    url = reverse("admin:backtests_candleseries_changelist")
    for symbol in ("KRW-A", "KRW-B", "KRW-C", "KRW-D"):
        series.pk, series.symbol = None, symbol
        series.save(force_insert=True)

    with django_assert_max_num_queries(12):
        assert client.get(url).status_code == 200


def test_a_series_is_drawn_with_its_gaps_and_outliers(client: Client, series: CandleSeries) -> None:
    page = client.get(reverse("admin:backtests_candleseries_change", args=[series.pk])).content.decode()

    assert page.count("dg-cover dg-cover-missing") == 1
    assert page.count("dg-cover dg-cover-confirmed") == 1
    assert page.count('class="dg-outlier"') == 1
    assert "missing without explanation" in page
    assert "not traded, as the exchange confirms" in page


def test_a_damaged_file_is_told_where_the_picture_would_be(client: Client, series: CandleSeries) -> None:
    (archive_root() / series.path).write_bytes(b"PAR1 nonsense")

    assert "restore it from a backup" in client.get(reverse("admin:backtests_candleseries_change", args=[series.pk])).content.decode()


def test_actions_queue_a_download_and_check_again(
    client: Client, series: CandleSeries, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    queued: list[int] = []
    monkeypatch.setattr(tasks.sync_series, "delay", queued.append)
    CandleSeries.objects.update(quality="", checked_at=None, findings={})
    url = reverse("admin:backtests_candleseries_changelist")

    for name in ("sync_selected", "recheck_selected"):
        with django_capture_on_commit_callbacks(execute=True):
            client.post(url, {"action": name, "_selected_action": [series.pk]})

    sync = CandleSync.objects.get()
    assert (queued, sync.requested_by.username) == ([sync.pk], "operator")
    assert CandleSeries.objects.get().quality == "bad"
    assert "waiting" in client.get(reverse("admin:backtests_candlesync_changelist")).content.decode()


def test_a_viewer_may_look_and_no_more(series: CandleSeries) -> None:
    viewer = Client()
    viewer.force_login(rows.user("viewer", role=roles.VIEWER))

    assert viewer.get(reverse("admin:backtests_candleseries_change", args=[series.pk])).status_code == 200
    assert viewer.get(UPLOAD).status_code == 403
    viewer.post(reverse("admin:backtests_candleseries_changelist"), {"action": "sync_selected", "_selected_action": [series.pk]})
    assert not CandleSync.objects.exists()


def test_an_upload_is_shown_before_it_is_stored(client: Client, tmp_path: Path) -> None:
    preview = client.post(UPLOAD, form(csv(tmp_path)))
    page = preview.content.decode()

    assert "100 candles" in page
    assert "2026-01-01 00:00" in page
    assert not CandleSeries.objects.exists()
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token is not None

    answer = client.post(UPLOAD, {"token": token.group(1)})

    series = CandleSeries.objects.get()
    assert answer.url == reverse("admin:backtests_candleseries_change", args=[series.pk])
    assert (series.rows, series.source_name) == (100, "made.csv")
    assert AuditEntry.objects.filter(action="import candles", target=f"series:{series.pk}").exists()
    assert list((tmp_path / "uploads").iterdir()) == []


def test_what_a_file_leaves_open_is_asked_for_at_its_field(client: Client, tmp_path: Path) -> None:
    text = "timestamp,open,high,low,close,volume\n2025-01-01T00:00:00,1,1,1,1,1\n2025-01-01T01:00:00,1,1,1,1,1\n"

    answer = client.post(UPLOAD, form(csv(tmp_path, text=text)))

    assert answer.status_code == 422
    assert "say which it is with --timezone" in str(answer.context["form"].errors["timezone"])
    assert "2 candles" in client.post(UPLOAD, form(csv(tmp_path, text=text), timezone="UTC")).content.decode()


def test_only_the_one_who_uploaded_may_store(client: Client, tmp_path: Path) -> None:
    page = client.post(UPLOAD, form(csv(tmp_path))).content.decode()
    token = re.search(r'name="token" value="([^"]+)"', page)
    other = Client()
    other.force_login(rows.user("other"))

    other.post(UPLOAD, {"token": token.group(1) if token else ""})
    client.post(UPLOAD, {"token": "made up"})

    assert not CandleSeries.objects.exists()
