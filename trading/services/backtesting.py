"""What a person asks of a backtest becomes a complete spec, or one clear sentence before anything is queued.

Every face comes through here: admin form, REST, command. Only labels and steps of candle series are read, so a refusal costs
milliseconds, whatever is asked for.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Any

from backtests.engine import Setup
from backtests.models import CandleSeries
from backtests.research.sampling import space_of
from backtests.research.searching import OBJECTIVES
from backtests.selectors import candles_of, series_of
from backtests.specs import (
    MOST_BARS,
    MOST_PERMUTATIONS,
    MOST_SETS,
    MOST_SWEEP_WORK,
    MOST_SYMBOLS,
    MOST_WORK,
    SYNCHRONOUS_BARS,
    MarketSpec,
    RunSpec,
    SweepSpec,
)
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from risk.domain.sizing import SizingMode, SizingPlan
from risk.models import RiskProfile
from trading.services.market_grids import grids_for

SPOT_FEE, PERPETUAL_FEE = Decimal("0.0005"), Decimal("0.0006")  # Upbit KRW; Bitget futures, taker
SPOT_CASH, PERPETUAL_CASH = Decimal(1_000_000), Decimal(1_000)
NO_LIMIT = Decimal("0.999999")  # a breaker that never trips
SAMPLERS = ("grid", "sobol", "optuna")


@dataclass(frozen=True)
class Wanted:
    """One backtest as it is asked for; what is None has the market's usual value. Fractions: 0.01 is 1 %.

    symbols: several share one cash. start, end: aware, bars opened in [start, end) are traded. amount: of an entry, quote;
    fraction: of equity instead. profile: whose stops, limits and sizing hold; None: those of the medium one. has_limits False:
    without spacing, daily count, breakers and RSI limit. hold_out: the newest share of the bars judges, one symbol only.
    """

    strategy: str
    symbols: Sequence[str]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    exchange: str = "upbit"
    interval: Interval = Interval.HOUR_1
    start: datetime | None = None
    end: datetime | None = None
    is_perpetual: bool = False
    cash: Decimal | None = None
    fee_rate: Decimal | None = None
    slippage: Decimal | None = None
    leverage: Decimal | None = None
    funding_rate: Decimal | None = None
    amount: Decimal | None = None
    fraction: Decimal | None = None
    profile: RiskProfile | None = None
    has_limits: bool = True
    hold_out: float | None = None
    monte_carlo: int = 1000
    permutations: int = 0
    seed: int = 1


@dataclass(frozen=True)
class WantedSweep:
    """A search as it is asked for, on one symbol. ranges, grid and the rest: as in `SweepSpec`."""

    run: Wanted
    sampler: str = "sobol"
    sets: int = 2048
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    grid: Mapping[str, Sequence[float]] = field(default_factory=dict)
    objective: str = "sharpe"
    hold_out: float = 0.3
    folds: int = 4
    permutations: int = 0
    seed: int = 1


@dataclass(frozen=True)
class Prepared:
    """A spec, and how many bars it asks for in all, at most."""

    spec: RunSpec
    bars: int

    @property
    def is_small(self) -> bool:
        """Whether it may be run while somebody waits."""
        return self.bars <= SYNCHRONOUS_BARS and not self.spec.permutations


def prepare(wanted: Wanted) -> Prepared:
    """The spec of a backtest. Raises BadInput with one sentence: the fact, the value, the limit, the remedy."""
    _check_numbers(wanted)
    _check_span(wanted)
    bars = sum(_bars(series, wanted) for series in _series(wanted))
    if bars > MOST_BARS:
        raise BadInput(f"{bars:,} bars are asked for; at most {MOST_BARS:,} are computed at once, so choose a shorter period.")
    if not 0 <= wanted.permutations <= MOST_PERMUTATIONS:
        raise BadInput(f"Permuted markets must be 0 to {MOST_PERMUTATIONS:,}, were {wanted.permutations:,}.")
    if bars * (1 + wanted.permutations) > MOST_WORK:
        raise BadInput(
            f"{wanted.permutations:,} permuted markets of {bars:,} bars are {bars * wanted.permutations:,} bars; at most {MOST_WORK:,} are "
            "computed in one job, so ask for fewer."
        )
    if not 0 <= wanted.monte_carlo <= MOST_PERMUTATIONS:
        raise BadInput(f"Monte Carlo draws must be 0 to {MOST_PERMUTATIONS:,}, were {wanted.monte_carlo:,}.")
    if wanted.hold_out is not None and not 0 < wanted.hold_out < 1:
        raise BadInput(f"The hold-out must be a share between 0 and 1 of the candles, was {wanted.hold_out:g}.")
    if len(wanted.symbols) > 1 and (wanted.hold_out is not None or wanted.permutations):
        raise BadInput("A hold-out and permuted markets judge one market; leave them out, or backtest the markets one by one.")
    spec = RunSpec(
        strategy=wanted.strategy,
        exchange=wanted.exchange,
        interval=wanted.interval,
        markets=tuple(_market(wanted, symbol) for symbol in wanted.symbols),
        parameters=dict(wanted.parameters),
        hold_out=wanted.hold_out,
        monte_carlo=wanted.monte_carlo,
        permutations=wanted.permutations,
        seed=_seed(wanted.seed),
    )
    _strategy, parameters = spec.chosen()
    return Prepared(replace(spec, parameters=parameters.changed()), bars)


def prepare_sweep(wanted: WantedSweep) -> SweepSpec:
    """The spec of a sweep. Raises BadInput as `prepare` does."""
    if len(wanted.run.symbols) != 1:
        raise BadInput(f"A sweep searches one market; {len(wanted.run.symbols)} symbols were given.")
    if wanted.sampler not in SAMPLERS:
        raise BadInput(f"There is no sampler {wanted.sampler!r}; known are {', '.join(SAMPLERS)}.")
    if wanted.objective not in OBJECTIVES:
        raise BadInput(f"There is no objective {wanted.objective!r}; known are {', '.join(OBJECTIVES)}.")
    if not 0 < wanted.hold_out < 1:
        raise BadInput(f"The hold-out must be a share between 0 and 1 of the candles, was {wanted.hold_out:g}.")
    if not 0 <= wanted.folds <= 20:
        raise BadInput(f"The walk forward takes 0 to 20 folds; {wanted.folds} were asked for.")
    sets = _product(wanted.grid) if wanted.sampler == "grid" else wanted.sets
    if not 1 <= sets <= MOST_SETS:
        raise BadInput(f"A sweep tries 1 to {MOST_SETS:,} parameter sets; {sets:,} were asked for.")
    prepared = prepare(wanted.run)
    if prepared.bars * sets > MOST_SWEEP_WORK:
        raise BadInput(
            f"{sets:,} sets on {prepared.bars:,} bars are {sets * prepared.bars:,} bars; at most {MOST_SWEEP_WORK:,} are computed in one "
            "sweep, so ask for fewer sets or a shorter period."
        )
    strategy, _parameters = prepared.spec.chosen()
    ranges = {name: (float(low), float(high)) for name, (low, high) in wanted.ranges.items()}
    if wanted.sampler == "grid":
        _check_grid(strategy, wanted.grid)
        ranges = _ranges_of_grid(strategy, wanted.grid)
    space_of(strategy, ranges)
    return SweepSpec(
        run=prepared.spec,
        sampler=wanted.sampler,
        sets=sets,
        ranges={name: list(pair) for name, pair in ranges.items()},
        grid={name: list(values) for name, values in wanted.grid.items()},
        objective=wanted.objective,
        hold_out=wanted.hold_out,
        folds=wanted.folds,
        permutations=wanted.permutations,
        seed=_seed(wanted.seed),
    )


def _check_numbers(wanted: Wanted) -> None:
    for one in fields(wanted):
        value = getattr(wanted, one.name)
        if isinstance(value, Decimal | float) and not math.isfinite(value):
            raise BadInput(f"{one.name.replace('_', ' ').capitalize()} must be a number, was {value}.")


def _check_span(wanted: Wanted) -> None:
    if not wanted.symbols:
        raise BadInput("Say at least one symbol, such as KRW-BTC.")
    if len(wanted.symbols) > MOST_SYMBOLS:
        raise BadInput(f"A backtest takes at most {MOST_SYMBOLS} symbols; {len(wanted.symbols)} were given.")
    if len(set(wanted.symbols)) < len(wanted.symbols):
        raise BadInput("A symbol was given twice; a backtest holds one position in a symbol.")
    if wanted.start is None or wanted.end is None:
        return
    if wanted.end <= wanted.start:
        raise BadInput(f"The period ends at {wanted.end.isoformat()}, before it begins at {wanted.start.isoformat()}; give a later end.")
    bars = int((wanted.end - wanted.start) / wanted.interval.length) * len(wanted.symbols)
    if bars > MOST_BARS:
        raise BadInput(f"{bars:,} bars are asked for; at most {MOST_BARS:,} are computed at once, so choose a shorter period.")


def _series(wanted: Wanted) -> list[CandleSeries]:
    found = []
    for symbol in wanted.symbols:
        series = series_of(exchange=wanted.exchange, symbol=symbol, interval=wanted.interval)
        if series is None:
            told = f"The archive has no {wanted.interval} candles of {symbol} at {wanted.exchange}"
            raise BadInput(f"{told}; download or upload them under Candle series.")
        found.append(series)
    return found


def _bars(series: CandleSeries, wanted: Wanted) -> int:
    """How many bars of the series the period holds, at most. Raises BadInput when it holds none."""
    first, last = series.first_opened_at, series.last_opened_at
    start, end = max(wanted.start or first, first), min(wanted.end or last + wanted.interval.length, last + wanted.interval.length)
    if start >= end:
        told = f"The archive's {series.interval} candles of {series.symbol} run from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
        raise BadInput(f"{told}; the period asked for lies outside.")
    return min(series.rows, math.ceil((end - start) / wanted.interval.length))


def _market(wanted: Wanted, symbol: str) -> MarketSpec:
    candles = candles_of(exchange=wanted.exchange, symbol=symbol, interval=wanted.interval)
    grids, is_assumed = grids_for(candles, is_perpetual=wanted.is_perpetual)
    if wanted.funding_rate is not None and not wanted.is_perpetual:
        raise BadInput("A spot market has no funding; leave the funding rate out or choose a perpetual.")
    if wanted.funding_rate is not None and not abs(wanted.funding_rate) < 1:
        raise BadInput(f"A funding rate is a fraction between -1 and 1, was {wanted.funding_rate}.")
    cash = _or(wanted.cash, PERPETUAL_CASH if wanted.is_perpetual else SPOT_CASH)
    setup = Setup(
        grids=grids,
        cash=cash,
        fee_rate=_or(wanted.fee_rate, PERPETUAL_FEE if wanted.is_perpetual else SPOT_FEE),
        slippage=_or(wanted.slippage, Setup.slippage),
        quote_grain=Decimal("0.01") if wanted.is_perpetual else Decimal(1),
        is_perpetual=wanted.is_perpetual,
        leverage=_or(wanted.leverage, Decimal(1)),
        start=wanted.start,
        end=wanted.end,
        **_limits_of(wanted.profile),
    )
    setup = _sized(setup, wanted)
    return MarketSpec(symbol, setup if wanted.has_limits else _without_limits(setup), is_assumed, wanted.funding_rate)


def _limits_of(profile: RiskProfile | None) -> dict[str, Any]:
    """Stops, limits and sizing of a profile, as the engine's setup names them."""
    if profile is None:
        return {}
    trail = profile.trailing_atr_multiple
    return {
        "stop_fraction": profile.stop_fraction,
        "target_fraction": profile.target_fraction,
        "trail_atr": 0.0 if trail is None else float(trail),
        "levels": profile.partial_levels,
        "spacing": profile.spacing,
        "entries_per_day": profile.entries_per_day,
        "daily_loss_fraction": min(profile.daily_loss_fraction, NO_LIMIT),
        "weekly_loss_fraction": min(profile.weekly_loss_fraction, NO_LIMIT),
        "drawdown_fraction": min(profile.drawdown_fraction or Decimal(0), NO_LIMIT),
        "loss_streak": profile.loss_streak or 0,
        "sizing": profile.sizing_plan,
        "position_fraction": profile.position_fraction,
        "rsi_limit": profile.rsi_buy_limit,
    }


