"""Everything a run is told besides candles and strategy: money, costs, limits, the market's grid. Decimal outside, floats inside."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache, cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from backtests.engine.layout import MOST_LEVELS, SETTINGS, SIZING_MODES, S
from backtests.strategies.base import Parameters
from backtests.strategies.exits import ExitParameters, ExitRules
from dgbot.core.clock import from_nanoseconds, to_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.types import TradingRules
from risk.domain.days import trading_day
from risk.domain.sizing import SizingMode, SizingPlan
from risk.domain.trailing import PartialLevel

Row = NDArray[np.float64]

SLIPPAGE = Decimal("0.0002")  # 0.02 % unless a book says better: DESIGN §14


@dataclass(frozen=True)
class Grid:
    """A market's rules and the instant (aware) they came into force; None: from the beginning."""

    rules: TradingRules
    since: datetime | None = None


@dataclass(frozen=True)
class Setup:
    """One run's money, costs and limits. The defaults are those of the medium profile on Upbit. Fractions: 0.01 is 1 %; 0 is off.

    grids: the market's rules, oldest first. depth: an assumed book behind the first level, (fraction away, quote it takes) each;
    empty: one level as deep as needed. allocation: what limits refer to, None: the cash. largest_amount: cap of one entry, quote.
    trail_atr: ATR14 of the signal bar the stop follows at. levels: the profile's partial levels; empty: the strategy's own.
    rsi_limit: a long over it is blocked as by the validator, a short under 100 minus it; None: not asked.
    is_perpetual: shorts, leverage, funding, liquidation. maintenance_fraction: of the notional.
    start, end: bars opened in [start, end) are traded, indicators begin at the first candle. zone: of the trading day.
    Raises BadInput for what has no meaning.
    """

    grids: tuple[Grid, ...]
    cash: Decimal = Decimal(1_000_000)
    allocation: Decimal | None = None
    fee_rate: Decimal = Decimal("0.0005")
    slippage: Decimal = SLIPPAGE
    depth: tuple[tuple[Decimal, Decimal], ...] = ()
    quote_grain: Decimal = Decimal(1)
    stop_fraction: Decimal = Decimal("0.05")
    target_fraction: Decimal = Decimal("0.10")
    trail_atr: float = 0.0
    levels: tuple[PartialLevel, ...] = ()
    spacing: timedelta = timedelta(hours=4)
    entries_per_day: int = 5
    daily_loss_fraction: Decimal = Decimal("0.10")
    weekly_loss_fraction: Decimal = Decimal("0.15")
    drawdown_fraction: Decimal = Decimal(0)
    loss_streak: int = 0
    sizing: SizingPlan = field(default_factory=SizingPlan)
    largest_amount: Decimal = Decimal(1_000_000)
    position_fraction: Decimal = Decimal("0.30")
    rsi_limit: Decimal | None = Decimal(70)
    is_perpetual: bool = False
    leverage: Decimal = Decimal(1)
    maintenance_fraction: Decimal = Decimal("0.005")
    zone: str = "Asia/Seoul"
    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        if not self.grids:
            raise BadInput("A run needs the market's rules; none were given.")
        for name, low, high in (
            ("cash", 0, None),
            ("quote_grain", 0, None),
            ("largest_amount", 0, None),
            ("position_fraction", 0, None),
            ("target_fraction", 0, None),
            ("stop_fraction", 0, 1),
        ):
            _check(name, getattr(self, name), above=low, most=high)
        for name in ("fee_rate", "slippage", "daily_loss_fraction", "weekly_loss_fraction", "drawdown_fraction", "maintenance_fraction"):
            _check(name, getattr(self, name), least=0, below=1)
        _check("trail_atr", self.trail_atr, least=0)
        _check("leverage", self.leverage, least=1)
        if not self.is_perpetual and self.leverage != 1:
            raise BadInput(f"A spot market lends nothing; leverage must be 1, was {self.leverage}.")
        for away, takes in self.depth:
            _check("a book level's distance", away, least=0, below=1)
            _check("a book level's depth", takes, above=0)

    def row(self, *, interval_ns: int, parameters: Parameters, rules: ExitRules) -> Row:
        """The settings row of one parameter set. Distances are scaled where the parameters are those of an ATR exit."""
        levels = [(float(level.profit_fraction), float(level.share)) for level in self.levels] or list(rules.partial_levels)
        if len(levels) > MOST_LEVELS:
            raise BadInput(f"{len(levels)} partial levels were given; at most {MOST_LEVELS} are followed.")
        scales = (
            (parameters.stop_atr, parameters.target_atr, parameters.fakeout_atr) if isinstance(parameters, ExitParameters) else (1, 1, 1)
        )
        values = {
            **self._money,
            S.STOP_SCALE: scales[0],
            S.TARGET_SCALE: scales[1],
            S.FAKEOUT_SCALE: scales[2],
            S.FAKEOUT_BARS: rules.fakeout_bars,
            S.WEAKENING_ADX: rules.weakening_adx,
            S.WEAKENING_RATIO: rules.weakening_ratio,
            S.TIMEOUT_BARS: rules.timeout_bars,
            S.TIMEOUT_PROFIT: rules.timeout_profit,
            S.HOLD_BARS: rules.hold_bars,
            S.LEVELS: len(levels),
            S.INTERVAL_NS: interval_ns,
        }
        row = np.zeros(SETTINGS)
        row[list(values)] = list(values.values())
        for number, (profit, share) in enumerate(levels):
            row[S.PROFIT_1 + 2 * number], row[S.SHARE_1 + 2 * number] = profit, share
        return row

    @cached_property
    def _money(self) -> dict[S, float]:
        plan = self.sizing
        fractions = {
            SizingMode.EQUITY_FRACTION: plan.equity_fraction,
            SizingMode.RISK_AT_STOP: plan.risk_fraction,
            SizingMode.VOLATILITY_TARGET: plan.volatility_fraction,
            SizingMode.BUY_RATIO: plan.buy_ratio,
        }
        rules = self.grids[-1].rules
        numbers: dict[S, Any] = {
            S.CASH: self.cash,
            S.ALLOCATION: self.cash if self.allocation is None else self.allocation,
            S.FEE_RATE: self.fee_rate,
            S.SLIPPAGE: self.slippage,
            S.LOTS_PER_UNIT: 1 / rules.lot_step,
            S.QUOTE_GRAIN: self.quote_grain,
            S.MINIMUM_TOTAL: rules.minimum_total,
            S.STOP_FRACTION: self.stop_fraction,
            S.TARGET_FRACTION: self.target_fraction,
            S.TRAIL_ATR: self.trail_atr,
            S.SPACING_NS: self.spacing // timedelta(microseconds=1) * 1000,
            S.ENTRIES_PER_DAY: self.entries_per_day,
            S.DAILY_LOSS: self.daily_loss_fraction,
            S.WEEKLY_LOSS: self.weekly_loss_fraction,
            S.DRAWDOWN: self.drawdown_fraction,
            S.LOSS_STREAK: self.loss_streak,
            S.SIZING: SIZING_MODES.index(plan.mode),
            S.FIXED_AMOUNT: plan.fixed_amount,
            S.SIZE_FRACTION: fractions.get(plan.mode, 0),
            S.LARGEST_AMOUNT: self.largest_amount,
            S.POSITION_FRACTION: self.position_fraction,
            S.LEVERAGE: self.leverage,
            S.MAINTENANCE: self.maintenance_fraction,
        }
        return {name: float(number) for name, number in numbers.items()}


