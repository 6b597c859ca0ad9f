"""Candles as a CSV file in our form, which importing reads back to the same bits."""

import gzip
from pathlib import Path

from backtests.candles.series import Candles
from dgbot.core.clock import from_nanoseconds

HEADER = "timestamp,open,high,low,close,volume\n"


def write_csv(candles: Candles, path: Path) -> None:
    """Write or overwrite `path`; a name ending in .gz is compressed. Raises OSError when it cannot be written."""
    columns = (candles.open.tolist(), candles.high.tolist(), candles.low.tolist(), candles.close.tolist(), candles.volume.tolist())
    stamps = (f"{from_nanoseconds(opened):%Y-%m-%dT%H:%M:%SZ}" for opened in candles.open_time.tolist())
    rows = (",".join((stamp, *map(repr, row))) for stamp, *row in zip(stamps, *columns, strict=True))
    text = HEADER + "".join(f"{row}\n" for row in rows)
    if path.suffix == ".gz":
        # No time stamp inside, so that equal candles give equal files.
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text, encoding="utf-8")
