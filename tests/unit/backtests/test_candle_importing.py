import gzip
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pytest

from backtests.candles import files
from backtests.candles.importing import Imported, read_file
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = "timestamp,open,high,low,close,volume\n"
ROWS = [f"2025-01-01T{hour:02}:00:00Z,100,110,90,{100 + hour},1.5\n" for hour in range(6)]
Read = Callable[..., Imported]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: str | bytes, *, name: str = "candles.csv", **options: object) -> Imported:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_file(path, **{"exchange": "upbit", "symbol": "KRW-BTC", "now": NOW, **options})

    return read


@pytest.fixture
def refuse(read: Read) -> Callable[..., str]:
    def refuse(content: str | bytes, **options: object) -> str:
        with pytest.raises(BadInput) as error:
            read(content, **options)
        return str(error.value)

    return refuse


def frame(**changed: object) -> pd.DataFrame:
    index = pd.date_range("2025-01-01 09:00:00", periods=6, freq="h")
    columns = {"open": 100.0, "high": 110.0, "low": 90.0, "close": 105.0, "volume": 1.5, "value": 157.5}
    return pd.DataFrame({**columns, **changed}, index=index)


def test_our_form_is_read(read: Read) -> None:
    imported = read(HEADER + "".join(ROWS))

    assert imported.candles.close.tolist() == [100, 101, 102, 103, 104, 105]
    assert imported.candles.first_opened_at == datetime(2025, 1, 1, tzinfo=UTC)
    report = imported.report
    assert (report.form, report.interval, report.rows, report.gap_count) == ("ours", Interval.HOUR_1, 6, 0)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + HEADER + "".join(ROWS),
        (HEADER + "".join(ROWS)).replace("\n", "\r\n"),
        (HEADER + "".join(ROWS)).rstrip("\n"),
        HEADER + "".join(ROWS) + "\n\n",
        (HEADER + "".join(ROWS)).replace("00Z", "00+00:00"),
        "timestamp,open,high,low,close,volume,value\n" + "".join(row.replace("\n", ",7\n") for row in ROWS),
        gzip.compress((HEADER + "".join(ROWS)).encode()),
    ],
    ids=["byte order mark", "CRLF", "no last newline", "blank lines at the end", "offset", "value", "gzip"],
)
def test_harmless_variations_are_read(read: Read, content: str | bytes) -> None:
    assert read(content).candles.hash_at(6) == read(HEADER + "".join(ROWS)).candles.hash_at(6)


def test_offsets_are_taken_off(read: Read) -> None:
    imported = read((HEADER + "".join(ROWS)).replace("00Z", "00+09:00"))

    assert imported.candles.first_opened_at == datetime(2024, 12, 31, 15, tzinfo=UTC)


def test_a_naive_stamp_is_not_guessed(read: Read, refuse: Callable[..., str]) -> None:
    naive = (HEADER + "".join(ROWS)).replace("00Z", "00")

    assert "--timezone UTC or --timezone Asia/Seoul" in refuse(naive)

    assert read(naive, timezone="UTC").candles.first_opened_at == datetime(2025, 1, 1, tzinfo=UTC)
    korean = read(naive, timezone="Asia/Seoul")
    assert korean.candles.first_opened_at == datetime(2024, 12, 31, 15, tzinfo=UTC)
    assert korean.report.timezone == "Asia/Seoul, by --timezone"


def test_an_unknown_time_zone_is_refused(refuse: Callable[..., str]) -> None:
    assert "must be one of UTC, Asia/Seoul" in refuse(HEADER + "".join(ROWS), timezone="Mars")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_pyupbit_frames_are_korean_time(read: Read, tmp_path: Path, form: str) -> None:
    written = tmp_path / "written"
    getattr(frame(), f"to_{form}")(written)

    imported = read(written.read_bytes(), name=f"pyupbit.{form}")

    assert imported.candles.first_opened_at == datetime(2025, 1, 1, tzinfo=UTC)
    assert (imported.report.form, imported.report.timezone) == ("pyupbit", "Asia/Seoul, by pyupbit's form")


def test_an_unnamed_index_without_value_may_be_anybodys(tmp_path: Path, refuse: Callable[..., str]) -> None:
    frame().drop(columns="value").to_csv(tmp_path / "written")

    assert "have no time zone (line 2: 2025-01-01T09:00:00)" in refuse((tmp_path / "written").read_bytes())


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul"])
def test_our_form_is_read_from_parquet(read: Read, tmp_path: Path, zone: str) -> None:
    table = frame().tz_localize("Asia/Seoul").tz_convert(zone).rename_axis("timestamp").reset_index()
    table.to_parquet(tmp_path / "written", index=False)

    imported = read((tmp_path / "written").read_bytes(), name="ours.parquet")

    assert imported.candles.first_opened_at == datetime(2025, 1, 1, tzinfo=UTC)


def test_parquet_with_numbers_as_time_is_refused(tmp_path: Path, refuse: Callable[..., str]) -> None:
    frame().assign(timestamp=range(6)).to_parquet(tmp_path / "written", index=False)

    assert "column timestamp holds int64" in refuse((tmp_path / "written").read_bytes())


