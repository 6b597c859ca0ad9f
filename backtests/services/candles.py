"""Candles come into the archive: `candles.import_file(...)`."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import transaction

from backtests.candles import archive
from backtests.candles.gaps import count_missing, find_gaps
from backtests.candles.importing import ImportReport, read_file
from backtests.models import CandleSeries
from dgbot.base.fields import ClockTimestamp
from dgbot.core.clock import from_nanoseconds
from dgbot.core.interval import Interval


@dataclass(frozen=True)
class ImportOutcome:
    """What a file did to the archive. Counts are candles."""

    report: ImportReport
    series: CandleSeries
    added: int
    replaced: int
    unchanged: int


def import_file(
    path: Path,
    *,
    root: Path,
    exchange: str,
    symbol: str,
    now: datetime,
    interval: Interval | None = None,
    timezone: str | None = None,
    replace: bool = False,
) -> ImportOutcome:
    """Read a candle file, add it to the archive below `root` and label the series. Safe to repeat.

    Raises BadInput with one sentence when the file is wrong or contradicts the archive; then nothing has changed.
    """
    imported = read_file(path, exchange=exchange, symbol=symbol, now=now, interval=interval, timezone=timezone)
    merged = archive.merge(imported.candles, root, replace=replace)
    series = label(root=root, exchange=exchange, symbol=symbol, interval=imported.report.interval, source_name=path.name)
    return ImportOutcome(report=imported.report, series=series, added=merged.added, replaced=merged.replaced, unchanged=merged.unchanged)


@transaction.atomic
def label(*, root: Path, exchange: str, symbol: str, interval: Interval, source_name: str) -> CandleSeries:
    """Make the row say what the archive's file holds now. The row is locked first, so the last of two writers reads last."""
    CandleSeries.objects.select_for_update().filter(exchange=exchange, symbol=symbol, interval=interval).first()
    candles = archive.load(root, exchange, symbol, interval)
    gaps = find_gaps(candles.open_time, interval=interval)
    series, _ = CandleSeries.objects.update_or_create(
        exchange=exchange,
        symbol=symbol,
        interval=interval,
        defaults={
            "path": str(archive.relative_path(exchange, symbol, interval)),
            "rows": len(candles),
            "first_opened_at": from_nanoseconds(candles.open_time[0]),
            "last_opened_at": from_nanoseconds(candles.open_time[-1]),
            "gap_count": len(gaps),
            "missing_count": count_missing(gaps),
            "content_sha256": archive.content_sha256(candles),
            "source_name": source_name[:300],
            "imported_at": ClockTimestamp(),
        },
    )
    return series
