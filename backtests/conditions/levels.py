"""Where a market has turned before: support, resistance, and Fibonacci's parts of the newest swing.

Corrected from requirements §2.1 and W-34: turns are confirmed before they count, and levels of a falling swing lie inside it.
"""

from dataclasses import dataclass

import numpy as np

from backtests.candles.series import Candles
from backtests.conditions.divergence import pivots
from backtests.indicators import atr14

LOOK_BACK = 120  # bars
TOUCH_ATR = 0.5  # turns this close to each other are one level
MOST_LEVELS = 3
RATIOS = (0.236, 0.382, 0.5, 0.618)


@dataclass(frozen=True)
class Level:
    """A price (quote) at which the market turned `touches` times: 3 or more is strong, 2 moderate, 1 weak."""

    price: float
    touches: int

    @property
    def strength(self) -> str:
        """In one word."""
        return "strong" if self.touches >= 3 else "moderate" if self.touches == 2 else "weak"


@dataclass(frozen=True)
class Levels:
    """Nearest first, at most three each."""

    support: tuple[Level, ...]
    resistance: tuple[Level, ...]


@dataclass(frozen=True)
class Swing:
    """The move between the extremes of the look-back. retracements: ratio → price, all inside [low, high]."""

    low: float
    high: float
    is_up: bool
    retracements: dict[float, float]


def levels(candles: Candles) -> Levels | None:
    """Support under and resistance over the newest close; None until LOOK_BACK bars have an ATR."""
    if len(candles) < LOOK_BACK:
        return None
    atr = atr14(candles.high, candles.low, candles.close)[-LOOK_BACK:]
    if np.isnan(atr).any():
        return None
    high, low, close = candles.high[-LOOK_BACK:], candles.low[-LOOK_BACK:], float(candles.close[-1])
    turns = [float(high[at]) for at in pivots(high, prominence=atr)] + [float(low[at]) for at in pivots(-low, prominence=atr)]
    found = _grouped(sorted(turns), reach=TOUCH_ATR * float(atr[-1]))
    below = sorted((one for one in found if one.price <= close), key=lambda one: -one.price)
    above = sorted((one for one in found if one.price > close), key=lambda one: one.price)
    return Levels(support=tuple(below[:MOST_LEVELS]), resistance=tuple(above[:MOST_LEVELS]))


def swing(candles: Candles, *, bars: int = LOOK_BACK) -> Swing | None:
    """Of the last `bars` bars: up when the high came last. A rise is retraced from its high down, a fall from its low up."""
    if len(candles) < bars:
        return None
    high, low = candles.high[-bars:], candles.low[-bars:]
    top, bottom = float(high.max()), float(low.min())
    last_top, last_bottom = bars - 1 - int(np.argmax(high[::-1])), bars - 1 - int(np.argmin(low[::-1]))
    is_up, height = last_top > last_bottom, top - bottom
    parts = {ratio: top - ratio * height if is_up else bottom + ratio * height for ratio in RATIOS}
    return Swing(low=bottom, high=top, is_up=is_up, retracements=parts)


def _grouped(turns: list[float], *, reach: float) -> list[Level]:
    """Turns, ascending, gathered while each is within `reach` of the group's lowest; the level is their mean."""
    groups: list[list[float]] = []
    for price in turns:
        if groups and price - groups[-1][0] <= reach:
            groups[-1].append(price)
        else:
            groups.append([price])
    return [Level(price=sum(group) / len(group), touches=len(group)) for group in groups]
