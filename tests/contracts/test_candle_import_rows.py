"""Importing through the command, down to the archive's files and the row that labels them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from backtests.candles.exporting import write_csv
from backtests.candles.importing import read_file
from backtests.candles.series import Candles
from backtests.models import CandleSeries
from backtests.selectors import candles_of, series_of
from dgbot.core.interval import Interval
from tests.candle_factory import random_candles

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def archive(tmp_path: Path, settings) -> Iterator[Path]:
    settings.DATA_DIR = tmp_path
    yield tmp_path / "candles"


def imported(path: Path, *options: str) -> str:
    out = StringIO()
    call_command("import_candles", str(path), "--symbol", "KRW-BTC", *options, stdout=out)
    return out.getvalue()


def exported(candles: Candles, folder: Path, name: str = "candles.csv.gz") -> Path:
    write_csv(candles, folder / name)
    return folder / name


def test_an_imported_file_can_be_loaded_and_is_labelled(tmp_path: Path) -> None:
    candles = random_candles(100)

    told = json.loads(imported(exported(candles, tmp_path), "--json"))[0]

    assert candles_of(exchange="upbit", symbol="KRW-BTC", interval=Interval.HOUR_1).hash_at(100) == candles.hash_at(100)
    series = CandleSeries.objects.get()
    assert (series.rows, series.first_opened_at, series.gap_count) == (100, candles.first_opened_at, 0)
    assert told["added"] == 100
    assert told["series"]["content_sha256"] == series.content_sha256


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    path = exported(random_candles(100), tmp_path)
    imported(path)
    before = CandleSeries.objects.get().content_sha256

    assert "0 added, 0 replaced, 100 known" in imported(path)
    assert CandleSeries.objects.get().content_sha256 == before


def test_a_refused_file_leaves_no_trace(tmp_path: Path, archive: Path) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text("timestamp,open,high,low,close,volume\n2025-01-01T00:00:00,1,1,1,1,1\n")

    with pytest.raises(CommandError, match="--timezone UTC or --timezone Asia/Seoul"):
        imported(path)

    assert not archive.exists()
    assert not CandleSeries.objects.exists()


def test_contradicting_the_archive_needs_replace(tmp_path: Path) -> None:
    imported(exported(random_candles(100, seed=1), tmp_path))
    other = exported(random_candles(100, seed=2), tmp_path)

    with pytest.raises(CommandError, match="100 of 100 candles of KRW-BTC 1h differ"):
        imported(other)

    assert "100 replaced" in imported(other, "--replace")


def test_an_archive_that_cannot_be_written_is_one_sentence(tmp_path: Path, archive: Path) -> None:
    archive.write_text("a file where the folder should be")

    with pytest.raises(CommandError, match="cannot be written"):
        imported(exported(random_candles(10), tmp_path))


def test_a_series_nobody_imported_is_none() -> None:
    assert series_of(exchange="upbit", symbol="KRW-BTC", interval=Interval.HOUR_1) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": 0},
        {"last_opened_at": datetime(2024, 1, 1, tzinfo=UTC)},
        {"gap_count": 5},
        {"content_sha256": "x" * 64},
        {"content_sha256": ""},
    ],
)
def test_a_false_label_is_refused_by_the_database(tmp_path: Path, changed: dict[str, object]) -> None:
    imported(exported(random_candles(10), tmp_path))

    with pytest.raises(IntegrityError), transaction.atomic():
        CandleSeries.objects.update(**changed)


def test_one_market_has_one_series(tmp_path: Path) -> None:
    imported(exported(random_candles(10), tmp_path))
    series = CandleSeries.objects.get()
    series.pk = None

    with pytest.raises(IntegrityError), transaction.atomic():
        series.save(force_insert=True)


def test_a_simulated_market_is_exported_in_our_form(tmp_path: Path) -> None:
    path = tmp_path / "simulated.csv.gz"

    call_command("export_simulated", str(path), "--seed", "7", "--from", "2024-05-05T03:00", "--hours", "50", stdout=StringIO())

    read = read_file(path, exchange="simulated", symbol="KRW-BTC", now=datetime(2024, 6, 1, tzinfo=UTC)).candles
    assert read.last_closed_at == datetime(2024, 5, 5, 3, tzinfo=UTC) + timedelta(hours=50)
    assert len(read) > 700
