"""Exits a strategy adds to the prices frozen at entry: rules asked at each close, the same for every strategy, long and short.

    bar          0        1   2   3        …        24       25 on
             fill bar   fake-out watched                    time-out when under its profit
                        weakening, hold and the strategy's own exit: at every close

The first rule that holds, in the order fake-out, weakening, time-out, hold, signal, is the reason; it fills at the next open.
"""

import math
from dataclasses import dataclass

from backtests.strategies.base import YES, Parameters, bounded
from dgbot.core.errors import BadInput
from risk.domain.exits import ExitReason


@dataclass(frozen=True)
class ExitRules:
    """What is asked at each close of an open position, as plain numbers; the defaults switch every rule off.

    fakeout_bars: bars after the fill bar in which a close beyond the fake-out distance is a fake-out; 0 is off.
    weakening_adx, weakening_ratio: leave when ADX14 is under the first and under the ratio times its value at the signal; 0 is off.
    timeout_bars, timeout_profit: from `timeout_bars` + 1 bars after the fill bar on, leave under that profit (fraction); 0 is off.
    hold_bars: leave at the open this many bars after the fill bar's; 0 is off.
    partial_levels: (profit, share): at that profit (fraction of the entry price) this share of what is then held is sold,
    once; profits rise. Raises BadInput for a value that has no meaning.
    """

    fakeout_bars: int = 0
    weakening_adx: float = 0.0
    weakening_ratio: float = 0.0
    timeout_bars: int = 0
    timeout_profit: float = 0.0
    hold_bars: int = 0
    partial_levels: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        for name in ("fakeout_bars", "weakening_adx", "weakening_ratio", "timeout_bars", "hold_bars"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadInput(f"Exit rule {name} is {value}; it must be 0 (off) or more.")
        if not math.isfinite(self.timeout_profit):
            raise BadInput(f"Exit rule timeout_profit is {self.timeout_profit}; it must be a fraction.")
        profits = [profit for profit, _share in self.partial_levels]
        if profits != sorted(set(profits)) or not all(0 < profit < math.inf and 0 < share <= 1 for profit, share in self.partial_levels):
            raise BadInput(f"Partial levels {self.partial_levels} must be pairs of a rising positive profit and a share in 0…1.")


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

    def exit_rules(self) -> ExitRules:
        """The rules these parameters set."""
        return ExitRules(
            fakeout_bars=self.fakeout_bars,
            weakening_adx=self.weakening_adx,
            weakening_ratio=self.weakening_ratio,
            timeout_bars=self.timeout_bars,
            timeout_profit=self.timeout_profit,
        )


def exit_at_close(
    *,
    bars_since_fill: int,
    close: float,
    entry_price: float,
    fakeout_distance: float,
    strength: float,
    signal_strength: float,
    rules: ExitRules,
    signal: int = 0,
    is_long: bool = True,
) -> ExitReason | None:
    """Why to leave at the next open, or None. bars_since_fill: 0 at the close of the bar the entry filled in.

    close, entry_price (the fill's), fakeout_distance (of the signal bar): quote currency. strength, signal_strength: ADX14
    now and at the signal bar. signal: the strategy's own exit answer for this side at this close.
    An unknown input (NaN, UNKNOWN) means that its rule says nothing: every comparison with NaN is false.
    """
    side = 1 if is_long else -1
    if 1 <= bars_since_fill <= rules.fakeout_bars and side * close < side * (entry_price - side * fakeout_distance):
        return ExitReason.FAKEOUT
    if strength < rules.weakening_adx and strength < rules.weakening_ratio * signal_strength:
        return ExitReason.WEAKENING
    if bars_since_fill > rules.timeout_bars > 0 and side * close < side * (entry_price * (1 + side * rules.timeout_profit)):
        return ExitReason.TIMEOUT
    if rules.hold_bars and bars_since_fill + 1 >= rules.hold_bars:
        return ExitReason.HOLD
    return ExitReason.SIGNAL if signal == YES else None
