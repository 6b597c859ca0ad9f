"""Parameters of strategies that place their exits at fixed fractions of the price, said once."""

from typing import Any

from backtests.candles.series import Candles
from backtests.strategies.base import Numbers, bounded


def stop(default: float) -> Any:
    """How far the stop lies."""
    return bounded(default, low=0.001, high=0.9, unit="fraction", help="Stop this far from the entry price, against it; 0.02 is 2 %.")


def target(default: float) -> Any:
    """How far the target lies."""
    return bounded(default, low=0.001, high=10, unit="fraction", help="Target this far from the entry price, in its favour; 0.04 is 4 %.")


def partial_profit(default: float) -> Any:
    """When a part is sold."""
    return bounded(default, low=0.001, high=10, unit="fraction", help="At this profit a part of the position is closed, once.")


def partial_share(default: float) -> Any:
    """How much is sold then."""
    return bounded(default, low=0, high=1, unit="fraction", help="How much of the position that part is; 0: none.")


def levels(*, profit: float, share: float) -> tuple[tuple[float, float], ...]:
    """The partial exit as exit rules take it; none for a share of zero."""
    return ((profit, share),) if share else ()


def distance(candles: Candles, fraction: float) -> Numbers:
    """A fraction of each close, in quote currency. (n,)."""
    return fraction * candles.close
