from datetime import timedelta
from hashlib import sha256
from struct import pack
from time import perf_counter

import numpy as np
import pytest

from backtests.candles.gaps import Gap, count_missing, find_gaps
from backtests.candles.series import COLUMNS, Candles
from dgbot.core.interval import Interval
from tests.candle_factory import START, make_candles, random_candles

HOUR = timedelta(hours=1)


def test_a_candle_is_known_from_its_close_on() -> None:
    candles = make_candles([100, 101, 102])

    assert len(candles.closed_at(START + HOUR - timedelta(microseconds=1))) == 0
    assert len(candles.closed_at(START + HOUR)) == 1
    assert len(candles.closed_at(START + 10 * HOUR)) == 3


def test_a_prefix_is_a_view_and_cannot_be_written_to() -> None:
    candles = random_candles(100)

    prefix = candles.closed_at(START + 40 * HOUR)

    assert np.shares_memory(prefix.close, candles.close)
    with pytest.raises(ValueError, match="read-only"):
        prefix.close[0] = 1.0


def test_the_callers_own_array_stays_writable() -> None:
    closes = np.array([1.0, 2.0])

    make_candles(closes)

    closes[0] = 3.0


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_of_another_type_or_length_is_refused(column: str) -> None:
    columns = {name: np.zeros(3, dtype=np.int64 if name == "open_time" else np.float64) for name in COLUMNS}

    columns[column] = columns[column].astype(np.int32)

    with pytest.raises(ValueError, match=column):
        Candles(exchange="upbit", symbol="KRW-BTC", interval=Interval.HOUR_1, **columns)


def test_hash_follows_the_written_rule() -> None:
    candles = random_candles(3)

    digest = sha256(f"dgbot candles 1\nupbit\nKRW-BTC\n1h\n{candles.open_time[0]}\n".encode()).digest()
    expected = [digest.hex()]
    for index in range(3):
        digest = sha256(digest + pack("<q5d", *(getattr(candles, name)[index] for name in COLUMNS))).digest()
        expected.append(digest.hex())

    assert [candles.hash_at(count) for count in range(4)] == expected
    assert [row.tobytes().hex() for row in candles.hash_chain()] == expected


def test_a_prefix_hashes_like_the_series_and_like_a_fresh_load() -> None:
    candles = random_candles(50)

    prefix = candles.closed_at(START + 20 * HOUR)

    assert prefix.hash_at(20) == candles.hash_at(20) == random_candles(50).prefix(20).hash_at(20)
    assert prefix.chain is candles.chain


@pytest.mark.parametrize("column", COLUMNS[1:])
def test_one_changed_value_changes_every_later_hash(column: str) -> None:
    candles = random_candles(10)
    columns = {name: getattr(candles, name).copy() for name in COLUMNS}
    columns[column][5] = np.nextafter(columns[column][5], np.inf)

    changed = Candles(exchange="upbit", symbol="KRW-BTC", interval=Interval.HOUR_1, **columns)

    assert changed.hash_at(5) == candles.hash_at(5)
    assert all(changed.hash_at(count) != candles.hash_at(count) for count in range(6, 11))


def test_another_anchor_gives_another_hash() -> None:
    candles = random_candles(10)

    anchored = candles.from_anchor(START + 3 * HOUR)

    assert len(anchored) == 7
    assert anchored.first_opened_at == START + 3 * HOUR
    assert anchored.hash_at(0) != candles.hash_at(0)
    assert candles.from_anchor(START) is candles


def test_an_anchor_without_candle_is_refused() -> None:
    with pytest.raises(ValueError, match="no candle opened at the anchor"):
        random_candles(10).from_anchor(START + timedelta(minutes=30))


def test_growing_prefixes_cost_no_more_than_one_chain() -> None:
    candles = random_candles(35_000)

    started = perf_counter()
    for count in range(0, 35_001, 5):
        candles.prefix(count).hash_at(count)

    assert perf_counter() - started < 2  # 35,000 digests take about 0.03 s, computed per slice they take minutes


def test_a_candle_reads_as_decimals() -> None:
    candle = make_candles([100.5, 58.9], volume=[1, 0.1]).candle(1)

    assert (str(candle.open), str(candle.close), str(candle.volume)) == ("100.5", "58.9", "0.1")
    assert candle.opened_at == START + HOUR


def test_opened_within_takes_the_start_and_leaves_the_end() -> None:
    part = random_candles(10).opened_within(START + 2 * HOUR, START + 5 * HOUR)

    assert (part.first_opened_at, part.last_opened_at) == (START + 2 * HOUR, START + 4 * HOUR)


def test_gaps_are_told_with_their_missing_candles() -> None:
    candles = random_candles(10)
    open_time = np.delete(candles.open_time, [3, 4, 7])

    gaps = find_gaps(open_time, interval=Interval.HOUR_1)

    assert gaps == (
        Gap(after=START + 2 * HOUR, before=START + 5 * HOUR, missing=2),
        Gap(after=START + 6 * HOUR, before=START + 8 * HOUR, missing=1),
    )
    assert count_missing(gaps) == 3
