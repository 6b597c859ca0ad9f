"""Exits of open positions: what is due at a price, and how the stop follows at closes. Cycle, guardian and replay ask the same.

fill ──▶ stop, target, levels frozen ──close──▶ trailing stop rises ──price──▶ due: stop · target · level
                                                                                  │ one order per position and version
                                                                                  └─first fill──▶ level spent
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import F
from django.db.models.functions import Greatest

from backtests.candles.series import Candles
from dgbot.core.clock import to_nanoseconds
from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.money import parse_decimal
from dgbot.core.protocols import Exchange
from dgbot.core.types import TradingRules
from risk.domain import trailing
from risk.domain.exits import ExitReason
from risk.domain.trailing import ExitState, PartialLevel
from trading.models import Order, Position
from trading.services import orders

log = logging.getLogger(__name__)

Rules = Callable[[], TradingRules | None]
WHOLE_BAR = 6  # an entry in the first sixth of its bar has seen the whole bar, as in the engine, where it fills at the open


@dataclass(frozen=True)
class Due:
    """What is sold at a price. amount: base currency. limit: the price that was reached, quote. level: its number from 1, or 0."""

    reason: ExitReason
    amount: Decimal
    limit: Decimal
    level: int = 0
    share: Decimal = Decimal(1)


@dataclass(frozen=True)
class Look:
    """What a price says about a position. spent: how many levels are behind it, those included that are too small to be sold."""

    due: Due | None
    spent: int


def rules_from(exchange: Exchange, *, symbol: str, at: datetime) -> Rules:
    """The market's grid and minimum, asked when needed; None when unknown: then partial levels wait, stop and target do not."""

    def ask() -> TradingRules | None:
        try:
            return exchange.trading_rules(symbol, at=at)
        except ExchangeUnavailable as error:
            log.warning("symbol=%s rules unknown, partial levels wait: %s", symbol, error)
            return None

    return ask


def look(position: Position, *, price: Decimal, rules: Rules) -> Look:
    """What is due at `price`, quote currency. `rules` is asked only when the position has partial levels. Nothing is written."""
    state, entry_price = _state(position), position.entry_price
    if state is None or entry_price is None:
        return Look(None, position.levels_taken)
    levels = _levels(position)
    market = rules() if levels else None
    levels = levels if market is not None else ()
    tick = Decimal(1) if market is None else market.tick(entry_price)  # without levels nothing is rounded
    while True:
        reason = trailing.due(
            state,
            price=price,
            target_price=position.target_price,
            entry_price=entry_price,
            levels=levels,
            tick=tick,
            has_trailed=position.trailing_stop_price is not None,
        )
        if reason is not ExitReason.PARTIAL or market is None:
            return Look(None if reason is None else _whole(position, reason, state), state.levels_taken)
        level = levels[state.levels_taken]
        part = trailing.partial_amount(
            held=position.amount, share=level.share, price=price, lot_step=market.lot_step, minimum_total=market.minimum_total
        )
        if part:
            limit = trailing.level_price(level, entry_price=entry_price, tick=tick)
            return Look(Due(reason, part, limit, level=state.levels_taken + 1, share=level.share), state.levels_taken)
        state = trailing.level_taken(state)


def spend(position: Position, *, levels: int) -> None:
    """Note that so many levels are behind a position: one that was too small to be sold never fires later, as in the engine."""
    if levels > position.levels_taken:
        Position.objects.filter(pk=position.pk, closed_at=None, levels_taken__lt=levels).update(levels_taken=levels)
        position.levels_taken = levels


def follow(position: Position, *, candles: Candles, rules: TradingRules) -> None:
    """Let the trailing stop rise to the highest price since entry, less its distance; it never falls. candles: closed ones only.

    All bars since entry are looked at each time, so a cycle that was missed is made up for.
    """
    distance, state = trail_distance(position), _state(position)
    first = _first_bar(position, candles)
    if distance is None or state is None or first >= len(candles):
        return
    best = candles.candle(first + int(candles.high[first:].argmax())).high
    followed = max(state.high_water, best) - distance
    if followed > 0:  # below it there is no price to stop at
        state = trailing.after_close(state, best_price=best, trail_distance=distance, tick=rules.tick(followed))
    _remember(position, state)


def levels_at(position: Position, *, rules: Rules) -> list[Decimal]:
    """Every price at which this position ends in part or whole, quote currency; levels that are spent are left out."""
    return [price for price in (position.current_stop, *_above(position, rules=rules)) if price is not None]


def triggers(position: Position, *, rules: Rules) -> tuple[Decimal | None, Decimal | None]:
    """The two prices between which nothing happens to a position: its stop, and the nearer of target and next level."""
    return position.current_stop, min(_above(position, rules=rules), default=None)


def plan(position: Position, due: Due, *, now: datetime) -> Order:
    """The order that sells what is due: at most one per position and version, whoever asks."""
    return orders.plan_exit(position=position, reason=due.reason, now=now, amount=due.amount, level=due.level)


def trail_distance(position: Position) -> Decimal | None:
    """How far below the highest price the stop follows, quote currency, frozen at entry; None: it does not."""
    text = position.plan.get("trail_distance")
    return None if text is None else parse_decimal(text, name="trail_distance")


def _levels(position: Position) -> tuple[PartialLevel, ...]:
    return tuple(
        PartialLevel(parse_decimal(row["profit_fraction"], name="profit_fraction"), parse_decimal(row["share"], name="share"))
        for row in position.plan.get("levels", ())
    )


def _above(position: Position, *, rules: Rules) -> list[Decimal]:
    """Target and the levels that wait."""
    found = [] if position.target_price is None else [position.target_price]
    levels, entry_price = _levels(position)[position.levels_taken :], position.entry_price
    market = rules() if levels and entry_price is not None else None
    if market is None or entry_price is None:
        return found
    tick = market.tick(entry_price)
    return [*found, *(trailing.level_price(level, entry_price=entry_price, tick=tick) for level in levels)]


def _state(position: Position) -> ExitState | None:
    """None before the first fill has frozen the exits."""
    stop, entry_price = position.current_stop, position.entry_price
    if stop is None or entry_price is None:
        return None
    return ExitState(high_water=position.high_water or entry_price, stop_price=stop, levels_taken=position.levels_taken)


def _whole(position: Position, reason: ExitReason, state: ExitState) -> Due:
    limit = position.target_price if reason is ExitReason.TARGET else state.stop_price
    assert limit is not None  # a target was reached, so there is one
    return Due(reason, position.amount, limit)


def _first_bar(position: Position, candles: Candles) -> int:
    """Index of the first bar whose high counts for the stop."""
    opened_ns = to_nanoseconds(position.opened_at)
    bar = int(candles.open_time.searchsorted(opened_ns, side="right")) - 1
    if bar < 0:
        return 0
    return bar if opened_ns - int(candles.open_time[bar]) <= candles.interval.nanoseconds // WHOLE_BAR else bar + 1


def _remember(position: Position, state: ExitState) -> None:
    """Write what has risen. Greatest, because an older cycle may write later, and nothing here ever falls."""
    if position.high_water != state.high_water:
        position.high_water = state.high_water
        Position.objects.filter(pk=position.pk, closed_at=None).update(high_water=Greatest(F("high_water"), state.high_water))
    if state.stop_price != position.current_stop:
        position.trailing_stop_price = state.stop_price
        risen = Greatest(F("trailing_stop_price"), state.stop_price)
        Position.objects.filter(pk=position.pk, closed_at=None).update(trailing_stop_price=risen)