@dataclass(frozen=True, eq=False)
class Columns:
    """What all runs over one series share: bars, trading days, grid, book. As the kernels take them."""

    first: int
    last: int
    day_first: NDArray[np.int64]  # (days + 1,) first bar whose close lies in the day; the last is beyond every bar
    day_begin: NDArray[np.int64]  # (days + 1,) ns UTC
    grid: tuple[NDArray[Any], ...]
    book: tuple[Row, Row]


def columns_of(candles: Candles, setup: Setup) -> Columns:
    """Cut the series into trading days and the market into bands. Raises BadInput when no candle is left to trade."""
    opened = candles.open_time
    first = 0 if setup.start is None else int(opened.searchsorted(to_nanoseconds(setup.start)))
    last = len(opened) if setup.end is None else int(opened.searchsorted(to_nanoseconds(setup.end)))
    if first >= last:
        raise BadInput(f"There is no candle of {candles.symbol} to trade in; the series holds {len(opened)}.")
    day_first, begins = trading_days(opened[first:last], interval_ns=candles.interval.nanoseconds, zone=setup.zone)
    offsets = [Decimal(away) for away, _takes in setup.depth], [takes for _away, takes in setup.depth]
    return Columns(
        first=first,
        last=last,
        day_first=day_first + first,
        day_begin=begins,
        grid=_bands(setup.grids),
        book=(np.array(offsets[0], dtype=np.float64), np.array(offsets[1], dtype=np.float64)),
    )


def trading_days(opened: NDArray[np.int64], *, interval_ns: int, zone: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns (days + 1,) of the days on which bars opened at `opened` (ns, sorted) close: first bar, begin (ns UTC).

    The last first bar lies beyond every bar; a day's close at midnight belongs to the day that begins.
    """
    begins = _day_begins(int(opened[0]), int(opened[-1]) + interval_ns, zone=zone)
    first = np.searchsorted(opened, begins - interval_ns).astype(np.int64)
    first[0], first[-1] = 0, len(opened) + 1
    return first, begins


def _day_begins(start_ns: int, end_ns: int, *, zone: str) -> NDArray[np.int64]:
    """Midnights in `zone` from the one at or before `start_ns` to the first beyond `end_ns`, ns UTC."""
    day, past = trading_day(from_nanoseconds(start_ns), zone=zone), trading_day(from_nanoseconds(end_ns), zone=zone)
    days = [day + timedelta(days=number) for number in range((past - day).days + 2)]
    return np.array([_midnight(one, ZoneInfo(zone)) for one in days], dtype=np.int64)


@cache
def _midnight(day: date, zone: ZoneInfo) -> int:
    return to_nanoseconds(datetime(day.year, day.month, day.day, tzinfo=zone))


def _bands(grids: Sequence[Grid]) -> tuple[NDArray[Any], ...]:
    """Columns (since, offset, start, num, den): a tick is num / den with whole numbers."""
    since = [0 if grid.since is None else to_nanoseconds(grid.since) for grid in grids]
    bands = [band for grid in grids for band in grid.rules.tick_bands]
    ticks = [tick.as_integer_ratio() for _start, tick in bands]
    return (
        np.array(since, dtype=np.int64),
        np.cumsum([0, *(len(grid.rules.tick_bands) for grid in grids)], dtype=np.int64),
        np.array([start for start, _tick in bands], dtype=np.float64),
        np.array([num for num, _den in ticks], dtype=np.float64),
        np.array([den for _num, den in ticks], dtype=np.float64),
    )


def _check(
    name: str,
    value: Decimal | float,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> None:
    fits = math.isfinite(value) and (above is None or value > above) and (least is None or value >= least)
    if not (fits and (below is None or value < below) and (most is None or value <= most)):
        raise BadInput(f"{name} is {value}, which has no meaning in a run.")
