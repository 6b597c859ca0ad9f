"""How long a million candles take: `python -m tests.benchmarks.candles`. Medians of five, warm; nothing is asserted."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backtests.candles import archive
from backtests.candles.exporting import write_csv
from backtests.candles.gaps import find_gaps
from backtests.candles.importing import read_file
from backtests.candles.quality import judge
from backtests.candles.resampling import resample
from backtests.candles.series import COLUMNS, Candles
from dgbot.core.clock import to_nanoseconds
from dgbot.core.interval import Interval
from tests.candle_factory import random_candles

COUNT = 1_000_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("upbit", "KRW-BTC", Interval.MINUTE_1)


def minutes(count: int) -> Candles:
    """Random minutes from 2023 on."""
    opened = to_nanoseconds(datetime(2023, 1, 1, tzinfo=UTC)) + np.arange(count, dtype=np.int64) * Interval.MINUTE_1.nanoseconds
    return replace(random_candles(count), interval=Interval.MINUTE_1, open_time=opened, chain=None)


def timed(name: str, function: Callable[[], Any], *, times: int = 5) -> None:
    """Print the median of `times` calls after a first one that warms up."""
    function()
    took = []
    for _ in range(times):
        started = perf_counter()
        result = function()
        took.append(perf_counter() - started)
        del result
    sys.stdout.write(f"{name:48} {median(took) * 1000:10.2f} ms\n")


def main() -> None:
    """Import, open, touch, hash, judge, group."""
    candles = minutes(COUNT)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_csv(candles, root / "candles.csv")
        pq.write_table(
            pa.table(
                {
                    "timestamp": pa.array(candles.open_time, pa.timestamp("ns", "UTC")),
                    **{name: getattr(candles, name) for name in COLUMNS[1:]},
                }
            ),
            root / "candles.parquet",
        )

        def imported(name: str) -> None:
            path = root / archive.relative_path(*NAMES)
            path.unlink(missing_ok=True)
            read = read_file(root / name, exchange="upbit", symbol="KRW-BTC", now=NOW).candles
            archive.merge(read, root)
            judge(archive.load(root, *NAMES), now=NOW)

        timed("import CSV: read, check, store, judge", lambda: imported("candles.csv"))
        timed("import Parquet: read, check, store, judge", lambda: imported("candles.parquet"))
        kept = archive.load(root, *NAMES)
        timed("open the series", lambda: archive.load(root, *NAMES), times=50)
        timed("touch every value", lambda: sum(float(getattr(kept, name).sum()) for name in COLUMNS), times=20)
        timed(
            "open and touch every value", lambda: sum(float(getattr(archive.load(root, *NAMES), name).sum()) for name in COLUMNS), times=20
        )
        timed("hash chain of all candles", lambda: replace(kept, chain=None).hash_at(COUNT))
        timed("SHA-256 of the contents", lambda: archive.content_sha256(kept))
        timed("gaps", lambda: find_gaps(kept.open_time, interval=Interval.MINUTE_1))
        timed("quality report", lambda: judge(kept, now=NOW))
        timed("group minutes into hours", lambda: resample(kept, Interval.HOUR_1, until=NOW))


if __name__ == "__main__":
    main()
