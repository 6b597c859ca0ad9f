"""Where each number of a run stands: the settings row a kernel reads and the statistics row it writes, both float64.

One row per parameter set keeps a sweep a plain matrix. Names are indices; units stand beside them.
"""

from enum import IntEnum
from typing import Final

from risk.domain import trailing
from risk.domain.exits import ExitReason
from risk.domain.sizing import SizingMode


class S(IntEnum):
    """Settings of one run. Fractions: 0.01 is 1 %. Quote currency where nothing else is said; 0 switches a limit off."""

    CASH = 0
    ALLOCATION = 1  # what the limits refer to
    FEE_RATE = 2
    SLIPPAGE = 3  # against us, before rounding to the tick
    LOTS_PER_UNIT = 4  # 1 / lot step, base
    QUOTE_GRAIN = 5  # orders in quote currency are whole multiples of it
    MINIMUM_TOTAL = 6
    STOP_FRACTION = 7
    TARGET_FRACTION = 8
    STOP_SCALE = 9  # times the distances of the signal list
    TARGET_SCALE = 10
    FAKEOUT_SCALE = 11
    TRAIL_ATR = 12  # ATR14 of the signal bar
    FAKEOUT_BARS = 13
    WEAKENING_ADX = 14
    WEAKENING_RATIO = 15
    TIMEOUT_BARS = 16
    TIMEOUT_PROFIT = 17
    HOLD_BARS = 18
    LEVELS = 19  # how many of the four pairs count
    PROFIT_1 = 20
    SHARE_1 = 21
    PROFIT_2 = 22
    SHARE_2 = 23
    PROFIT_3 = 24
    SHARE_3 = 25
    PROFIT_4 = 26
    SHARE_4 = 27
    SPACING_NS = 28
    ENTRIES_PER_DAY = 29
    DAILY_LOSS = 30
    WEEKLY_LOSS = 31
    DRAWDOWN = 32  # from the peak of equity
    LOSS_STREAK = 33  # losing positions in a row
    SIZING = 34  # index into SIZING_MODES
    FIXED_AMOUNT = 35
    SIZE_FRACTION = 36  # of equity, at risk, per ATR or of free cash, as the mode says
    LARGEST_AMOUNT = 37
    POSITION_FRACTION = 38  # of the allocation
    LEVERAGE = 39
    MAINTENANCE = 40  # maintenance margin, fraction of the notional
    INTERVAL_NS = 41


class A(IntEnum):
    """Limits of an account that several symbols share. Fractions and quote currency as in S; 0 switches a limit off."""

    CASH = 0
    ALLOCATION = 1
    DAILY_LOSS = 2
    WEEKLY_LOSS = 3
    DRAWDOWN = 4
    LOSS_STREAK = 5
    ENTRIES_PER_DAY = 6  # of all symbols together
    LARGEST_AMOUNT = 7  # of one entry
    EXPOSURE = 8  # at stake at most, of the account's equity


class R(IntEnum):
    """Results of one run. Bars are counted; a position is everything between its entry and its last exit."""

    FINAL_EQUITY = 0
    BARS = 1
    SUM_RETURNS = 2  # of equity, bar over bar
    SUM_SQUARES = 3
    SUM_SQUARED_LOSSES = 4  # of the negative returns
    MAX_DRAWDOWN = 5  # fraction of the peak, positive; the peak starts at the cash
    LONGEST_DRAWDOWN = 6  # bars under a peak
    POSITIONS = 7  # closed ones
    WINS = 8
    GROSS_WIN = 9  # quote, net of costs
    GROSS_LOSS = 10  # quote, positive
    SUM_WIN_RETURNS = 11  # of what was paid
    SUM_LOSS_RETURNS = 12  # positive
    MOST_WINS = 13  # in a row
    MOST_LOSSES = 14
    BARS_HELD = 15  # bars at whose close something was held
    HOLDING_BARS = 16  # summed over closed positions, fill bar to fill bar
    TURNOVER = 17  # quote, both sides
    FEES = 18
    FUNDING = 19  # paid, quote; received is negative
    LIQUIDATIONS = 20
    ENTRIES = 21
    SAFE_SINCE = 22  # bar whose close tripped a breaker, -1 none
    FILLS = 23
    HELD_LOTS = 24  # at the end, signed


SETTINGS: Final = len(S)
RESULTS: Final = len(R)
MOST_LEVELS: Final = trailing.MOST_LEVELS

SIZING_MODES: Final = tuple(SizingMode)

ENTRY: Final = 0  # a fill's reason; the others are 1 + their place here
REASONS: Final = ("entry", *(reason.value for reason in ExitReason))


def reason_code(reason: ExitReason) -> int:
    """The number a kernel writes for `reason`."""
    return REASONS.index(reason.value)


# Where in its bar a fill happened.
AT_OPEN, AT_ADVERSE, AT_FAVOURABLE = 0, 1, 2
