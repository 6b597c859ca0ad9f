"""What the page of one bot reads: its state with reasons, its money and limits, its last cycles, orders, trades and decisions."""

from typing import Any

from dgbot.core.errors import DgbotError
from monitoring import events, selectors
from risk.models import RiskState
from trading.models import Bot, Cycle, Decision, Order, Position, Trade
from trading.selectors import limits
from trading.services import config
from trading.services.bots import market_now

NEWEST_CYCLES, NEWEST_ROWS = 12, 20


def bot_of(user: Any, bot_pk: int) -> Bot:
    """A bot `user` may see. Raises Bot.DoesNotExist."""
    return Bot.objects.for_user(user).select_related("account__simulated_market", "user", "risk_profile", "schedule").get(pk=bot_pk)


def snapshot(user: Any, *, bot_pk: int) -> events.BotPageSnapshot:
    """Everything the page shows. Raises Bot.DoesNotExist for a bot `user` may not see."""
    as_of = events.now_text()
    bot = bot_of(user, bot_pk)
    (card,) = selectors.bot_cards(list(selectors.bots_shown(Bot.objects.filter(pk=bot_pk), hidden=True)))
    used, cause = _limits(bot)
    cycles = selectors.with_stages(Cycle.objects.filter(bot=bot).order_by("-slot"))[:NEWEST_CYCLES]
    orders = Order.objects.filter(bot=bot).order_by("-created_at", "-pk")[:NEWEST_ROWS]
    return {
        "type": "snapshot",
        "as_of": as_of,
        "bot": card,
        "figures": events.figures(RiskState.objects.filter(account=bot.account_id, bot=bot).order_by("-trading_day").first()),
        "limits": used,
        "limits_cause": cause,
        "positions": [events.position_card(row) for row in selectors.positions_valued(Position.objects.open().filter(bot=bot))],
        "cycles": [events.cycle_card(row) for row in cycles],
        "decisions": [events.decision_card(row) for row in _newest(Decision.objects.filter(bot=bot))],
        "trades": [events.trade_card(row) for row in _newest(Trade.objects.filter(bot=bot))],
        "orders": [events.order_card(row) for row in orders],
        "kill_switches": selectors.kill_switches(user),
    }


def concerns(event: dict[str, Any], *, bot_pk: int) -> bool:
    """Whether this event changes the page of that bot."""
    kind = event["type"]
    if kind in ("bot", "order"):
        return bool(bot_pk == (event["bot"]["id"] if kind == "bot" else event["bot_id"]))
    if kind in ("cycle", "decision", "trade"):
        return bool(event[kind]["bot_id"] == bot_pk)
    if kind == "positions":
        return any(row["bot_id"] == bot_pk for row in event["positions"])
    return kind == "kill_switches"


def _limits(bot: Bot) -> tuple[list[events.LimitCard], str]:
    try:
        used = limits.usage_of(bot.pk, settings=config.current(), now=market_now(bot))
    except (DgbotError, LookupError) as error:
        return [], str(error)
    return [events.limit_card(one) for one in used], ""


def _newest(rows: Any) -> Any:
    return rows.select_related("bot", "account").order_by("-created_at", "-pk")[:NEWEST_ROWS]
