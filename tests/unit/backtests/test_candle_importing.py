import gzip
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from time import perf_counter
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pandas as pd
import pytest

from backtests.candles import files
from backtests.candles.importing import Imported, ImportOptions, read_file
from backtests.candles.tidying import Note, Reason
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
        said = ImportOptions(**options) if options else None
        return read_file(path, exchange="upbit", symbol="KRW-BTC", now=NOW, options=said)

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
        (HEADER + "".join(ROWS)).replace(",90,", ", 90 ,"),
        "timestamp,open,high,low,close,volume,value\n" + "".join(row.replace("\n", ",7\n") for row in ROWS),
        gzip.compress((HEADER + "".join(ROWS)).encode()),
    ],
    ids=["byte order mark", "CRLF", "no last newline", "blank lines at the end", "offset", "spaces", "value", "gzip"],
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

    assert "column 'timestamp' holds numbers (row 1: 0) whose unit the file does not say; say it with --time-unit" in refuse(
        (tmp_path / "written").read_bytes()
    )


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
        (
            '2025-01-01T06:00:00Z,"1,000",110,90,100,1',
            "line 8, column 'open': whether the comma of '1,000' separates thousands cannot be told",
        ),
        ('2025-01-01T06:00:00Z,"1,00",110,90,100,1', "line 8, column 'open': '1,00' is not a number"),
        ("2025-01-01T06:00:00Z,100,110,90,100,4.96X", "line 8, column 'volume': '4.96X' is not a number"),
        ("2025-01-01T06:00:00Z,100,110,0x5A,100,1", "line 8, column 'low': '0x5A' is not a number"),
        ("2025-01-01T06:00:00Z,100,110,90,,1", "line 8, column 'close': the cell is empty"),
        ("2025-01-01T06:00:00Z,100,110,90,100", "line 8: Expected 6 columns, got 5"),
        ("2025-01-01T06:00:00,100,110,90,100,1", "line 8: '2025-01-01T06:00:00' has no offset"),
        ("01/06/2025 6 am,100,110,90,100,1", "line 8, column 'timestamp': '01/06/2025 6 am' is not an ISO 8601 time"),
        ("2025-13-01T06:00:00Z,100,110,90,100,1", "line 8, column 'timestamp': '2025-13-01T06:00:00Z' is not"),
        ("1735711200,100,110,90,100,1", "line 8, column 'timestamp': '1735711200' is not an ISO 8601 time"),
        ("01/02/2025,100,110,90,100,1", "line 8, column 'timestamp': '01/02/2025' is not an ISO 8601 time"),
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
        ("2026-01-01T01:00:00Z,100,110,90,100,1", "1 in the future or still forming (first: line 8"),
        ("\n2025-01-01T06:00:00Z,100,110,90,100,1", "line 8, column 'timestamp': '' is not an ISO 8601 time"),
        ("2025-01-01T06:00:00Z,100,11\x000,90,100,1", "line 8 holds a NUL byte"),
    ],
)
def test_a_wrong_row_is_named(refuse: Callable[..., str], row: str, told: str) -> None:
    assert told in refuse(HEADER + "".join(ROWS) + row + "\n")


def test_every_kind_of_fault_is_told_at_once(refuse: Callable[..., str]) -> None:
    told = refuse(HEADER + "".join(ROWS[::-1]) + ROWS[3] + "2025-01-02T00:00:00Z,100,90,110,100,-1\n")

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
        ("stamp,open,high,low,close,volume\n1,1,1,1,1,1\n", "column 'timestamp' is missing"),
        ("timestamp,open,high,low,close\n", "column 'volume' is missing"),
        ("timestamp,open,open,high,low,close,volume\n", "column 'open' stands twice"),
        ("timestamp|open|high|low|close|volume\n", "column 'timestamp' is missing"),
        (",".join(f"c{index}" for index in range(65)), "65 columns are over the limit of 64"),
        ((HEADER + ROWS[0]).encode("utf-16"), "line 1 holds a NUL byte"),
        ("타임,시가\n".encode("cp949"), "line 1 is not UTF-8 text; say --encoding cp949"),
        (b"PK\x03\x04rest", "the zip archive is damaged"),
        (b"PAR1nonsense", "the Parquet file is damaged"),
        (gzip.compress((HEADER + "".join(ROWS)).encode())[:-12], "the packed data is damaged or cut off"),
        (b"\x1f\x8bnonsense", "the packed data is damaged or cut off"),
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


KOREAN = "날짜,종가,시가,고가,저가,거래량,변동 %\n"


