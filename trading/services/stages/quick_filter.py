"""The quick filter as a stage asks it: two years of the bot's own strategy, parameters and exits, to the newest closed candle.

Each entry is taken at the profile's largest position, so that a threshold means the same for every amount per trade. A verdict is
kept by (hash of the candles, everything the run was told), so asking again within a candle costs nothing.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from backtests.candles.series import Candles
from backtests.conditions import bars
from backtests.engine import Grid, Setup
from backtests.engine.running import run
from backtests.research.quick_filter import Check, FilterThresholds, checks
from backtests.strategies.base import Parameters, Strategy
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.types import Mode
from risk.domain.reasons import Reason
from risk.domain.sizing import SizingMode, SizingPlan
from risk.models import FilterMode, RiskProfile
from trading.domain.validator import Thresholds, allowed
from trading.services.stages.context import Context

SPAN = timedelta(days=730)
KEPT = 64  # verdicts of this process: a worker's bots, several times over
REMEDY = "wait, or try another strategy, market or limit in the risk profile"


@dataclass(frozen=True)
class Filtered:
    """What the filter said. reasons: why it would stop an entry; blocks: whether it may."""

    mode: str
    blocks: bool
    checks: tuple[Check, ...] = ()
    reasons: tuple[Reason, ...] = ()
    span: str = ""
    taker_rate: Decimal | None = None  # what the run was told; None: it did not run
    fees_unknown: str = ""  # why

    @property
    def stops(self) -> bool:
        """Whether an entry is stopped by it."""
        return self.blocks and bool(self.reasons)

    def as_row(self) -> dict[str, Any]:
        """As it is stored and shown: the verdict of every threshold."""
        return {
            "mode": self.mode,
            "blocks": self.blocks,
            "passed": None if self.mode == FilterMode.OFF else not self.reasons,
            "span": self.span,
            "checks": [check.as_row() for check in self.checks],
            "reasons": [reason.as_row() for reason in self.reasons],
        }


_kept: OrderedDict[tuple[Any, ...], tuple[tuple[Check, ...], tuple[Reason, ...]]] = OrderedDict()


def judge(context: Context, candles: Candles, *, strategy: Strategy[Any], parameters: Parameters, thresholds: Thresholds) -> Filtered:
    """The verdict on the bot's strategy at this close. What cannot be told stops an entry, as a failure does."""
    mode = context.bot.filter_mode or context.profile.filter_mode
    if mode == FilterMode.OFF:
        return Filtered(mode=mode, blocks=False)
    # The past of a made-up market proves nothing about money, so there the verdict is shown and stops nothing.
    blocks = mode == FilterMode.BLOCKS and Mode(context.bot.mode) is not Mode.SIMULATED
    start = max(candles.last_closed_at - SPAN, candles.first_opened_at)  # type: ignore[operator,type-var]  # the caller has candles
    span = f"{start:%Y-%m-%d} to {candles.last_closed_at:%Y-%m-%d}"
    try:
        setup = _setup(context, start=start)
    except ExchangeUnavailable as error:
        reason = Reason("filter_unknown", f"The quick filter cannot be asked: {error}.", remedy="Wait for the exchange.")
        return Filtered(mode=mode, blocks=blocks, reasons=(reason,), span=span, fees_unknown=str(error))
    key = (candles.hash_at(len(candles)), strategy.name, parameters, setup, thresholds, _asked(context.profile))
    if key not in _kept:
        _kept[key] = _run(candles, strategy, parameters, setup, thresholds=thresholds, asked=_asked(context.profile))
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    found, reasons = _kept[key]
    return Filtered(mode=mode, blocks=blocks, checks=found, reasons=reasons, span=span, taker_rate=setup.fee_rate)


def forget() -> None:
    """Drop every kept verdict."""
    _kept.clear()


def _run(
    candles: Candles, strategy: Strategy[Any], parameters: Parameters, setup: Setup, *, thresholds: Thresholds, asked: FilterThresholds
) -> tuple[tuple[Check, ...], tuple[Reason, ...]]:
    try:
        result = run(candles, strategy, parameters, setup, allowed=allowed(bars.columns(candles), thresholds=thresholds))
    except BadInput as error:
        return (), (Reason("filter_unknown", f"The quick filter cannot run: {error}", remedy="Download more candles."),)
    found = checks(result.metrics, asked, remedy=REMEDY)
    where = "over the last two years"
    return found, tuple(check.reason(code=f"filter_{check.name}", where=where) for check in found if not check.is_met)


def _asked(profile: RiskProfile) -> FilterThresholds:
    return FilterThresholds(
        total_return=float(profile.filter_return),
        win_rate=float(profile.filter_win_rate),
        profit_factor=float(profile.filter_profit_factor),
        sharpe=float(profile.filter_sharpe),
        max_drawdown=float(profile.filter_drawdown),
        trades=profile.filter_trades,
    )


def _setup(context: Context, *, start: Any) -> Setup:
    """The bot's exits, costs and limits. Raises ExchangeUnavailable when the fees are not known."""
    profile, limits = context.profile, context.limits
    share = limits.position_fraction or profile.position_fraction
    atr = profile.trailing_atr_multiple
    return Setup(
        grids=(Grid(context.rules),),
        fee_rate=context.venue.exchange.fees(context.bot.symbol).taker_rate,
        stop_fraction=limits.stop_fraction or profile.stop_fraction,
        target_fraction=profile.target_fraction,
        trail_atr=0.0 if atr is None else float(atr),
        levels=profile.partial_levels,
        spacing=limits.spacing,
        entries_per_day=limits.entries_per_day or profile.entries_per_day,
        daily_loss_fraction=limits.daily_loss_fraction or profile.daily_loss_fraction,
        weekly_loss_fraction=limits.weekly_loss_fraction or profile.weekly_loss_fraction,
        sizing=SizingPlan(mode=SizingMode.EQUITY_FRACTION, equity_fraction=share),
        position_fraction=share,
        rsi_limit=None,  # with every other rule in `allowed`
        start=start,
    )
