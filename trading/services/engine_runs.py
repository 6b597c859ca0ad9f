"""A bot as the engine sees it: its strategy, money, costs and limits as a setup, so that parity and what-if ask the same engine.

Whatever the engine cannot be told is said in words beside the run, never left out silently.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from backtests.conditions import bars
from backtests.engine import Grid, Setup
from backtests.engine.running import Result, run
from backtests.indicators import atr14
from backtests.strategies.base import Decisions, Parameters, Signals, Strategy
from backtests.strategies.exits import ExitParameters
from backtests.strategies.registry import strategy_named
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.types import Fees, Mode
from risk.domain.limits import EffectiveLimits
from risk.models import RiskProfile
from trading.domain.config import Settings, cap_in
from trading.domain.validator import RULES, THRESHOLDS, Thresholds, allowed
from trading.exchanges import upbit_rules
from trading.models import AccountFee, Bot, Decision
from trading.models.accounts import ExchangeName
from trading.services import venues
from trading.services.krw_rates import StoredRates
from trading.services.stages.entry_size import QUOTE_GRAIN
from trading.services.stages.inputs import rules_from

ANSWERED_BY_CANDLES = frozenset({"rsi14", "adx14", "atr_fraction", "atr_expansion", "volume_ratio", "band_width"})
# The rules of the validator a run judges by itself; what others withheld must be told to it bar by bar.
JUDGED = frozenset(rule.code for rule in RULES if all(test.reading in ANSWERED_BY_CANDLES for test in rule.tests))

NO_COUNT = 10**6  # entries a day where nothing limits them


@dataclass(frozen=True)
class Terms:
    """Under what a bot trades: everything that an operator may change. fee_rate: fraction. grids: the market's rules, oldest first."""

    bot: Bot
    profile: RiskProfile
    limits: EffectiveLimits
    settings: Settings
    grids: tuple[Grid, ...]
    fee_rate: Decimal

    @property
    def notes(self) -> list[str]:
        """What the engine cannot do as the bot does."""
        told = []
        if self.profile.sell_ratio < 1:
            told.append(f"On a signal the bot sells {self.profile.sell_ratio:.0%} of its position, the engine all of it.")
        if (self.limits.leverage_limit or 1) > 1 and self.bot.account.exchange == ExchangeName.BITGET and self.bot.mode == Mode.LIVE:
            told.append("The engine trades this bot without leverage and funding.")
        return told


def terms_of(bot: Bot, *, profile: RiskProfile, limits: EffectiveLimits, settings: Settings, may_ask: bool = True) -> Terms:
    """Terms with today's fees and the market's whole history of rules. may_ask: an exchange may be asked what no row tells.

    Raises ExchangeUnavailable when they are not known.
    """
    fee_rate = _fees(bot, may_guess=not may_ask).taker_rate
    return Terms(bot=bot, profile=profile, limits=limits, settings=settings, grids=_grids(bot, may_ask=may_ask), fee_rate=fee_rate)


def walk(
    terms: Terms,
    candles: Candles,
    *,
    cash: Decimal,
    start: datetime,
    end: datetime | None = None,
    withheld: Mapping[datetime, object] | None = None,
    decisions: Decisions | None = None,
) -> Result:
    """Run the bot's strategy over bars opened in [start, end). cash: quote, at the start; limits refer to the allocation.

    withheld: closes (aware) at which something outside the candles stopped an entry. decisions: of an analyst that proposes.
    Raises BadInput for parameters out of bounds, an unknown strategy, and a span without candles.
    """
    strategy, parameters = _strategy(terms, replays=decisions is not None)
    passes = allowed(bars.columns(candles), thresholds=_thresholds(terms))
    return run(
        candles,
        strategy,
        parameters,
        _setup(terms, cash=cash, start=start, end=end),
        allowed=passes & ~_at(candles, withheld or {}),
        decisions=decisions,
    )


def _strategy(terms: Terms, *, replays: bool) -> tuple[Strategy[Any], Parameters]:
    if replays:
        strategy = strategy_named("ai")
        return strategy, strategy.parameters.of({"least_confidence": 0})  # what the validator thought of it is told bar by bar
    strategy = strategy_named(terms.bot.strategy)
    parameters: Parameters = strategy.parameters.of(terms.bot.parameters)
    stop, target = (_multiple(one) for one in (terms.profile.stop_atr_multiple, terms.profile.target_atr_multiple))
    if isinstance(parameters, ExitParameters):
        return strategy, replace(parameters, stop_atr=min(parameters.stop_atr, stop), target_atr=min(parameters.target_atr, target))
    if np.isinf(stop) and np.isinf(target):
        return strategy, parameters
    return replace(strategy, signals=_nearer(strategy, stop=stop, target=target)), parameters


