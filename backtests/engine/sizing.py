"""How much an entry may cost: `risk/domain/sizing` in floats, folded into the kernels. `p` is a settings row by `layout.S`."""

from typing import Any

from numba import njit

from backtests.engine.exits import protect
from backtests.engine.grid import market_price, tick_of, whole_lots
from backtests.engine.layout import SIZING_MODES, S
from risk.domain.sizing import KELLY_CEILING as DECIMAL_KELLY_CEILING
from risk.domain.sizing import KELLY_FLOOR as DECIMAL_KELLY_FLOOR
from risk.domain.sizing import KELLY_TRADES, SizingMode

FIXED, EQUITY_FRACTION = SIZING_MODES.index(SizingMode.FIXED), SIZING_MODES.index(SizingMode.EQUITY_FRACTION)
RISK_AT_STOP, VOLATILITY = SIZING_MODES.index(SizingMode.RISK_AT_STOP), SIZING_MODES.index(SizingMode.VOLATILITY_TARGET)
HALF_KELLY = SIZING_MODES.index(SizingMode.HALF_KELLY)
KELLY_FLOOR, KELLY_CEILING = float(DECIMAL_KELLY_FLOOR), float(DECIMAL_KELLY_CEILING)


@njit(nogil=True, forceinline=True, error_model="numpy")
def size_entry(
    p: Any,
    side: float,
    entry: float,
    stop: float,
    atr: float,
    hint: float,
    equity: float,
    free_cash: float,
    most: float,
    wins: float,
    losses: float,
    won: float,
    lost: float,
) -> float:
    """Quote currency to spend, 0 for no trade: `risk.domain.sizing.wanted` and `size_within` in floats.

    entry, stop: expected, quote. equity: what fractions refer to; free_cash: what may be spent; most: a further cap; all quote.
    wins, losses: closed positions; won, lost: sums of their returns, fractions, both positive.
    """
    mode = int(p[S.SIZING])
    wanted = 0.0
    if mode == FIXED:
        wanted = p[S.FIXED_AMOUNT]
    elif mode == EQUITY_FRACTION:
        wanted = equity * p[S.SIZE_FRACTION]
    elif mode == RISK_AT_STOP:
        left_at = stop * (1.0 - side * p[S.SLIPPAGE])
        loss = abs(entry - left_at) + p[S.FEE_RATE] * (entry + left_at)
        wanted = equity * p[S.SIZE_FRACTION] * entry / loss
    elif mode == VOLATILITY:
        if not atr > 0.0:
            return 0.0
        wanted = equity * p[S.SIZE_FRACTION] * entry / atr
    elif mode == HALF_KELLY:
        count = wins + losses
        if count < KELLY_TRADES or wins == 0.0 or losses == 0.0 or won <= 0.0 or lost <= 0.0:
            return 0.0
        half = (won - lost) / (2.0 * count * (won / wins))
        if half < KELLY_FLOOR:
            return 0.0
        wanted = equity * min(half, KELLY_CEILING)
    else:
        wanted = free_cash * p[S.SIZE_FRACTION]
    largest = min(p[S.LARGEST_AMOUNT], p[S.ALLOCATION], p[S.ALLOCATION] * p[S.POSITION_FRACTION])
    # Margin is a share of the notional; the fee is paid on all of it.
    payable = free_cash * p[S.LEVERAGE] / (1.0 + p[S.FEE_RATE] * p[S.LEVERAGE])
    amount = whole_lots(min(wanted * hint, largest, most, payable) / p[S.QUOTE_GRAIN]) * p[S.QUOTE_GRAIN]
    if not amount > 0.0 or amount < p[S.MINIMUM_TOTAL]:
        return 0.0
    # One lot less than could be bought must be worth an order at the profile's stop: what cannot be sold is trapped.
    if (amount / entry - 1.0 / p[S.LOTS_PER_UNIT]) * (entry * (1.0 - side * p[S.STOP_FRACTION])) < p[S.MINIMUM_TOTAL]:
        return 0.0
    return amount


@njit(nogil=True, forceinline=True, error_model="numpy")
def plan_entry(
    p: Any,
    side: float,
    now: int,
    close: float,
    stop: float,
    target: float,
    atr: float,
    hint: float,
    equity: float,
    free_cash: float,
    most: float,
    wins: float,
    losses: float,
    won: float,
    lost: float,
    grid: Any,
) -> tuple[float, float]:
    """What is ordered at a close, quote currency, 0 for nothing; and the price expected for it.

    now: the instant of the close, ns. stop, target: the signal's distances. The rest as in `size_entry`.
    """
    expected = market_price(side > 0.0, now, close, p[S.SLIPPAGE], grid)
    expected_stop = 0.0
    if int(p[S.SIZING]) == RISK_AT_STOP:
        num, den = tick_of(now, expected, grid)
        expected_stop, _target = protect(p, side, expected, stop * p[S.STOP_SCALE], target * p[S.TARGET_SCALE], num, den)
    return size_entry(p, side, expected, expected_stop, atr, hint, equity, free_cash, most, wins, losses, won, lost), expected
