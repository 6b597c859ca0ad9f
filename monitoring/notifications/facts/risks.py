"""Limits that acted, and every change of a kill switch."""

from typing import Any

from monitoring.notifications.facts.common import of_bot
from monitoring.notifications.kinds import Kind, Level
from monitoring.notifications.outbox import Draft
from risk.domain import kill
from risk.models import KillScope, KillSwitchChange, RiskEvent
from trading.models import Bot, ExchangeAccount

RELEASED = "released"


def of_events(ids: list[int]) -> list[Draft]:
    """Breakers, safe mode begun and released."""
    rows = RiskEvent.objects.filter(pk__in=ids, account__is_hidden=False).exclude(bot__is_hidden=True).exclude(account__mode="replay")
    return [_event(row) for row in rows.select_related("bot__account", "account").order_by("pk")]


def of_kill_switches(ids: list[int]) -> list[Draft]:
    """Who changed which switch from what to what. The platform's and a market's concern everybody."""
    return [_switch(row) for row in KillSwitchChange.objects.filter(pk__in=ids).order_by("pk")]


def _event(row: RiskEvent) -> Draft:
    named: dict[str, Any] = of_bot(row.bot) if row.bot is not None else {"bot": "", "symbol": "", "badge": ""}
    facts = {
        **named,
        "account": row.account.name,
        "code": row.code,
        "text": row.message,
        "value": row.value,
        "limit": row.limit,
        "by": row.actor,
    }
    level = Level.INFO if RELEASED in row.code else Level.ERROR
    return Draft(
        Kind.RISK, level, "risk", facts, row.user_id, row.created_at, bot_id=row.bot_id, mode=row.account.mode, fact=f"risk_event:{row.pk}"
    )


def _switch(row: KillSwitchChange) -> Draft:
    facts = {
        "scope": row.scope,
        "which": _name(row),
        "before": row.before,
        "after": row.after,
        "by": row.actor,
        "text": row.reason,
        "value": row.value,
        "limit": row.limit,
        "remedy": row.remedy,
        "is_public": _owner(row) is None,
    }
    level = Level.CRITICAL if row.after > max(row.before, kill.RUN) else Level.WARNING
    return Draft(Kind.RISK, level, "kill_switch", facts, _owner(row), row.at, fact=f"kill_switch_change:{row.pk}")


def _owner(row: KillSwitchChange) -> int | None:
    if row.scope == KillScope.USER:
        return int(row.scope_id)
    if row.scope == KillScope.BOT:
        return Bot.objects.filter(pk=row.scope_id).values_list("user_id", flat=True).first()
    if row.scope == KillScope.ACCOUNT:
        return ExchangeAccount.objects.filter(pk=row.scope_id).values_list("user_id", flat=True).first()
    return None


def _name(row: KillSwitchChange) -> str:
    if row.scope == KillScope.BOT:
        return str(Bot.objects.filter(pk=row.scope_id).first() or row.scope_id)
    if row.scope == KillScope.ACCOUNT:
        return str(ExchangeAccount.objects.filter(pk=row.scope_id).first() or row.scope_id)
    return row.scope_id
