"""The four messages of a cycle: its start, backtest and signals, the decision, the portfolio (requirements §2.9)."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q

from monitoring.notifications.facts.common import of_bot, reasons, text
from monitoring.notifications.kinds import Kind, Level
from monitoring.notifications.outbox import Draft
from trading.domain.stages import Action, StageName
from trading.models import AccountBalance, Bot, Decision, LedgerEntry, PortfolioSnapshot, StageResult
from trading.selectors import ledger

BETWEEN, NOT_REACHED = "between_candles", "not_reached"
VISIBLE = Q(cycle__account__is_hidden=False, cycle__bot__is_hidden=False) & ~Q(cycle__mode="replay")


def of_stages(ids: list[int]) -> list[Draft]:
    """Of RiskCheck the start, of Analysis the signals, of Execution the portfolio, unless an order was planned: that ends it later."""
    rows = StageResult.objects.filter(VISIBLE, pk__in=ids).select_related("cycle__bot__account").order_by("pk")
    told = [row for row in rows if not _is_between(row)]
    collected = _collected({row.cycle_id for row in told if row.stage == StageName.ANALYSIS})
    drafts = [_draft(row, collected.get(row.cycle_id, {})) for row in told]
    return [draft for draft in drafts if draft is not None]


def of_decisions(ids: list[int]) -> list[Draft]:
    """What was decided, how surely, how fast and why."""
    rows = Decision.objects.filter(VISIBLE, pk__in=ids).select_related("bot__account", "call").order_by("pk")
    return [
        Draft(
            Kind.DECISION,
            Level.INFO,
            "decision",
            {
                **of_bot(row.bot),
                "decision": row.decision,
                "confidence": text(row.confidence),
                "analyst": row.analyst,
                "seconds": None if row.call is None or row.call.latency_ms is None else f"{row.call.latency_ms / 1000:.1f}",
                "reason": row.reason,
                "stopped": reasons(row.verdict.get("reasons", [])),
            },
            row.user_id,
            row.created_at,
            bot_id=row.bot_id,
            mode=row.mode,
            fact=f"decision:{row.pk}",
        )
        for row in rows
    ]


def portfolio(bot: Bot, *, at: datetime, fact: str, trade: dict[str, Any] | None = None, outcome: str = "") -> Draft:
    """What the bot's account holds and has earned. trade: how the cycle's order ended, None without one."""
    account = bot.account
    balances = {row.asset: row.free + row.locked for row in AccountBalance.objects.filter(account=account)}
    base = next((asset for asset in balances if asset != account.quote_currency and asset in bot.symbol), "")
    snapshot = PortfolioSnapshot.objects.filter(account=account).order_by("-created_at").first()
    value = None if snapshot is None else snapshot.total_value_krw if account.quote_currency == "KRW" else snapshot.total_value_usd
    facts = {
        **of_bot(bot),
        "quote": text(balances.get(account.quote_currency)),
        "base": base,
        "base_amount": text(balances.get(base)),
        "value": text(value),
        "cause": "" if snapshot is None else snapshot.cause,
        "earned": text(_earned(account)),
        "outcome": outcome,
        "trade": trade,
    }
    return Draft(Kind.PORTFOLIO, Level.INFO, "portfolio", facts, bot.user_id, at, bot_id=bot.pk, mode=bot.mode, fact=fact)


def _earned(account: Any) -> Decimal | None:
    """Realised profit of the account since its first trade, after fees and funding in its own currency."""
    if not LedgerEntry.objects.filter(account=account).exists():
        return None
    return sum((line.net(account.quote_currency) for line in ledger.summaries(accounts=[account.pk])), Decimal(0))


def _is_between(row: StageResult) -> bool:
    return any(reason.get("code") == BETWEEN for reason in row.reasons)


def _draft(row: StageResult, collected: dict[str, Any]) -> Draft | None:
    cycle, bot = row.cycle, row.cycle.bot
    codes = {reason.get("code") for reason in row.reasons}
    common: dict[str, Any] = {"bot_id": bot.pk, "mode": cycle.mode, "fact": f"stage:{row.pk}"}
    if row.stage == StageName.RISK_CHECK:
        level = Level.WARNING if row.action in (Action.EXIT, Action.STOP) else Level.INFO
        facts = {
            **of_bot(bot),
            "action": row.action,
            "slot": cycle.slot.isoformat(),
            "trigger": cycle.trigger,
            "text": reasons(row.reasons),
        }
        return Draft(Kind.CYCLE, level, "cycle", facts, cycle.user_id, cycle.slot, **common)
    if row.stage == StageName.ANALYSIS and NOT_REACHED not in codes:
        facts = {
            **of_bot(bot),
            "market": collected.get("market"),
            "price": (collected.get("price") or {}).get("value"),
            "analysis": row.data,
        }
        return Draft(Kind.SIGNALS, Level.INFO, "signals", facts, cycle.user_id, row.created_at, **common)
    if row.stage == StageName.EXECUTION and "order" not in row.data:
        return portfolio(bot, at=row.created_at, fact=f"stage:{row.pk}", outcome=cycle.outcome or reasons(row.reasons))
    return None


def _collected(cycle_ids: set[int]) -> dict[int, dict[str, Any]]:
    rows = StageResult.objects.filter(cycle__in=cycle_ids, stage=StageName.DATA_COLLECTION).values_list("cycle_id", "data")
    return dict(rows) if cycle_ids else {}