def test_a_missing_cell_in_parquet_is_counted(tmp_path: Path, refuse: Callable[..., str]) -> None:
    frame(volume=[1.0, None, 1.0, None, 1.0, 1.0]).to_parquet(tmp_path / "written")

    assert "2 not finite (first: row 2, 2025-01-01T01:00:00+00:00" in refuse((tmp_path / "written").read_bytes())


def test_gaps_are_listed_and_not_filled(read: Read) -> None:
    rows = [f"2025-{month:02}-{day:02}T00:00:00Z,1,1,1,1,1\n" for month in (1, 2) for day in range(1, 29) if day % 2 or day < 4]

    report = read(HEADER + "".join(rows), interval=Interval.DAY_1).report

    assert report.rows == len(rows)
    assert len(report.gaps) == 10
    assert report.gap_count == 25
    assert report.gaps[0].missing == 1


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("2025-01-01T06:00:00Z,1,000,110,90,100,1", "line 8: Expected 6 columns, got 7"),
        ('2025-01-01T06:00:00Z,"1,000",110,90,100,1', "line 8, column 'open': '1,000' is not a plain number"),
        ("2025-01-01T06:00:00Z,100,110,90,100,4.96K", "line 8, column 'volume': '4.96K' is not a plain number"),
        ("2025-01-01T06:00:00Z,100,110, 90,100,1", "line 8, column 'low': ' 90' is not a plain number"),
        ("2025-01-01T06:00:00Z,100,110,0x5A,100,1", "line 8, column 'low': '0x5A' is not a plain number"),
        ("2025-01-01T06:00:00Z,100,110,90,,1", "line 8, column 'close': the cell is empty"),
        ("2025-01-01T06:00:00Z,100,110,90,100", "line 8: Expected 6 columns, got 5"),
        ("2025-01-01T06:00:00,100,110,90,100,1", "line 8: '2025-01-01T06:00:00' has no offset"),
        ("01/06/2025 6 am,100,110,90,100,1", "line 8, column 'timestamp': '01/06/2025 6 am' is not an ISO 8601 time"),
        ("2025-13-01T06:00:00Z,100,110,90,100,1", "line 8, column 'timestamp': '2025-13-01T06:00:00Z' is not"),
        ("1735711200,100,110,90,100,1", "line 8, column 'timestamp': '1735711200' is not an ISO 8601 time"),
        ("2025-01-01T06:00:00Z,nan,110,90,100,1", "1 not finite (first: line 8, 2025-01-01T06:00:00+00:00"),
        ("2025-01-01T06:00:00Z,100,inf,90,100,1", "1 not finite (first: line 8"),
        ("2025-01-01T06:00:00Z,100,1e999,90,100,1", "1 not finite (first: line 8"),
        ("2025-01-01T06:00:00Z,100,110,0,100,1", "1 with a price that is not positive (first: line 8"),
        ("2025-01-01T06:00:00Z,100,110,90,100,-1", "1 with negative volume (first: line 8, 2025-01-01T06:00:00+00:00, volume -1)"),
        ("2025-01-01T06:00:00Z,100,104,90,105,1", "1 inconsistent (first: line 8, 2025-01-01T06:00:00+00:00, open 100, high 104, low 90"),
        ("2025-01-01T06:00:00Z,100,110,101,105,1", "1 inconsistent (first: line 8"),
        ("2025-01-01T06:30:00Z,100,110,90,100,1", "1 off the grid of 1h (first: line 8"),
        ("2024-12-01T06:00:00Z,100,110,90,100,1", "1 out of order (first: line 8"),
        ("2025-01-01T05:00:00Z,100,110,90,100,1", "1 duplicate (first: line 8"),
        ("2025-12-31T23:30:00Z,100,110,90,100,1", "1 in the future or still forming (first: line 8"),
        ("2026-01-01T00:00:00Z,100,110,90,100,1", "1 in the future or still forming (first: line 8"),
        ("\n2025-01-01T06:00:00Z,100,110,90,100,1", "line 8, column 'timestamp': '' is not an ISO 8601 time"),
        ("2025-01-01T06:00:00Z,100,11\x000,90,100,1", "line 8 holds a NUL byte"),
    ],
)
def test_a_wrong_row_is_named(refuse: Callable[..., str], row: str, told: str) -> None:
    assert told in refuse(HEADER + "".join(ROWS) + row + "\n")