def test_a_vendors_korean_form_is_read(read: Read, refuse: Callable[..., str]) -> None:
    rows = [f'"2021- 12- {day}","56,762,00{day % 10}","57,195,000","58,812,000","56,236,000","4.96K","-0.82%"\n' for day in (12, 11, 10, 9)]
    content = "\ufeff" + KOREAN + "".join(rows).rstrip("\n")

    assert "--timezone UTC or --timezone Asia/Seoul" in refuse(content)

    imported = read(content, timezone="UTC")
    assert imported.candles.close.tolist() == [56_762_009, 56_762_000, 56_762_001, 56_762_002]
    assert imported.candles.volume.tolist() == [4960.0] * 4
    assert imported.candles.first_opened_at == datetime(2021, 12, 9, tzinfo=UTC)
    assert imported.report.notes == (Note.NEWEST_FIRST, Note.SHORTENED)
    assert imported.report.ignored_columns == ("변동 %",)


def test_the_header_may_name_the_zone_and_misspell_the_close(read: Read, refuse: Callable[..., str]) -> None:
    header = ",코인명,캔들기준시간(KST 기준),시가,고가,저가,중가,누적거래금액,누적거래량\n"
    rows = "".join(f"{2 - hour},비트코인,2021-05-11T1{hour}:00:00,100,110,90,10{hour},5.0,1.5\n" for hour in (2, 1, 0))

    imported = read(header + rows)

    assert imported.candles.first_opened_at == datetime(2021, 5, 11, 1, tzinfo=UTC)
    assert imported.candles.close.tolist() == [100, 101, 102]
    assert imported.report.timezone == "Asia/Seoul, by the header"
    assert "says Asia/Seoul, --timezone says UTC" in refuse(header + rows, timezone="UTC")


def test_upbits_own_answer_is_read_by_its_candle_time(read: Read) -> None:
    header = (
        "market,candle_date_time_utc,candle_date_time_kst,opening_price,high_price,low_price,trade_price,timestamp,"
        "candle_acc_trade_price,candle_acc_trade_volume,unit\n"
    )
    rows = "".join(f"KRW-BTC,2025-01-01T0{h}:00:00,2025-01-01T{h + 9:02}:00:00,1,3,1,2,173571{h},9,4,60\n" for h in (1, 0))

    imported = read(header + rows)

    assert imported.candles.first_opened_at == datetime(2025, 1, 1, tzinfo=UTC)
    assert (imported.report.form, imported.report.timezone) == ("upbit api", "UTC, by the header")


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000), ("us", 1_000_000)])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_numeric_stamps_need_their_unit(read: Read, tmp_path: Path, unit: str, factor: int, form: str) -> None:
    start = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
    table = frame().drop(columns="value").assign(timestamp=[(start + 3600 * hour) * factor for hour in range(6)])
    getattr(table, f"to_{form}")(tmp_path / "written", index=False)
    content = (tmp_path / "written").read_bytes()

    with pytest.raises(BadInput, match="--time-unit: s, ms, us, ns"):
        read(content)
    assert read(content, time_unit=unit).candles.first_opened_at == datetime(2025, 1, 1, tzinfo=UTC)


def test_a_wrong_unit_is_refused(read: Read) -> None:
    rows = "".join(f"{1_735_689_600_000 + 3_600_000 * hour},100,110,90,100,1\n" for hour in range(6))

    with pytest.raises(BadInput, match="as s since 1970 the timestamps lie outside"):
        read(HEADER + rows, time_unit="s")


def test_a_comma_is_read_when_told_what_it_means(read: Read, refuse: Callable[..., str]) -> None:
    rows = [row.replace("100,110,90,10", '"1,000","1,100",900,"1,00').replace(",1.5", '",1.5') for row in ROWS]

    assert "--thousands comma" in refuse(HEADER + "".join(rows))
    assert "is not a number" in refuse(HEADER + "".join(rows), thousands="none")
    assert read(HEADER + "".join(rows), thousands="comma").candles.open.tolist() == [1000] * 6


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_are_read(read: Read, delimiter: str) -> None:
    assert read((HEADER + "".join(ROWS)).replace(",", delimiter)).report.rows == 6


def test_korean_spreadsheet_text_is_read_when_told(read: Read, refuse: Callable[..., str]) -> None:
    content = (KOREAN + '"2021/12/9",1,1,1,1,1,0\n"2021/12/10",1,1,1,1,1,0\n').encode("cp949")

    assert "--encoding cp949" in refuse(content)
    assert read(content, encoding="cp949", timezone="UTC").report.rows == 2


def test_dates_of_vendors_are_read(read: Read) -> None:
    for first, second in (("2021/1/9", "2021/1/10"), ("2021.01.09", "2021.01.10"), ("2021년 1월 9일", "2021년 1월 10일")):
        imported = read(KOREAN + f"{first},1,1,1,1,1,0\n{second},1,1,1,1,1,0\n", timezone="UTC")
        assert imported.candles.first_opened_at == datetime(2021, 1, 9, tzinfo=UTC)


