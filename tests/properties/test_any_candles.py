"""What holds for any candles: spans and gaps as counted slot by slot, grouping as done by hand, downloads however interrupted."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtests.candles import archive, windows
from backtests.candles.archive import Conflict
from backtests.candles.downloading import Wanted, download
from backtests.candles.exporting import write_csv
from backtests.candles.gaps import find_gaps
from backtests.candles.importing import ImportOptions, read_file
from backtests.candles.resampling import resample
from backtests.candles.series import COLUMNS, Candles
from backtests.candles.spans import covered_before, holds, slots_of, spans_of, united, without
from dgbot.core.clock import from_nanoseconds, to_nanoseconds
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.interval import Interval
from dgbot.core.types import Candle
from tests.candle_factory import START, random_candles
from tests.scale import scale

STEP = Interval.HOUR_1.nanoseconds
ZERO = to_nanoseconds(START)
MANY = settings(max_examples=scale(sample=60, full=2000), deadline=None)
FEW = settings(max_examples=scale(sample=25, full=500), deadline=None)

slots = st.integers(0, 40)
pairs = st.lists(st.tuples(slots, slots), max_size=8)
masks = st.lists(st.booleans(), min_size=1, max_size=120)


def as_set(spans: np.ndarray) -> set[int]:
    return {slot for start, end in spans.tolist() for slot in range(start, end)}


def thinned(mask: Sequence[bool], *, seed: int = 1, interval: Interval = Interval.HOUR_1) -> Candles:
    """Random candles of which only those marked exist."""
    whole = random_candles(len(mask), seed=seed)
    times = ZERO + np.arange(len(mask), dtype=np.int64) * interval.nanoseconds
    kept = np.array(mask, dtype=bool)
    columns = {name: getattr(whole, name)[kept] for name in COLUMNS[1:]}
    return replace(whole, open_time=times[kept], interval=interval, chain=None, **columns)


def equal(left: Candles, right: Candles) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in COLUMNS)


@MANY
@given(left=pairs, right=pairs)
def test_spans_are_sets_of_instants(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    one, two = spans_of(left), spans_of(right)
    everywhere = np.arange(-2, 45)

    assert as_set(one) == {slot for start, end in left for slot in range(start, end)}
    assert np.all(one[1:, 0] > one[:-1, 1])
    assert as_set(united(one, two)) == as_set(one) | as_set(two)
    assert as_set(without(one, two)) == as_set(one) - as_set(two)
    assert set(everywhere[holds(one, everywhere)].tolist()) == as_set(one)
    assert covered_before(one, everywhere).tolist() == [len([slot for slot in as_set(one) if slot < at]) for at in everywhere]


@MANY
@given(mask=masks, told=pairs)
def test_gaps_are_as_counted_slot_by_slot(mask: list[bool], told: list[tuple[int, int]]) -> None:
    there = [slot for slot, exists in enumerate(mask) if exists]
    confirmed = {slot for start, end in told for slot in range(start, end)}
    naive = [
        (before, after, after - before - 1, len([slot for slot in range(before + 1, after) if slot in confirmed]))
        for before, after in itertools.pairwise(there)
        if after - before > 1
    ]

    found = find_gaps(
        ZERO + np.array(there, dtype=np.int64) * STEP,
        interval=Interval.HOUR_1,
        confirmed=spans_of(np.array(told).reshape(-1, 2) * STEP + ZERO),
    )

    assert [
        ((gap.after - START) // timedelta(hours=1), (gap.before - START) // timedelta(hours=1), gap.missing, gap.confirmed) for gap in found
    ] == naive


@MANY
@given(mask=masks, told=pairs, start=slots, length=st.integers(-3, 90), page=st.integers(1, 30))
def test_a_plan_asks_for_every_missing_slot_and_for_no_page_too_much(
    mask: list[bool], told: list[tuple[int, int]], start: int, length: int, page: int
) -> None:
    there = {slot for slot, exists in enumerate(mask) if exists}
    confirmed = {slot for begin, end in told for slot in range(begin, end)}
    missing = set(range(start, start + length)) - there - confirmed

    planned = windows.plan(
        ZERO + np.array(sorted(there), dtype=np.int64) * STEP,
        interval=Interval.HOUR_1,
        start=START + timedelta(hours=start, minutes=-5),
        end=START + timedelta(hours=start + length, minutes=5),
        page=page,
        confirmed=spans_of(np.array(told).reshape(-1, 2) * STEP + ZERO),
    )

    asked = [((window.start - START) // timedelta(hours=1), (window.end - START) // timedelta(hours=1)) for window in planned]
    assert all(0 < end - begin <= page for begin, end in asked)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(asked))
    assert missing <= {slot for begin, end in asked for slot in range(begin, end)}
    assert all(begin in missing and end - 1 in missing for begin, end in asked)
    fewest, rest = 0, sorted(missing)
    while rest:
        rest, fewest = [slot for slot in rest if slot >= rest[0] + page], fewest + 1
    assert len(planned) == fewest


@MANY
@given(
    mask=st.lists(st.booleans(), min_size=1, max_size=200),
    told=pairs,
    until=st.integers(0, 210),
    lenient=st.booleans(),
    interval=st.sampled_from([Interval.MINUTE_3, Interval.MINUTE_5, Interval.MINUTE_15, Interval.HOUR_1]),
)
def test_grouping_is_as_done_by_hand(mask: list[bool], told: list[tuple[int, int]], until: int, lenient: bool, interval: Interval) -> None:
    minute = Interval.MINUTE_1.nanoseconds
    candles = thinned(mask, interval=Interval.MINUTE_1)
    confirmed = {slot for start, end in told for slot in range(start, end)}
    size = interval.seconds // 60
    rows, left_out = [], []
    for bucket in range(0, len(mask), size):
        there = [index for index, at in enumerate(candles.open_time.tolist()) if bucket <= (at - ZERO) // minute < bucket + size]
        slots_there = {(int(candles.open_time[index]) - ZERO) // minute for index in there}
        if not there or bucket + size > until:
            continue
        is_whole = not set(range(bucket, bucket + size)) - slots_there - confirmed
        if not is_whole:
            left_out.append(START + timedelta(minutes=bucket))
        if is_whole or lenient:
            rows.append(
                (
                    ZERO + bucket * minute,
                    candles.open[there[0]],
                    max(candles.high[there]),
                    min(candles.low[there]),
                    candles.close[there[-1]],
                    sum(candles.volume[there].tolist()),
                )
            )

    made = resample(
        candles,
        interval,
        until=START + timedelta(minutes=until),
        confirmed=spans_of(np.array(told).reshape(-1, 2) * minute + ZERO),
        lenient=lenient,
    )

    assert list(made.left_out) == left_out
    assert made.candles.interval == interval
    for place, name in enumerate(COLUMNS[:5]):
        assert getattr(made.candles, name).tolist() == [row[place] for row in rows]
    assert made.candles.volume.tolist() == pytest.approx([row[5] for row in rows], rel=1e-12)


def test_only_multiples_can_be_grouped() -> None:
    with pytest.raises(BadInput, match="choose a multiple of 10m"):
        resample(thinned([True], interval=Interval.MINUTE_10), Interval.MINUTE_15, until=START)


@FEW
@given(mask=masks, seed=st.integers(0, 1000), name=st.sampled_from(["candles.csv", "candles.csv.gz"]))
def test_what_is_written_and_imported_is_the_same_series(mask: list[bool], seed: int, name: str) -> None:
    candles = thinned([*mask, True], seed=seed)

    with TemporaryDirectory() as folder:
        write_csv(candles, Path(folder) / name)
        said = ImportOptions(interval=Interval.HOUR_1)
        try:
            read = read_file(
                Path(folder) / name,
                exchange="upbit",
                symbol="KRW-BTC",
                now=datetime.fromisoformat("2030-01-01T00:00:00+00:00"),
                options=said,
            )
        except BadInput as error:
            assert "no two rows are 1h apart" in str(error)
            return
        archive.save(read.candles, Path(folder))
        loaded = archive.load(Path(folder), "upbit", "KRW-BTC", Interval.HOUR_1)

    assert loaded.hash_at(len(loaded)) == candles.hash_at(len(candles))


@FEW
@given(stored=masks, came=masks, changed=st.sets(st.integers(0, 119)), conflict=st.sampled_from(list(Conflict)))
def test_a_stored_candle_changes_only_when_told_and_then_with_a_record(
    stored: list[bool], came: list[bool], changed: set[int], conflict: Conflict
) -> None:
    old, new = thinned([*stored, True]), thinned([*came, True])
    volume = np.where(np.isin((new.open_time - ZERO) // STEP, list(changed)), new.volume + 1, new.volume)
    new = replace(new, volume=volume, chain=None)
    both = np.intersect1d(old.open_time, new.open_time)
    before = dict(zip(old.open_time.tolist(), old.volume.tolist(), strict=True))
    after = dict(zip(new.open_time.tolist(), new.volume.tolist(), strict=True))
    differing = sorted(at for at in both.tolist() if before[at] != after[at])

    with TemporaryDirectory() as folder:
        root = Path(folder)
        archive.save(old, root)
        if differing and conflict is Conflict.REFUSE:
            with pytest.raises(BadInput, match="differ from the archive's"):
                archive.merge(new, root, conflict=conflict)
            assert equal(archive.load(root, "upbit", "KRW-BTC", Interval.HOUR_1), old)
            return
        merged = archive.merge(new, root, conflict=conflict)
        loaded = archive.load(root, "upbit", "KRW-BTC", Interval.HOUR_1)
        records = archive.read_correction(root, merged.correction) if merged.correction else None

    expected = (after | before) if conflict is Conflict.KEEP else (before | after)
    assert dict(zip(loaded.open_time.tolist(), loaded.volume.tolist(), strict=True)) == expected
    assert np.all(np.diff(loaded.open_time) > 0)
    assert (merged.replaced, merged.differing) == ((0, len(differing)) if conflict is Conflict.KEEP else (len(differing), 0))
    if conflict is Conflict.REPLACE and differing:
        assert records is not None
        assert records["open_time"].to_pylist() == differing
        assert records["volume_before"].to_pylist() == [before[at] for at in differing]
        assert records["volume_after"].to_pylist() == [after[at] for at in differing]
    else:
        assert records is None


@dataclass
class PretendedSource:
    """An exchange that has only the candles somebody traded in, and breaks when told."""

    candles_there: Candles
    fails_at: set[int] = field(default_factory=set)  # numbers of the questions that are not answered
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    def candles(self, symbol: str, interval: Interval, *, start: datetime, end: datetime) -> Sequence[Candle]:
        self.asked.append((start, end))
        if len(self.asked) - 1 in self.fails_at:
            raise ExchangeUnavailable("no answer")
        return list(self.candles_there.opened_within(start, end))


interruptions = st.lists(
    st.tuples(st.integers(1, 130), st.sampled_from(["fails", "stops", "dies", "ends"]), st.integers(0, 6), st.integers(1, 40)), max_size=6
)


@FEW
@given(mask=st.lists(st.booleans(), min_size=1, max_size=130), runs=interruptions, imported=st.sets(st.integers(0, 129), max_size=20))
def test_a_download_however_interrupted_ends_with_the_same_series(
    mask: list[bool], runs: list[tuple[int, str, int, int]], imported: set[int]
) -> None:
    there = thinned([*mask, True])
    end = START + timedelta(hours=len(mask) + 1)
    now = end + timedelta(days=1)
    whole = Wanted(exchange="upbit", symbol="KRW-BTC", interval=Interval.HOUR_1, start=START, end=end)

    with TemporaryDirectory() as folder:
        root = Path(folder)
        some = np.isin((there.open_time - ZERO) // STEP, list(imported))
        if some.any():
            archive.save(replace(there, **{name: getattr(there, name)[some] for name in COLUMNS}, chain=None), root)
        for hours, kind, at, page in runs:
            part = replace(whole, end=min(end, START + timedelta(hours=hours)))
            source = PretendedSource(there, fails_at={at} if kind == "fails" else set())
            # A process that dies has stored what `store_every` let it store, which a stop right behind it shows, too.
            must_stop = (lambda source=source, at=at: len(source.asked) > at) if kind in ("stops", "dies") else (lambda: False)
            try:
                download(source, part, root=root, now=now, page=page, store_every=at + 1, must_stop=must_stop)
            except ExchangeUnavailable:
                assert kind == "fails"
        last = PretendedSource(there)
        done = download(last, whole, root=root, now=now, page=25)
        again = PretendedSource(there)
        download(again, whole, root=root, now=now, page=25)
        loaded = archive.load(root, "upbit", "KRW-BTC", Interval.HOUR_1)
        confirmed = archive.confirmed_empty(root, "upbit", "KRW-BTC", Interval.HOUR_1)

    assert done.is_complete
    assert again.asked == []
    assert loaded.hash_at(len(loaded)) == there.hash_at(len(there))
    assert not np.any(holds(confirmed, loaded.open_time))
    assert np.array_equal(united(confirmed, slots_of(loaded.open_time, interval=Interval.HOUR_1)), spans_of([(ZERO, to_nanoseconds(end))]))
    assert all(gap.unexplained == 0 for gap in find_gaps(loaded.open_time, interval=Interval.HOUR_1, confirmed=confirmed))


def test_a_candle_that_may_come_late_is_not_confirmed_as_absent(tmp_path: Path) -> None:
    there = thinned([True, True, False, True])
    wanted = Wanted(exchange="upbit", symbol="KRW-BTC", interval=Interval.HOUR_1, start=START, end=START + timedelta(days=1))
    early = PretendedSource(replace(there, **{name: getattr(there, name)[:2] for name in COLUMNS}, chain=None))

    download(early, wanted, root=tmp_path, now=START + timedelta(hours=4, minutes=1), page=200)

    # 02:00 has closed over an hour ago and is absent; 03:00 closed a minute ago and may still come.
    assert [from_nanoseconds(at) for at in archive.confirmed_empty(tmp_path, "upbit", "KRW-BTC", Interval.HOUR_1).ravel()] == [
        START + timedelta(hours=2),
        START + timedelta(hours=3),
    ]
    later = PretendedSource(there)
    download(later, wanted, root=tmp_path, now=START + timedelta(hours=4, minutes=20), page=200)
    assert later.asked == [(START + timedelta(hours=3), START + timedelta(hours=4))]
    assert len(archive.load(tmp_path, "upbit", "KRW-BTC", Interval.HOUR_1)) == 3


def test_an_answer_that_cannot_be_true_is_not_stored(tmp_path: Path) -> None:
    wanted = Wanted(exchange="upbit", symbol="KRW-BTC", interval=Interval.HOUR_1, start=START, end=START + timedelta(hours=3))
    there = thinned([True, True, True])
    crooked = replace(there, high=there.low, low=there.high, chain=None)

    with pytest.raises(BadInput, match=r"told candles of KRW-BTC 1h that cannot be true .*inconsistent"):
        download(PretendedSource(crooked), wanted, root=tmp_path, now=START + timedelta(days=1))

    class Talkative(PretendedSource):
        def candles(self, symbol: str, interval: Interval, *, start: datetime, end: datetime) -> Sequence[Candle]:
            return list(self.candles_there)

    with pytest.raises(BadInput, match="told 1 candles outside"):
        download(Talkative(there), replace(wanted, end=START + timedelta(hours=2)), root=tmp_path, now=START + timedelta(days=1))
    assert not list(tmp_path.rglob("*.parquet"))
