"""Exits of the strategies that follow a breakout: two prices frozen at entry, three rules asked at each close.

    bar          0        1   2   3        …        24       25 on
             fill bar   fake-out watched                    time-out when under its profit
                        weakening: at every close

The first rule that holds, in the order fake-out, weakening, time-out, is the reason; it fills at the next open.
"""

from dataclasses import dataclass

from backtests.strategies.base import Parameters, bounded
from risk.domain.exits import ExitReason


@dataclass(frozen=True)
class ExitParameters(Parameters):
    """The exit half of a breakout strategy's parameters."""

    stop_atr: float = bounded(2.0, low=0.1, high=20, unit="ATR14", help="Stop below the entry price, in ATR14 of the signal bar.")
    target_atr: float = bounded(3.0, low=0.1, high=50, unit="ATR14", help="Target above the entry price, in ATR14 of the signal bar.")
    fakeout_atr: float = bounded(
        1.0, low=0.1, high=20, unit="ATR14", help="A close this far below entry soon after the fill is a fake-out."
    )
    fakeout_bars: int = bounded(3, low=0, high=100, unit="bars", help="Bars after the fill bar in which a fake-out is watched for.")
    weakening_adx: float = bounded(
        20.0, low=0, high=100, unit="ADX14", help="Leave when ADX14 is under this and has faded since the signal."
    )
    weakening_ratio: float = bounded(0.8, low=0, high=1, unit="fraction", help="Faded means under this share of its value at the signal.")
    timeout_bars: int = bounded(24, low=1, high=10_000, unit="bars", help="Bars after the fill bar a trade may take to earn its keep.")
    timeout_profit: float = bounded(
        0.02, low=-0.5, high=5, unit="fraction", help="After that, leave when the profit is under this; 0.02 is 2 %."
    )


def exit_at_close(
    *,
    bars_since_fill: int,
    close: float,
    entry_price: float,
    fakeout_distance: float,
    strength: float,
    signal_strength: float,
    parameters: ExitParameters,
) -> ExitReason | None:
    """Why to leave at the next open, or None. bars_since_fill: 0 at the close of the bar the entry filled in.

    close, entry_price (the fill's), fakeout_distance (of the signal bar): quote currency. strength, signal_strength: ADX14
    now and at the signal bar. An unknown (NaN) input means that its rule says nothing: every comparison with NaN is false.
    """
    if 1 <= bars_since_fill <= parameters.fakeout_bars and close < entry_price - fakeout_distance:
        return ExitReason.FAKEOUT
    if strength < parameters.weakening_adx and strength < parameters.weakening_ratio * signal_strength:
        return ExitReason.WEAKENING
    if bars_since_fill > parameters.timeout_bars and close < entry_price * (1 + parameters.timeout_profit):
        return ExitReason.TIMEOUT
    return None
