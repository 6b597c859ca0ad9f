"""How much one entry may spend: what the profile's sizing asks for, cut by every cap that holds while the account is held."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from backtests.candles.series import Candles
from backtests.indicators import atr14
from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.money import SMALLEST_STEP, from_float, parse_decimal, plain
from dgbot.core.types import OrderBook
from risk.domain import exposure
from risk.domain.exits import Protection, protect
from risk.domain.reasons import Reason
from risk.domain.sizing import Edge, Market, Size, SizingMode, edge_of, size_within, wanted
from trading.domain.config import cap_in
from trading.domain.margin import Terms
from trading.domain.stages import Collected
from trading.exchanges.assumed import SLIPPAGE
from trading.models import Position
from trading.selectors import at_stake
from trading.services import margins
from trading.services.stages.context import Context
from trading.services.stages.equity import bot_equity

QUOTE_GRAIN = {"KRW": Decimal(1), "USDT": Decimal("0.01")}  # orders in quote currency are whole won, or whole cents


@dataclass(frozen=True)
class Entry:
    """One entry before its order: the plan its position will keep, where it would be left, and its size.

    unsafe: why its leverage forbids it.
    """

    plan: dict[str, Any]
    protection: Protection
    size: Size
    unsafe: tuple[Reason, ...] = ()


def size_entry(context: Context, *, collected: Collected, book: OrderBook, proposed: dict[str, Any]) -> Entry:
    """Size an entry at the best ask. Call while holding the account: what is at stake is read here."""
    ask = book.asks[0].price
    atr = _atr(collected.candles)
    plan = _plan(context, proposed=proposed, atr=atr)
    protection = protect(
        entry_price=ask,
        stop_fraction=parse_decimal(plan["stop_fraction"], name="stop_fraction"),
        target_fraction=parse_decimal(plan["target_fraction"], name="target_fraction"),
        tick=context.rules.tick(ask),
        stop_distance=_distance(plan, "stop_distance"),
        target_distance=_distance(plan, "target_distance"),
    )
    try:
        fee_rate = context.venue.exchange.fees(context.bot.symbol).taker_rate
    except ExchangeUnavailable as error:
        unknown = Reason("fees_unknown", f"No order: its costs are unknown, so its size cannot be capped. {error}")
        return Entry(plan=plan, protection=protection, size=Size(Decimal(0), (unknown,)))
    market = Market(entry=ask, stop=protection.stop_price, fee_rate=fee_rate, slippage_fraction=SLIPPAGE, atr=atr)
    leverage = _leverage(context)
    size = _size(context, market=market, plan=plan, leverage=leverage)
    if leverage is None or not size.quote_amount:
        return Entry(plan=plan, protection=protection, size=size)
    return _on_margin(context, Entry(plan=plan, protection=protection, size=size), market=market, leverage=leverage)


def _leverage(context: Context) -> Decimal | None:
    """What the exchange is asked for; None where it lends nothing."""
    if not context.venue.exchange.capabilities.leverage:
        return None
    return exposure.whole_leverage(limit=context.limits.leverage_limit, maximum=context.rules.maximum_leverage)


def _on_margin(context: Context, entry: Entry, *, market: Market, leverage: Decimal) -> Entry:
    """The entry with the terms that are pinned to its order, and what they say against it."""
    exchange, symbol = context.venue.exchange, context.bot.symbol
    rate = margins.maintenance(exchange, symbol, notional=entry.size.quote_amount)
    if rate is None:
        message = f"No order: the maintenance margin of {symbol} is unknown, so its liquidation is."
        return replace(entry, unsafe=(Reason("maintenance_unknown", message, remedy="Wait until the exchange tells its tiers."),))
    terms = Terms(leverage=leverage, entry=market.entry, stop=market.stop, maintenance_rate=rate, fee_rate=market.fee_rate)
    unsafe = terms.unsafe(leverage=leverage, gap_fraction=context.profile.liquidation_gap_fraction)
    return replace(entry, plan={**entry.plan, "margin": terms.as_row()}, unsafe=unsafe)


def _size(context: Context, *, market: Market, plan: dict[str, Any], leverage: Decimal | None) -> Size:
    """leverage: how often free cash may be spent on margin; None for a spot exchange, once."""
    bot, rules = context.bot, context.rules
    equity = bot_equity(context, price=market.entry)
    money = at_stake.read(account_id=bot.account_id, quote=rules.quote, symbol=bot.symbol, is_margin=leverage is not None)
    rates = context.venue.rates
    rate = None if rates is None else rates.krw_per(rules.quote)
    cap = cap_in(rules.quote, cap_krw=context.settings.max_trade_amount_krw, krw_per_unit=rate)
    unknown = [
        *(["the allocation is unknown"] if equity is None else []),
        *(["the account's free cash is unknown"] if money.free_cash is None else []),
        *([f"the rate from {rules.quote} to KRW is unknown"] if cap is None or rules.quote not in QUOTE_GRAIN else []),
    ]
    if equity is None or money.free_cash is None or context.allocation is None or cap is None or unknown:
        return Size(Decimal(0), tuple(Reason("size_unknown", f"No order: {why}, so its size cannot be capped.") for why in unknown))
    mode = context.profile.sizing_plan
    asked = wanted(
        replace(mode, fixed_amount=bot.trade_amount),
        equity=equity,
        free_cash=money.free_cash,
        market=market,
        edge=_edge(context) if mode.mode is SizingMode.HALF_KELLY else None,
        size_hint=parse_decimal(plan.get("size_hint") or "1", name="size_hint"),
    )
    bounds = exposure.bounds(limits=context.limits, at_stake=money.at_stake, symbol=bot.symbol, group=money.group)
    caps = {
        "setting max_trade_amount_krw": cap,
        "allocation": context.allocation,
        **exposure.room(bounds, fee_rate=market.fee_rate),
    }
    if context.limits.position_fraction is not None:
        origin = context.limits.origins["position_fraction"]
        caps[f"largest position of the {origin}"] = context.allocation * context.limits.position_fraction
    size = size_within(
        wanted=asked.quote_amount,
        caps=caps,
        free_cash=money.free_cash if leverage is None else money.free_cash * leverage,
        fee_rate=market.fee_rate,
        minimum_total=rules.minimum_total,
        step=QUOTE_GRAIN[rules.quote],
    )
    return Size(size.quote_amount, (*asked.reasons, *size.reasons))


def _plan(context: Context, *, proposed: dict[str, Any], atr: Decimal | None) -> dict[str, Any]:
    """What the entry fixes for its position. An ATR multiple of the profile competes with the strategy's distance: the nearer holds."""
    profile, limits = context.profile, context.limits
    stop_fraction = profile.stop_fraction if limits.stop_fraction is None else limits.stop_fraction
    return {
        **proposed,
        "stop_distance": _nearer(proposed.get("stop_distance"), profile.stop_atr_multiple, atr),
        "target_distance": _nearer(proposed.get("target_distance"), profile.target_atr_multiple, atr),
        "stop_fraction": str(stop_fraction),
        "target_fraction": str(profile.target_fraction),
        "trail_distance": _nearer(None, profile.trailing_atr_multiple, atr),
        "levels": [{"profit_fraction": str(one.profit_fraction), "share": str(one.share)} for one in profile.partial_levels],
        "limits": limits.as_row(),
    }


def _nearer(distance: str | None, multiple: Decimal | None, atr: Decimal | None) -> str | None:
    if multiple is None or atr is None or atr <= 0:
        return distance
    own = multiple * atr
    return plain(own if distance is None else min(own, parse_decimal(distance, name="distance")))


def _atr(candles: Candles | None) -> Decimal | None:
    """ATR14 of the newest close, quote currency; None while it is not defined."""
    if candles is None or not len(candles):
        return None
    value = float(atr14(candles.high, candles.low, candles.close)[-1])
    return from_float(value, step=SMALLEST_STEP) if value == value else None  # noqa: PLR0124 - NaN is what differs from itself


def _edge(context: Context) -> Edge:
    """What this bot's closed positions returned on what they cost, fees included."""
    closed = Position.objects.filter(bot=context.bot, closed_at__isnull=False, bought_total__gt=0)
    sums = closed.values_list("sold_total", "bought_total", "fees")
    return edge_of([(sold - bought - fees) / bought for sold, bought, fees in sums])


def _distance(plan: dict[str, Any], name: str) -> Decimal | None:
    return parse_decimal(plan[name], name=name) if plan.get(name) is not None else None
