"""Stage 1, RiskCheck: may this bot open anything now, and must it leave what it holds?

With an open position only the freeze level of the kill switch ends the cycle; everything else blocks entries.
"""

import logging
from dataclasses import replace
from decimal import Decimal

from django.conf import settings as django_settings

from dgbot.base.display import percent
from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.interval import Interval
from dgbot.core.money import plain
from dgbot.core.types import Mode
from risk import selectors as risk_selectors
from risk import services as risk
from risk.domain.assess import RiskUse, blocks
from risk.domain.exits import ExitReason
from risk.domain.reasons import Reason
from risk.models import KillLevel, RiskState
from trading.domain.stages import Action, Outcome
from trading.models import Position
from trading.selectors.limits import of_account
from trading.services import credentials, exits, price_alarms, switches
from trading.services.stages.context import Context
from trading.services.stages.equity import account_equity, bot_equity

log = logging.getLogger(__name__)


def check_at_close(context: Context) -> Outcome:
    """`check`, after a trailing stop has followed the candle that has just closed."""
    told = follow(context)
    outcome = check(context)
    return replace(outcome, reasons=(*outcome.reasons, *told))


def check(context: Context) -> Outcome:
    """Observe equity, trip what must trip, and say how the cycle goes on."""
    price = _price(context)
    bot_state, account_state = _observe(context, price=price)
    level = risk_selectors.level_of(
        context.readings.kill_switches,
        bot_id=context.bot.pk,
        account_id=context.bot.account_id,
        user_id=context.bot.user_id,
        exchange=context.bot.account.exchange,
        symbol=context.bot.symbol,
    )
    data = _data(context, price=price, bot_state=bot_state, level=level)
    if level >= KillLevel.FREEZE:
        return Outcome(
            Action.STOP,
            (
                Reason(
                    "kill_switch",
                    "The kill switch forbids every order.",
                    value=str(level),
                    limit="3",
                    remedy="Lower it in the admin once its cause is gone.",
                ),
            ),
            data,
        )
    if context.position is not None:
        return _with_position(context, position=context.position, price=price, data=data)
    reasons = blocks(limits=context.limits, use=_use(context, bot_state, account_state, level=level, price=price), now=context.now)
    return Outcome(Action.STOP if reasons else Action.CONTINUE, reasons, data)


def follow(context: Context) -> tuple[Reason, ...]:
    """Let a trailing stop rise at this close, before the price is held against it; or why it stays where it is."""
    position = context.position
    if position is None or exits.trail_distance(position) is None:
        return ()
    interval = Interval(context.bot.interval)
    try:
        candles = context.venue.history.closed(context.bot.symbol, interval, until=context.cycle.slot, anchor_at=context.bot.anchor_at)
        exits.follow(position, candles=candles, rules=context.rules)
    except (ExchangeUnavailable, ValueError) as error:
        log.warning("bot=%s position=%s trailing stop not moved: %s", context.bot.pk, position.pk, error)
        message = f"The trailing stop of position {position.pk} stays where it is: {str(error).rstrip('.')}."
        return (Reason("trailing_stop_waits", message, remedy="Nothing to do: the next close that is known makes up for it."),)
    return ()


def _with_position(context: Context, *, position: Position, price: Decimal | None, data: dict[str, object]) -> Outcome:
    if price is None:
        return Outcome(
            Action.CONTINUE, (Reason("price_unknown", f"The price of {context.bot.symbol} is unknown; stop and target wait for it."),), data
        )
    seen = exits.look(position, price=price, rules=lambda: context.rules)
    exits.spend(position, levels=seen.spent)
    due = seen.due
    if due is None:
        return Outcome(Action.CONTINUE, (), data)
    reason = Reason(due.reason, _told(position, due, price=price), value=plain(price), limit=plain(due.limit))
    return Outcome(Action.EXIT, (reason,), {**data, "exit_reason": due.reason})


def _told(position: Position, due: exits.Due, *, price: Decimal) -> str:
    if due.reason is ExitReason.PARTIAL:
        what = f"Level {due.level} of position {position.pk} at {plain(due.limit)} is reached at {plain(price)}"
        return f"{what}; {percent(due.share)} of what is held is sold now."
    if due.reason is ExitReason.TRAILING:
        below = f"{plain(due.limit)} under the highest price {plain(position.high_water or due.limit)}"
        return f"The trailing stop of position {position.pk} at {below} is reached at {plain(price)}; it is sold now."
    return f"The {due.reason} of position {position.pk} at {plain(due.limit)} is reached at {plain(price)}; it is sold now."


def _observe(context: Context, *, price: Decimal | None) -> list[RiskState]:
    bot = context.bot
    return risk.observe(
        owner=risk.Owner(account_id=bot.account_id, user_id=bot.user_id, mode=bot.mode),
        observations=[
            risk.Observation(
                bot_id=bot.pk,
                whose=f"Bot {bot.name}",
                equity=bot_equity(context, price=price),
                capital=bot.allocation,
                limit_base=bot.allocation,
                limits=context.limits,
            ),
            risk.Observation(
                bot_id=None,
                whose=f"Account {bot.account.name}",
                equity=account_equity(context, price=price),
                limit_base=None,
                limits=of_account(bot, profile=context.profile),
            ),
        ],
        now=context.now,
        zone=django_settings.RISK_TIMEZONE,
        states=context.readings.states,
    )


def _use(context: Context, bot_state: RiskState, account_state: RiskState, *, level: int, price: Decimal | None) -> RiskUse:
    unknown = []
    if price is None:
        unknown.append(f"the price of {context.bot.symbol} is unknown")
    if context.allocation is None:
        unknown.append("the allocation is unknown until the exchange has told the account's cash")
    if account_state.equity is None:
        unknown.append("the account's equity is unknown")
    unknown += _unknown_to_others(context)
    states = (("bot", bot_state), ("account", account_state))
    return RiskUse(
        entries_today=bot_state.daily_trade_count,
        last_entry_at=bot_state.last_trade_time,
        kill_level=level,
        safe_mode_reasons=tuple(f"{whose}: {state.safe_mode_reason}" for whose, state in states if state.safe_mode),
        unknown=tuple(unknown),
        unproven_orders=context.readings.unproven_orders.get(context.bot.pk, 0),
        switched_off=switches.blocking(context.bot, settings=context.settings),
    )


def _unknown_to_others(context: Context) -> list[str]:
    """What feed, guardian and gateway say against entries of a bot at a real market."""
    bot = context.bot
    if Mode(bot.mode).is_recorded:
        return []
    alarm = price_alarms.why_no_entries(exchange=bot.account.exchange, symbol=bot.symbol)
    return [why for why in (context.venue.why_stale(bot.symbol), alarm, credentials.why_no_entries(bot.account_id)) if why]


def _price(context: Context) -> Decimal | None:
    try:
        return context.venue.exchange.ticker(context.bot.symbol).price
    except ExchangeUnavailable:
        return None


def _data(context: Context, *, price: Decimal | None, bot_state: RiskState, level: int) -> dict[str, object]:
    return {
        "price": None if price is None else str(price),
        "known_at": context.now.isoformat(),
        "equity": None if bot_state.equity is None else str(bot_state.equity),
        "daily_pnl": None if bot_state.daily_pnl is None else str(bot_state.daily_pnl),
        "weekly_pnl": None if bot_state.weekly_pnl is None else str(bot_state.weekly_pnl),
        "entries_today": bot_state.daily_trade_count,
        "kill_level": level,
        "risk_profile": context.profile.name,
        "position": None if context.position is None else context.position.pk,
    }
