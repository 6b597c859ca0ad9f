"""What backtests tells."""

from pathlib import Path

from django.conf import settings

from backtests.candles import archive
from backtests.candles.series import Candles
from backtests.models import CandleSeries
from dgbot.core.interval import Interval


def archive_root() -> Path:
    """Folder of the candle archive on this machine."""
    return Path(settings.DATA_DIR) / "candles"


def series_of(*, exchange: str, symbol: str, interval: Interval) -> CandleSeries | None:
    """The label of a series, None when the archive was never given it."""
    return CandleSeries.objects.filter(exchange=exchange, symbol=symbol, interval=interval).first()


def candles_of(*, exchange: str, symbol: str, interval: Interval) -> Candles:
    """All archived candles of a market, memory-mapped. Raises BadInput when there are none."""
    return archive.load(archive_root(), exchange, symbol, interval)
