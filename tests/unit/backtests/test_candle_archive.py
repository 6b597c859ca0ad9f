from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtests.candles import archive
from backtests.candles.series import COLUMNS, Candles
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from tests.candle_factory import random_candles


def load(root: Path, symbol: str = "KRW-BTC") -> Candles:
    return archive.load(root, "upbit", symbol, Interval.HOUR_1)


def part(candles: Candles, start: int, stop: int, **changed: np.ndarray) -> Candles:
    columns = {name: getattr(candles, name)[start:stop] for name in COLUMNS} | changed
    return replace(candles, **columns, chain=None)


def equal(left: Candles, right: Candles) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in COLUMNS)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    candles = random_candles(100)

    archive.save(candles, tmp_path)

    assert equal(load(tmp_path), candles)
    assert load(tmp_path).hash_at(100) == candles.hash_at(100)


def test_a_loaded_series_is_read_only(tmp_path: Path) -> None:
    archive.save(random_candles(10), tmp_path)

    with pytest.raises(ValueError, match="read-only"):
        load(tmp_path).close[0] = 1.0


def test_an_empty_series_can_be_kept(tmp_path: Path) -> None:
    archive.save(part(random_candles(10), 0, 0), tmp_path)

    assert len(load(tmp_path)) == 0


def test_a_symbol_with_slash_and_colon_gets_a_safe_name(tmp_path: Path) -> None:
    candles = replace(random_candles(5), symbol="ETH/USDT:USDT", chain=None)

    path = archive.save(candles, tmp_path)

    assert path == tmp_path / "upbit" / "ETH%2FUSDT%3AUSDT_1h.parquet"
    assert load(tmp_path, "ETH/USDT:USDT").symbol == "ETH/USDT:USDT"


@pytest.mark.parametrize(("exchange", "symbol"), [("..", "KRW-BTC"), ("a/b", "KRW-BTC"), ("upbit", ""), ("upbit", "A B"), ("upbit", "\n")])
def test_names_that_could_leave_the_root_are_refused(exchange: str, symbol: str) -> None:
    with pytest.raises(BadInput):
        archive.relative_path(exchange, symbol, Interval.HOUR_1)


def test_a_series_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no 1h candles of KRW-XRP at upbit"):
        load(tmp_path, "KRW-XRP")


def test_a_missing_or_torn_hot_copy_is_made_again(tmp_path: Path) -> None:
    candles = random_candles(50)
    hot = archive.save(candles, tmp_path).with_suffix(".arrow")

    hot.write_bytes(hot.read_bytes()[:100])
    assert equal(load(tmp_path), candles)

    hot.unlink()
    assert equal(load(tmp_path), candles)
    assert hot.exists()


def test_a_crash_between_the_two_renames_leaves_the_new_series(tmp_path: Path) -> None:
    old, new = random_candles(50), random_candles(60)
    path = archive.save(new, tmp_path)
    new_parquet = path.read_bytes()
    archive.save(old, tmp_path)

    path.write_bytes(new_parquet)  # the hot copy is still the old one

    assert equal(load(tmp_path), new)


def test_a_crash_while_writing_leaves_the_old_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = random_candles(50)
    archive.save(old, tmp_path)

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OSError, match="No space left"):
        archive.save(random_candles(60), tmp_path)
    monkeypatch.undo()

    assert equal(load(tmp_path), old)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_damaged_store_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = archive.save(random_candles(50), tmp_path)

    path.write_bytes(b"PAR1 nonsense")

    with pytest.raises(BadInput, match="restore it from a backup"):
        load(tmp_path)


def test_a_reader_keeps_the_series_it_has_mapped(tmp_path: Path) -> None:
    archive.save(random_candles(50), tmp_path)
    mapped = load(tmp_path)

    archive.save(random_candles(60, seed=2), tmp_path)

    assert equal(mapped, random_candles(50))


def test_merging_adds_before_between_and_after(tmp_path: Path) -> None:
    whole = random_candles(30)
    archive.merge(part(whole, 10, 20), tmp_path)
    archive.merge(part(whole, 25, 30), tmp_path)

    merged = archive.merge(whole, tmp_path)

    assert (merged.added, merged.replaced, merged.unchanged) == (15, 0, 15)
    assert equal(load(tmp_path), whole)


def test_merging_other_values_is_refused_with_the_first_such_time(tmp_path: Path) -> None:
    whole = random_candles(30)
    archive.save(whole, tmp_path)
    volume = whole.volume.copy()
    volume[[7, 9]] += 1

    with pytest.raises(BadInput, match=r"2 of 30 candles .* first opened at 2026-01-01T07:00:00\+00:00; import with --replace"):
        archive.merge(part(whole, 0, 30, volume=volume), tmp_path)

    assert equal(load(tmp_path), whole)


def test_merging_other_values_with_replace_takes_them(tmp_path: Path) -> None:
    whole = random_candles(30)
    archive.save(whole, tmp_path)
    volume = whole.volume.copy()
    volume[7] += 1

    merged = archive.merge(part(whole, 5, 30, volume=volume[5:]), tmp_path, conflict=archive.Conflict.REPLACE)

    assert (merged.added, merged.replaced, merged.unchanged) == (0, 1, 24)
    assert load(tmp_path).volume[7] == volume[7]


def test_the_content_hash_tells_one_changed_digit(tmp_path: Path) -> None:
    candles = random_candles(30)
    changed = part(candles, 0, 30, volume=np.nextafter(candles.volume, np.inf))

    assert archive.content_sha256(candles) == archive.content_sha256(random_candles(30))
    assert archive.content_sha256(candles) != archive.content_sha256(changed)