def _sized(setup: Setup, wanted: Wanted) -> Setup:
    """What a person says an entry costs is what it costs: the profile's caps stay for the default alone."""
    if wanted.amount is not None and wanted.fraction is not None:
        raise BadInput("Say either what an entry costs or which share of the equity, not both.")
    uncapped: dict[str, Any] = {"largest_amount": setup.cash * 1_000_000, "position_fraction": setup.leverage}
    if wanted.amount is not None:
        if not wanted.amount > 0:
            raise BadInput(f"What an entry costs must be above zero, was {wanted.amount}.")
        return replace(setup, sizing=SizingPlan(fixed_amount=wanted.amount), **uncapped)
    if wanted.fraction is not None:
        if not 0 < wanted.fraction <= 1:
            raise BadInput(f"An entry's share of the equity must lie in 0…1, was {wanted.fraction}.")
        plan = SizingPlan(mode=SizingMode.EQUITY_FRACTION, equity_fraction=wanted.fraction)
        return replace(setup, sizing=plan, **uncapped)
    if setup.is_perpetual and setup.sizing.mode is SizingMode.FIXED:
        return replace(setup, sizing=replace(setup.sizing, fixed_amount=setup.cash / 20))
    return setup


def _without_limits(setup: Setup) -> Setup:
    return replace(
        setup,
        spacing=timedelta(0),
        entries_per_day=1_000_000,
        daily_loss_fraction=NO_LIMIT,
        weekly_loss_fraction=NO_LIMIT,
        drawdown_fraction=Decimal(0),
        loss_streak=0,
        rsi_limit=None,
    )


def _or(value: Decimal | None, usual: Decimal) -> Decimal:
    return usual if value is None else value


def _seed(seed: int) -> int:
    if not 0 <= seed < 2**31:
        raise BadInput(f"A seed is a whole number from 0 to {2**31 - 1:,}, was {seed}.")
    return seed


def _product(grid: Mapping[str, Sequence[float]]) -> int:
    return reduce(lambda so_far, values: so_far * len(values), grid.values(), 1) if grid else 0


def _check_grid(strategy: Any, grid: Mapping[str, Sequence[float]]) -> None:
    for name, values in grid.items():
        for value in values:
            strategy.parameters.of({name: value})


def _ranges_of_grid(strategy: Any, grid: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
    """From the smallest to the largest value of each; what the grid does not name stays as designed."""
    defaults = strategy.parameters()
    ranges = {name: (float(getattr(defaults, name)),) * 2 for name in strategy.parameters.bounds()}
    return ranges | {name: (float(min(values)), float(max(values))) for name, values in grid.items()}