def test_a_zip_of_one_file_is_read(read: Read, refuse: Callable[..., str]) -> None:
    def packed(*names: str) -> bytes:
        buffer = BytesIO()
        with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, HEADER + "".join(ROWS))
        return buffer.getvalue()

    assert read(packed("candles.csv")).report.rows == 6
    assert "holds 2 files" in refuse(packed("a.csv", "b.csv"))
    assert "this is a spreadsheet" in refuse(packed("[Content_Types].xml", "xl/workbook.xml"))


def test_unused_columns_are_named_and_may_be_empty(read: Read) -> None:
    rows = "".join(row.replace("\n", ",,x\n") for row in ROWS)

    report = read("timestamp,open,high,low,close,volume,range,writer\n" + rows).report

    assert (report.rows, report.ignored_columns) == (6, ("range", "writer"))


def test_certain_rubbish_is_left_out_and_told(read: Read) -> None:
    forming = "2026-01-01T00:00:00Z,100,110,90,100,1\n"

    report = read(HEADER + "".join(ROWS) + ROWS[-1] + forming).report

    assert report.rows == 6
    assert [(dropped.reason, dropped.count) for dropped in report.dropped] == [(Reason.REPEATED, 1), (Reason.FORMING, 1)]


def test_the_newest_candle_is_left_out_when_asked(read: Read) -> None:
    small = [*ROWS[:-1], "2025-01-01T05:00:00Z,100,110,90,105,0.2\n"]

    assert read(HEADER + "".join(small)).report.notes == (Note.NEWEST_IS_SMALL,)
    report = read(HEADER + "".join(small), drop_newest=True).report
    assert (report.rows, report.notes, report.dropped[0].reason) == (5, (), Reason.NEWEST)


DATA = Path(os.environ.get("DGBOT_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))


@pytest.mark.recorded
@pytest.mark.skipif(not DATA.is_dir(), reason="recorded files are not on this machine")
@pytest.mark.parametrize(
    ("name", "options", "rows", "interval", "first"),
    [
        ("BTCUSDT_5m_two_writers.csv", {"timezone": "UTC"}, 9118, "5m", "2025-08-19T15:10:00+00:00"),
        ("BTC_KRW Upbit 과거 데이터.csv", {"timezone": "UTC"}, 731, "1d", "2020-01-01T00:00:00+00:00"),
        ("KRW-BTC_minute30_korean_header.csv", {}, 30, "30m", "2021-05-10T13:30:00+00:00"),
        ("MOC_minute1_gaps_kst.csv", {"timezone": "Asia/Seoul"}, 200, "1m", "2021-03-01T19:38:00+00:00"),
        ("KRWBTC_pyupbit_default.csv", {}, 200, "1d", "2022-10-12T00:00:00+00:00"),
    ],
)
def test_recorded_foreign_files_are_read(name: str, options: dict[str, str], rows: int, interval: str, first: str) -> None:
    said = ImportOptions(**options)
    report = read_file(DATA / "dirty" / name, exchange="upbit", symbol="KRW-BTC", now=NOW, options=said).report

    assert (report.rows, report.interval, report.first_opened_at.isoformat()) == (rows, interval, first)


@pytest.mark.recorded
@pytest.mark.skipif(not DATA.is_dir(), reason="recorded files are not on this machine")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("AVAX_KRW_1h_header_only.csv", "there is a header but no row"),
        ("BTCUSDT_5m_two_writers.csv", "have no time zone"),
        ("BTC_KRW Upbit 과거 데이터.csv", "have no time zone"),
        ("MOC_minute1_gaps_kst.csv", "have no time zone"),
    ],
)
def test_what_recorded_files_do_not_say_is_asked_for(name: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_file(DATA / "dirty" / name, exchange="upbit", symbol="KRW-BTC", now=NOW)


@pytest.mark.recorded
@pytest.mark.skipif(not DATA.is_dir(), reason="recorded files are not on this machine")
def test_recorded_gaps_and_values_are_told() -> None:
    def read(name: str, **options: str) -> Imported:
        return read_file(DATA / "dirty" / name, exchange="upbit", symbol="X", now=NOW, options=ImportOptions(**options))

    sparse = read("MOC_minute1_gaps_kst.csv", timezone="Asia/Seoul").report
    assert (sparse.gap_count, sparse.missing_count, sparse.ignored_columns) == (32, 62, ("range", "range_shift1", "target"))
    assert read("BTCUSDT_5m_two_writers.csv", timezone="UTC").report.gap_count == 1
    vendor = read("BTC_KRW Upbit 과거 데이터.csv", timezone="UTC")
    assert (vendor.candles.close[-1], vendor.candles.open[-1], vendor.candles.volume[-1]) == (56_762_000, 57_195_000, 4960)
    assert set(vendor.report.notes) >= {Note.NEWEST_FIRST, Note.SHORTENED}
    typo = read("KRW-BTC_minute30_korean_header.csv")
    assert (typo.candles.close[-1], typo.candles.volume[-1], typo.report.timezone) == (69_779_000, 45.11640435, "Asia/Seoul, by the header")
    assert Note.NEWEST_IS_SMALL in typo.report.notes