def _nearer(strategy: Strategy[Any], *, stop: float, target: float) -> Any:
    """The strategy's signals with the profile's ATR multiples where they are nearer."""

    def signals(candles: Candles, *rest: Any) -> Signals:
        said = strategy.signals(candles, *rest)
        atr = atr14(candles.high, candles.low, candles.close)
        distances = {
            name: np.fmin(getattr(said, name), multiple * atr)
            for name, multiple in (("stop_distance", stop), ("target_distance", target))
            if not np.isinf(multiple)
        }
        return replace(said, **distances)

    return signals


def _multiple(value: Decimal | None) -> float:
    return np.inf if value is None else float(value)


def _setup(terms: Terms, *, cash: Decimal, start: datetime, end: datetime | None) -> Setup:
    bot, profile, limits = terms.bot, terms.profile, terms.limits
    quote = terms.grids[-1].rules.quote
    cap = cap_in(quote, cap_krw=terms.settings.max_trade_amount_krw, krw_per_unit=StoredRates().krw_per(quote))
    if cap is None or quote not in QUOTE_GRAIN:
        raise ExchangeUnavailable(f"the rate from {quote} to KRW is unknown, so the cap of one entry is")
    trail = profile.trailing_atr_multiple
    return Setup(
        grids=terms.grids,
        cash=cash,
        allocation=bot.allocation,
        fee_rate=terms.fee_rate,
        quote_grain=QUOTE_GRAIN[quote],
        stop_fraction=limits.stop_fraction or profile.stop_fraction,
        target_fraction=profile.target_fraction,
        trail_atr=0.0 if trail is None else float(trail),
        levels=profile.partial_levels,
        spacing=limits.spacing,
        entries_per_day=NO_COUNT if limits.entries_per_day is None else limits.entries_per_day,
        daily_loss_fraction=limits.daily_loss_fraction or Decimal(0),
        weekly_loss_fraction=limits.weekly_loss_fraction or Decimal(0),
        drawdown_fraction=limits.drawdown_fraction or Decimal(0),
        loss_streak=limits.loss_streak or 0,
        sizing=replace(profile.sizing_plan, fixed_amount=bot.trade_amount),
        largest_amount=cap,
        position_fraction=limits.position_fraction or Decimal(1),
        rsi_limit=None,  # with every other rule in `allowed`
        start=start,
        end=end,
    )


def _thresholds(terms: Terms) -> Thresholds:
    values = {name: getattr(terms.profile, name) for name in THRESHOLDS}
    return Thresholds(**{**values, "rsi_buy_limit": terms.limits.rsi_buy_limit or terms.profile.rsi_buy_limit})


def _at(candles: Candles, withheld: Mapping[datetime, object]) -> NDArray[np.bool_]:
    """(n,) bool: the bars that closed at one of these instants."""
    closes = candles.open_time + candles.interval.nanoseconds
    wanted = np.array([int(at.timestamp()) * 10**9 for at in withheld], dtype=np.int64)
    return np.isin(closes, wanted)


def _grids(bot: Bot, *, may_ask: bool) -> tuple[Grid, ...]:
    market = bot.account.simulated_market
    if market is not None:
        return (Grid(venues.simulated_market(bot.symbol, market.seed, market.origin).trading_rules),)
    if bot.account.exchange == ExchangeName.UPBIT:
        return tuple(Grid(rules, since=since) for since, rules in upbit_rules.history(bot.symbol))
    recorded = Decision.objects.filter(symbol=bot.symbol, account__exchange=bot.account.exchange, inputs__has_key="rules").order_by("-pk")
    told = recorded.values_list("inputs__rules", flat=True).first()
    if told is not None:
        return (Grid(rules_from(told)),)
    if not may_ask:
        raise ExchangeUnavailable(f"the trading rules of {bot.symbol} are not at hand until a bot there has considered an entry")
    exchange = venues.public_exchange(bot.account.exchange)
    return (Grid(exchange.trading_rules(bot.symbol, at=exchange.server_time())),)


def _fees(bot: Bot, *, may_guess: bool) -> Fees:
    """may_guess: the listed ones stand in for an account's own that are not known."""
    if bot.account.exchange == ExchangeName.SIMULATED:
        return venues.KRW_FEES
    listed = venues.LISTED_FEES[ExchangeName(bot.account.exchange)]
    if bot.mode != Mode.LIVE:
        return listed
    row = AccountFee.objects.filter(account=bot.account, symbol=bot.symbol).first()
    if row is None and not may_guess:
        raise ExchangeUnavailable(f"The fees of {bot.symbol} in {bot.account} are not known; the gateway asks for them.")
    return listed if row is None else Fees(maker_rate=row.maker_rate, taker_rate=row.taker_rate)


def allocation_of(bot: Bot) -> Decimal:
    """Quote currency. Raises BadInput while it is unknown."""
    if bot.allocation is None:
        raise BadInput(f"The allocation of {bot.name} is unknown until its account's cash has been told; enter one in the admin.")
    return bot.allocation
