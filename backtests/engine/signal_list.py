"""A strategy's signals as the kernels read them: the bars at which it enters, with what it says there, and when it leaves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from backtests.engine.setup import Setup
from backtests.indicators import atr14, rsi14
from backtests.strategies.base import YES, Numbers, Signals
from risk.domain.sizing import SizingMode

NO_NUMBERS: Numbers = np.empty(0)
NO_ANSWERS: NDArray[np.int8] = np.empty(0, dtype=np.int8)


@dataclass(frozen=True, eq=False)
class SignalList:
    """Columns (k,), one value per entry, oldest first; strength and leave columns (n,), empty where nothing is ever said.

    side: 1 long, -1 short. Distances in quote currency, to be scaled by the settings row; NaN: none. atr: NaN where not needed.
    """

    bar: NDArray[np.int64]
    side: NDArray[np.int8]
    stop: Numbers
    target: Numbers
    fakeout: Numbers
    atr: Numbers
    strength_at: Numbers
    hint: Numbers
    strength: Numbers
    leave_long: NDArray[np.int8]
    leave_short: NDArray[np.int8]

    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """In the kernels' order."""
        return (
            self.bar,
            self.side,
            self.stop,
            self.target,
            self.fakeout,
            self.atr,
            self.strength_at,
            self.hint,
            self.strength,
            self.leave_long,
            self.leave_short,
        )


def signal_list(candles: Candles, signals: Signals, *, setup: Setup, allowed: NDArray[np.bool_] | None = None) -> SignalList:
    """The entries that pass the validator and `allowed` ((n,) bool, the filter gate). Long and short at once is neither."""
    is_long = signals.entry == YES
    is_short = signals.short_entry == YES if setup.is_perpetual else np.zeros(len(is_long), dtype=np.bool_)
    wanted = is_long ^ is_short
    bars = np.flatnonzero(wanted if allowed is None else wanted & allowed)
    if setup.rsi_limit is not None and len(bars):
        limit, rsi = float(setup.rsi_limit), rsi14(candles.close)[bars]
        bars = bars[np.where(is_long[bars], rsi <= limit, rsi >= 100 - limit)]  # an unknown RSI blocks: NaN compares false
    needs_atr = setup.trail_atr > 0 or setup.sizing.mode is SizingMode.VOLATILITY_TARGET
    atr = atr14(candles.high, candles.low, candles.close)[bars] if needs_atr and len(bars) else np.full(len(bars), np.nan)
    if setup.trail_atr > 0:
        # Without its distance a trailing stop would not follow: such an entry is unknown.
        bars, atr = bars[atr > 0], atr[atr > 0]
    says_strength = len(bars) > 0 and not np.isnan(signals.strength[bars]).all()
    return SignalList(
        bar=bars.astype(np.int64),
        side=np.where(is_long[bars], 1, -1).astype(np.int8),
        stop=signals.stop_distance[bars],
        target=signals.target_distance[bars],
        fakeout=signals.fakeout_distance[bars],
        atr=atr,
        strength_at=signals.strength[bars],
        hint=signals.size_hint[bars],
        strength=signals.strength if says_strength else NO_NUMBERS,
        leave_long=_said(signals.exit),
        leave_short=_said(signals.short_exit) if setup.is_perpetual else NO_ANSWERS,
    )


def _said(answers: NDArray[np.int8]) -> NDArray[np.int8]:
    return answers if (answers == YES).any() else NO_ANSWERS
