"""The yardstick: a bare numba loop over float64 arrays that does the fills of a run and nothing else.

All exits of a breakout (stop, target, partial levels, trailing, fake-out, weakening, time-out), ticks and lots, fees and slippage,
equity and trade list; no trading days, no breakers, no sizing but a fixed amount, no second side. One tick for all prices.
`tests/benchmarks/engine.py` compares with it in one session; that both fill alike is asserted there before anything is timed.
"""

from math import ceil, floor
from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=False, error_model="numpy")
def reference(  # noqa: PLR0912, PLR0915 - a bare loop is the point
    open_time: Any,
    opens: Any,
    highs: Any,
    lows: Any,
    closes: Any,
    enters: Any,
    atr: Any,
    strength: Any,
    tick: float,
    cash: float,
    quote: float,
    fee_rate: float,
    slippage: float,
    stop_fraction: float,
    target_fraction: float,
    stop_atr: float,
    target_atr: float,
    fakeout_atr: float,
    trail_atr: float,
    fakeout_bars: int,
    weakening_adx: float,
    weakening_ratio: float,
    timeout_bars: int,
    timeout_profit: float,
    first_profit: float,
    first_share: float,
    fill_bar: Any,
    fill_price: Any,
    fill_lots: Any,
    equity: Any,
) -> int:
    """enters: (n,) int8, 1 buys at the next open. Returns the number of fills; they and equity (n,) are written."""
    lots = 0.0
    amount = entry = stop = target = level = trail = water = fakeout = timeout = strength_at = 0.0
    opened = fills = 0
    is_spent = buys = leaves = False
    for t in range(len(closes)):
        o = opens[t]
        h = highs[t]
        low = lows[t]
        close = closes[t]
        if buys:
            buys = False
            entry = ceil(o * (1.0 + slippage) / tick - 1e-8) * tick
            lots = floor(quote * 1e8 / entry + 1e-8)
            amount = lots / 1e8
            cash -= amount * entry * (1.0 + fee_rate)
            opened = t
            distance = atr[t - 1]
            stop = max(entry * (1.0 - stop_fraction), entry - stop_atr * distance)
            target = min(entry * (1.0 + target_fraction), entry + target_atr * distance)
            stop = min(ceil(stop / tick - 1e-8), ceil(entry / tick - 1e-8) - 1.0) * tick
            target = max(floor(target / tick + 1e-8), floor(entry / tick + 1e-8) + 1.0) * tick
            level = max(floor(entry * (1.0 + first_profit) / tick + 1e-8), floor(entry / tick + 1e-8) + 1.0) * tick
            fakeout = entry - fakeout_atr * distance
            timeout = entry * (1.0 + timeout_profit)
            trail = trail_atr * distance
            water = entry
            strength_at = strength[t - 1]
            is_spent = False
            fill_bar[fills] = t
            fill_price[fills] = entry
            fill_lots[fills] = int(lots)
            fills += 1
        if lots > 0.0:
            nearest = target if is_spent else min(target, level)
            if leaves or low <= stop or h >= nearest:
                while lots > 0.0:
                    selling = lots
                    if leaves or o <= stop or o >= target:
                        at = o
                    elif not is_spent and o >= level:
                        at = o
                        selling = floor(lots * first_share + 1e-8)
                        is_spent = True
                    elif low <= stop:
                        at = stop
                    elif not is_spent and level < target:
                        if h < level:
                            break
                        at = level
                        selling = floor(lots * first_share + 1e-8)
                        is_spent = True
                    elif h >= target:
                        at = target
                    else:
                        break
                    price = floor(at * (1.0 - slippage) / tick + 1e-8) * tick
                    cash += selling / 1e8 * price * (1.0 - fee_rate)
                    lots -= selling
                    leaves = False
                    fill_bar[fills] = t
                    fill_price[fills] = price
                    fill_lots[fills] = int(selling)
                    fills += 1
                amount = lots / 1e8
            if lots > 0.0:
                if h > water:
                    water = h
                    if water - trail > stop and trail > 0.0:
                        stop = ceil((water - trail) / tick - 1e-8) * tick
                age = t - opened
                leaves = (
                    close <= stop
                    or (1 <= age <= fakeout_bars and close < fakeout)
                    or (strength[t] < weakening_adx and strength[t] < weakening_ratio * strength_at)
                    or (age > timeout_bars and close < timeout)
                )
                equity[t] = cash + amount * close
                continue
        equity[t] = cash
        buys = enters[t] == 1
    return fills


def room(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Columns for the fills and equity of `count` bars."""
    return np.empty(count, dtype=np.int64), np.empty(count), np.empty(count, dtype=np.int64), np.empty(count)
