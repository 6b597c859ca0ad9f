"""How a market moves with BTC: beta, what is left beside it, and whether the correlation has changed abruptly.

Returns are simple, bar over bar, of the bars both markets have. Covariance and variance are both divided by n − 1: the source
mixed the two, which made beta 3.4 % too large, and nothing in it noticed a change of correlation (requirements §2.7, W-36).
"""

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from backtests.candles.series import Candles
from backtests.indicators import Column

WINDOW = timedelta(days=30)
RECENT = timedelta(days=5)  # its correlation is held against that of the window before it
DAY = timedelta(days=1)
FEWEST = 30  # returns that a correlation is told from
COVERAGE = 0.9  # of the window's bars both markets must have


@dataclass(frozen=True)
class Relation:
    """None is unknown. Fractions: 0.01 is 1 %.

    beta, correlation: over the window, its newest day left out. btc_return: BTC over the newest day. residual: this market's
    return of that day minus beta times BTC's. correlation_change: |z| of Fisher's test between the newest five days and the days
    before them, in standard errors; source: Fisher, "On the probable error of a coefficient of correlation", Metron 1, 1921.
    """

    beta: float | None = None
    correlation: float | None = None
    btc_return: float | None = None
    residual: float | None = None
    correlation_change: float | None = None


def relation(candles: Candles, btc: Candles) -> Relation:
    """At the newest bar. Unknown when the two do not end at the same bar or lack more than a tenth of the window's bars."""
    bars, day, recent = (int(span / candles.interval.length) for span in (WINDOW, DAY, RECENT))
    closes = _both(candles, btc, bars=bars + 1)
    if closes is None or day < 1:
        return Relation()
    own, other = closes[:, 1:] / closes[:, :-1] - 1
    slope = beta(own[:-day], other[:-day])
    own_day, btc_day = (closes[:, -1] / closes[:, -1 - day] - 1).tolist()
    return Relation(
        beta=slope,
        correlation=correlation(own[:-day], other[:-day]),
        btc_return=btc_day,
        residual=None if slope is None else own_day - slope * btc_day,
        correlation_change=correlation_change(own, other, recent=recent),
    )


def beta(own: Column, other: Column) -> float | None:
    """Covariance over variance of `other`, both divided by n − 1. Unknown for fewer than FEWEST returns and without variance."""
    if len(own) < FEWEST or not np.ptp(other):
        return None
    return float(np.cov(own, other, ddof=1)[0, 1] / np.var(other, ddof=1))


def correlation(own: Column, other: Column) -> float | None:
    """Pearson's. Unknown for fewer than FEWEST returns and when one of the two never moves."""
    if len(own) < FEWEST or not np.ptp(own) or not np.ptp(other):
        return None
    return float(np.clip(np.corrcoef(own, other)[0, 1], -1, 1))


def correlation_change(own: Column, other: Column, *, recent: int) -> float | None:
    """|z| between the correlation of the last `recent` returns and of those before: (atanh ρ₁ − atanh ρ₂) / √(1/(n₁−3) + 1/(n₂−3))."""
    now, before = correlation(own[-recent:], other[-recent:]), correlation(own[:-recent], other[:-recent])
    if now is None or before is None or abs(now) >= 1 or abs(before) >= 1:
        return None
    error = math.sqrt(1 / (recent - 3) + 1 / (len(own) - recent - 3))
    return abs(math.atanh(now) - math.atanh(before)) / error


def _both(candles: Candles, btc: Candles, *, bars: int) -> Column | None:
    """(2, m) closes of the bars both have among the newest `bars` of the grid; None when they say too little."""
    if not len(candles) or not len(btc) or candles.interval != btc.interval or candles.open_time[-1] != btc.open_time[-1]:
        return None
    first = candles.open_time[-1] - (bars - 1) * candles.interval.nanoseconds
    _shared, at, at_btc = np.intersect1d(candles.open_time, btc.open_time, assume_unique=True, return_indices=True)
    kept = candles.open_time[at] >= first
    if kept.sum() < COVERAGE * bars:
        return None
    return np.stack([candles.close[at[kept]], btc.close[at_btc[kept]]])
