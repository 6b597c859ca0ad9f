"""What backtests tells."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db.models import Count, Q, Variance

from backtests.candles import archive
from backtests.candles.series import Candles
from backtests.models import CandleSeries, DataSet, Trial
from backtests.research.trials import Tally
from dgbot.core.clock import from_nanoseconds
from dgbot.core.interval import Interval


@dataclass(frozen=True)
class Counted:
    """How much has been tried. looks: how many of the trials saw the bars that are to judge."""

    tally: Tally
    looks: int


def archive_root() -> Path:
    """Folder of the candle archive on this machine."""
    return Path(settings.DATA_DIR) / "candles"


def series_of(*, exchange: str, symbol: str, interval: Interval) -> CandleSeries | None:
    """The label of a series, None when the archive was never given it."""
    return CandleSeries.objects.filter(exchange=exchange, symbol=symbol, interval=interval).first()


def candles_of(*, exchange: str, symbol: str, interval: Interval) -> Candles:
    """All archived candles of a market, memory-mapped. Raises BadInput when there are none."""
    return archive.load(archive_root(), exchange, symbol, interval)


def counted_on(candles: Candles, *, strategy: str, judge_from: int) -> Counted:
    """Every trial of `strategy` on these candles or on a beginning of them: a series that has grown forgets nothing.

    judge_from: the first bar (index) that judges; a trial that saw it is a look. A shorter series is told by its hash; series that
    start at another candle or were corrected since are other data.
    """
    begins = from_nanoseconds(int(candles.open_time[0]))
    shorter = DataSet.objects.filter(
        first_opened_at=begins, interval=candles.interval, rows__lte=len(candles), trials__strategy=strategy
    ).distinct()
    same = [row.pk for row in shorter if archive.content_sha256(candles.prefix(row.rows)) == row.content_sha256]
    found = Trial.objects.filter(data_set__in=same, strategy=strategy).aggregate(
        trials=Count("pk"), looks=Count("pk", filter=Q(seen_to__gt=judge_from)), variance=Variance("sharpe", sample=True)
    )
    return Counted(tally=Tally(count=found["trials"], sharpe_variance=found["variance"] or 0.0), looks=found["looks"])
