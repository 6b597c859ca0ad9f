"""Candles come into the archive: `candles.import_file(...)`, `candles.sync(...)`; `candles.recheck(...)` judges them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.db import transaction

from backtests.candles import archive
from backtests.candles.archive import Conflict, Merged
from backtests.candles.downloading import Progress, Wanted, download
from backtests.candles.gaps import count_confirmed, count_missing, find_gaps
from backtests.candles.importing import ImportOptions, ImportReport, read_file
from backtests.candles.quality import judge
from backtests.models import CandleCorrection, CandleSeries
from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import machine_now
from dgbot.core.clock import from_nanoseconds
from dgbot.core.interval import Interval
from dgbot.core.protocols import CandleSource

FIRST_DOWNLOAD = 17_520  # candles; two years of hours
MARKETS_BEGIN = datetime.fromisoformat("2017-01-01T00:00:00+00:00")  # Upbit opened in October 2017, Bitget in 2018


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
    options: ImportOptions | None = None,
    replace: bool = False,
    source_name: str = "",
) -> ImportOutcome:
    """Read a candle file, add it to the archive below `root` and label the series. Safe to repeat.

    replace: overwrite stored candles that have other values, and record the correction.
    Raises BadInput with one sentence when the file is wrong or contradicts the archive; then nothing has changed.
    """
    name = source_name or path.name
    imported = read_file(path, exchange=exchange, symbol=symbol, now=now, options=options, name=name)
    merged = archive.merge(imported.candles, root, conflict=Conflict.REPLACE if replace else Conflict.REFUSE)
    series = label(root=root, exchange=exchange, symbol=symbol, interval=imported.report.interval, source_name=name)
    _record_correction(series, merged, source_name=name)
    return ImportOutcome(report=imported.report, series=series, added=merged.added, replaced=merged.replaced, unchanged=merged.unchanged)


def sync(
    source: CandleSource,
    *,
    root: Path,
    exchange: str,
    symbol: str,
    interval: Interval,
    until: datetime,
    now: datetime,
    since: datetime | None = None,
    page: int = 200,
    told: Callable[[Progress], None] = lambda _: None,
    must_stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Download what the archive lacks of a series up to `until`, and label it. Safe to repeat and to interrupt.

    since: where to begin (aware); None goes on from the series' first candle, or fetches the last FIRST_DOWNLOAD slots of a new
    one. now: market time of the source. See `downloading.download` for the rest.
    """
    start = since or first_wanted(exchange=exchange, symbol=symbol, interval=interval, until=until)
    wanted = Wanted(exchange=exchange, symbol=symbol, interval=interval, start=start, end=until)
    try:
        return download(source, wanted, root=root, now=now, page=page, told=told, must_stop=must_stop)
    finally:  # whatever has been stored by then is labelled
        if (root / archive.relative_path(exchange, symbol, interval)).exists():
            label(root=root, exchange=exchange, symbol=symbol, interval=interval, source_name=f"download from {exchange}")


def first_wanted(*, exchange: str, symbol: str, interval: Interval, until: datetime) -> datetime:
    """Where a download begins that was not told: the series' first candle, so that its gaps are asked for, too."""
    series = CandleSeries.objects.filter(exchange=exchange, symbol=symbol, interval=interval).first()
    if series is not None:
        return series.first_opened_at
    return max(MARKETS_BEGIN, interval.open_of(until) - timedelta(seconds=FIRST_DOWNLOAD * interval.seconds))


def recheck(series: CandleSeries, *, root: Path) -> CandleSeries:
    """Read the series' file again and judge it anew. Raises BadInput when the file is missing or damaged."""
    return label(
        root=root,
        exchange=series.exchange,
        symbol=series.symbol,
        interval=Interval(series.interval),
        source_name=series.source_name,
        is_new=False,
    )


@transaction.atomic
def label(*, root: Path, exchange: str, symbol: str, interval: Interval, source_name: str, is_new: bool = True) -> CandleSeries:
    """Make the row say what the archive's file holds now. The row is locked first, so the last of two writers reads last."""
    CandleSeries.objects.select_for_update().filter(exchange=exchange, symbol=symbol, interval=interval).first()
    candles = archive.load(root, exchange, symbol, interval)
    confirmed = archive.confirmed_empty(root, exchange, symbol, interval)
    gaps = find_gaps(candles.open_time, interval=interval, confirmed=confirmed)
    report = judge(candles, now=machine_now(), confirmed=confirmed)
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
            "confirmed_count": count_confirmed(gaps),
            "content_sha256": archive.content_sha256(candles),
            "quality": report.severity.value,
            "findings": report.as_json(),
            "checked_at": report.checked_at,
            **({"source_name": source_name[:300], "imported_at": ClockTimestamp()} if is_new else {}),
        },
    )
    return series


def _record_correction(series: CandleSeries, merged: Merged, *, source_name: str) -> None:
    if merged.correction is not None:
        CandleCorrection.objects.get_or_create(
            path=str(merged.correction), defaults={"series": series, "count": merged.replaced, "source_name": source_name[:300]}
        )
