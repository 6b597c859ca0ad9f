"""SIGKILL in the middle of writing candles: the archive holds the old series or the new one, never half of either."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from backtests.candles import archive
from backtests.candles.series import COLUMNS, Candles
from dgbot.core.interval import Interval
from tests.candle_factory import random_candles
from tests.scale import scale

ROOT = Path(__file__).parents[2]
WHOLE, FIRST, STEP = 90_000, 60_000, 37

# Merges a little more each time and says what is stored.
WRITER = f"""
import sys
from pathlib import Path
from backtests.candles import archive
from tests.candle_factory import random_candles
whole = random_candles({WHOLE})
for count in range(int(sys.argv[2]), {WHOLE}, {STEP}):
    archive.merge(whole.prefix(count), Path(sys.argv[1]))
    print(count, flush=True)
"""


def load(root: Path) -> Candles:
    return archive.load(root, "upbit", "KRW-BTC", Interval.HOUR_1)


def test_a_killed_writer_leaves_the_old_series_or_the_new_one(tmp_path: Path) -> None:
    whole, chances = random_candles(WHOLE), random.Random(1)
    archive.save(whole.prefix(FIRST), tmp_path)
    torn = 0
    for _ in range(scale(sample=4, full=200)):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(len(load(tmp_path)) + STEP)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            stored = int(writer.stdout.readline())
            time.sleep(chances.uniform(0.0, 0.1))
            writer.kill()
            stored = max([stored, *(int(line) for line in writer.stdout)])

        loaded = load(tmp_path)
        torn += bool(list(tmp_path.rglob("*.tmp")))
        for left in tmp_path.rglob("*.tmp"):
            left.unlink()
        assert stored <= len(loaded) <= stored + STEP
        assert all(np.array_equal(getattr(loaded, name), getattr(whole, name)[: len(loaded)]) for name in COLUMNS)
        path = tmp_path / archive.relative_path("upbit", "KRW-BTC", Interval.HOUR_1)
        assert pq.read_schema(path).metadata[b"sha256"].decode() == archive.content_sha256(loaded)
    print(f"{torn} of the kills left a half-written file behind")  # noqa: T201


def test_what_killed_writers_left_is_swept_up_when_it_is_old(tmp_path: Path) -> None:
    candles = random_candles(120)
    folder = archive.save(candles.prefix(100), tmp_path).parent
    old, fresh = folder / ".old.tmp", folder / ".fresh.tmp"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))

    archive.merge(candles, tmp_path)

    assert not old.exists()
    assert fresh.exists()  # its writer may be alive
