"""Volume zone breakout: buy when the close crosses the price above which a fifth of the recent volume was traded.

The zone is rebuilt from its own bars at every close (requirements §2.10, W-85), the bar that decides is not part of it, and a
bar that stays above the zone is no new signal (W-86). Source: docs/decisions/0012-corrected-strategies.md
"""

from dataclasses import dataclass

import numpy as np

from backtests.candles.series import Candles
from backtests.strategies.base import Numbers, Parameters, Signals, Strategy, all_open, answers, before, bounded
from backtests.strategies.exits import ExitRules


@dataclass(frozen=True)
class VolumeZoneBreakoutParameters(Parameters):
    """How the zone is drawn, and how long a trade is held."""

    zone_bars: int = bounded(10, low=2, high=1000, unit="bars", help="The zone is drawn from this many bars before the signal bar.")
    bins: int = bounded(20, low=2, high=500, unit="bins", help="Equal price steps the zone's range is cut into.")
    top_share: float = bounded(0.2, low=0.01, high=0.99, unit="fraction", help="Share of the zone's volume that lies above the resistance.")
    buffer: float = bounded(
        0.0, low=0, high=0.5, unit="fraction", help="The close must exceed the resistance by this much more; 0.01 is 1 %."
    )
    include_wicks: bool = bounded(
        True, low=0, high=1, unit="yes or no", help="Spread each bar's volume over its wicks, too, not its body only."
    )
    hold_bars: int = bounded(1, low=1, high=1000, unit="bars", help="Leave at the open this many bars after the entry's.")


def resistance(candles: Candles, parameters: VolumeZoneBreakoutParameters) -> Numbers:
    """The lower edge of the bin down to which `top_share` of the volume lies, of the bars before t; quote currency.

    Unknown for the first zone_bars and where nothing was traded in the zone.
    """
    from backtests.strategies.volume_zone_kernel import resistances  # numba: half a second that the web need not spend

    if parameters.include_wicks:
        high, low = candles.high, candles.low
    else:
        high, low = np.maximum(candles.open, candles.close), np.minimum(candles.open, candles.close)
    return resistances(high, low, candles.volume, parameters.zone_bars, parameters.bins, parameters.top_share)


def signals(candles: Candles, parameters: VolumeZoneBreakoutParameters) -> Signals:
    """Entry on a crossing: the close before lies under the level, this one does not. No stop or target of its own."""
    level = resistance(candles, parameters) * (1 + parameters.buffer)
    previous = before(candles.close, first=np.nan)
    gates = {"under_before": answers(previous < level, level, previous), "above_now": answers(candles.close >= level, level)}
    return Signals(entry=all_open(gates), gates=gates)


STRATEGY = Strategy(
    name="volume_zone_breakout",
    title="Volume zone breakout",
    description="Buys when the close crosses the price above which the top share of recent volume was traded; leaves after some bars.",
    parameters=VolumeZoneBreakoutParameters,
    warm_up=lambda parameters: parameters.zone_bars,
    look_back=lambda parameters: parameters.zone_bars + 1,
    signals=signals,
    exit_rules=lambda parameters: ExitRules(hold_bars=parameters.hold_bars),
)