def test_every_kind_of_fault_is_told_at_once(refuse: Callable[..., str]) -> None:
    told = refuse(HEADER + "".join(ROWS[::-1]) + ROWS[0] + "2025-01-02T00:00:00Z,100,90,110,100,-1\n")

    assert "5 out of order" in told
    assert "1 duplicate" in told
    assert "1 inconsistent" in told
    assert "1 with negative volume" in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (HEADER, "there is a header but no row"),
        (HEADER.rstrip(), "there is a header but no row"),
        ("time,open,high,low,close,volume\n1,1,1,1,1,1\n", "column 1 is named 'time'"),
        ("timestamp,open,high,low,close\n", "column 'volume' is missing"),
        ("timestamp,open,open,high,low,close,volume\n", "column 'open' stands twice"),
        ("timestamp;open;high;low;close;volume\n", "column 1 is named 'timestamp;open;high;low;close;volume'"),
        (",".join(f"c{index}" for index in range(65)), "65 columns are over the limit of 64"),
        ((HEADER + ROWS[0]).encode("utf-16"), "line 1 holds a NUL byte"),
        ("타임,시가\n".encode("cp949"), "line 1 is not UTF-8 text"),
        (b"PK\x03\x04rest", "a zip archive or a spreadsheet"),
        (b"PAR1nonsense", "the Parquet file is damaged"),
        (gzip.compress((HEADER + "".join(ROWS)).encode())[:-12], "the gzip data is damaged or cut off"),
        (b"\x1f\x8bnonsense", "the gzip data is damaged or cut off"),
        (HEADER.encode() + b"2025-01-01T00:00:00Z,1,1,1,1,\xff\n", "line 2"),
    ],
)
def test_what_is_no_candle_file_is_refused(refuse: Callable[..., str], content: str | bytes, told: str) -> None:
    message = refuse(content)

    assert told in message
    assert "\n" not in message


def test_a_zip_bomb_is_refused_before_it_is_unpacked(refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "NUL byte" in refuse(gzip.compress(bytes(50_000_000)))
    assert "line is longer" in refuse(gzip.compress(HEADER.encode() + b"1" * 50_000_000))

    monkeypatch.setattr(files, "MAX_ROWS", 3)
    assert "over 3 rows" in refuse(HEADER + "".join(ROWS))


def test_a_folder_or_nothing_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(BadInput, match="cannot be read"):
            read_file(path, exchange="upbit", symbol="KRW-BTC", now=NOW)


def test_the_interval_is_the_most_common_step(read: Read, refuse: Callable[..., str]) -> None:
    rows = [f"2025-01-01T{minute // 60:02}:{minute % 60:02}:00Z,1,1,1,1,1\n" for minute in (0, 5, 10, 15, 300, 305)]

    assert read(HEADER + "".join(rows)).report.interval == Interval.MINUTE_5
    assert "no two rows are 1h apart, the closest are 5m" in refuse(HEADER + "".join(rows), interval=Interval.HOUR_1)


def test_a_step_that_is_no_interval_is_asked_for(read: Read, refuse: Callable[..., str]) -> None:
    rows = [f"2025-01-01T00:{minute:02}:00Z,1,1,1,1,1\n" for minute in (0, 2, 4, 5)]

    assert "is 0:02:00, which is no interval; give --interval" in refuse(HEADER + "".join(rows))
    assert read(HEADER + "".join(rows), interval=Interval.MINUTE_1).report.missing_count == 2


def test_one_row_needs_the_interval(read: Read, refuse: Callable[..., str]) -> None:
    assert "give --interval" in refuse(HEADER + ROWS[0])
    assert read(HEADER + ROWS[0], interval=Interval.HOUR_1).report.rows == 1


def test_a_big_file_is_read_quickly(read: Read) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    prices = np.round(100 + np.random.default_rng(1).random(38_000), 4)
    rows = [f"{start + timedelta(hours=hour):%Y-%m-%dT%H:00:00Z},{price},102,99,{price},1.5\n" for hour, price in enumerate(prices)]
    content = HEADER + "".join(rows)

    started = perf_counter()
    read(content)

    assert perf_counter() - started < 2  # about 0.05 s; slow only when a loop has crept in


DATA = Path(os.environ.get("DGBOT_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))


@pytest.mark.recorded
@pytest.mark.skipif(not DATA.is_dir(), reason="recorded files are not on this machine")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("AVAX_KRW_1h_header_only.csv", "there is a header but no row"),
        ("BTCUSDT_5m_two_writers.csv", "column 1 is named 'Open time'"),
        ("BTC_KRW Upbit 과거 데이터.csv", "column 1 is named '날짜'"),
        ("KRW-BTC_minute30_korean_header.csv", "column 2 is named '코인명'"),
        ("MOC_minute1_gaps_kst.csv", "column 7 is named 'range'"),
    ],
)
def test_recorded_foreign_files_are_refused_by_name(name: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_file(DATA / "dirty" / name, exchange="upbit", symbol="KRW-BTC", now=NOW)


@pytest.mark.recorded
@pytest.mark.skipif(not DATA.is_dir(), reason="recorded files are not on this machine")
def test_a_recorded_pyupbit_file_is_read() -> None:
    report = read_file(DATA / "dirty" / "KRWBTC_pyupbit_default.csv", exchange="upbit", symbol="KRW-BTC", now=NOW).report

    assert (report.form, report.rows, report.interval) == ("pyupbit", 200, Interval.DAY_1)
    assert report.first_opened_at == datetime(2022, 10, 12, tzinfo=UTC)
