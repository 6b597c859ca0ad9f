"""What a replay did, from its rows alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, QuerySet

from dgbot.core.interval import Interval
from dgbot.core.money import plain
from risk.models import RiskState
from trading.models import AccountBalance, Bot, Cycle, Decision, Order, PortfolioSnapshot, StageResult, Trade


@dataclass(frozen=True)
class Summary:
    """Money in quote currency; percentages of the cash at the start."""

    bot: int
    symbol: str
    strategy: str
    first_slot: str
    last_slot: str
    cycles: dict[str, int]
    stages: dict[str, dict[str, int]]
    decisions: dict[str, int]
    stopped: dict[str, int]  # proposed entries, by each gate that stopped them; two gates may stop the same one
    orders: dict[str, int]
    trades: int
    fees: str
    start_equity: str
    final_equity: str | None
    return_pct: str | None
    max_drawdown_pct: str | None
    safe_mode: str
    balances: dict[str, str]
    fills: list[dict[str, str]]

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


def summarise(bot: Bot) -> Summary:
    """The summary of one replay bot."""
    cycles = Cycle.objects.filter(bot=bot)
    slots = cycles.order_by("slot").values_list("slot", flat=True)
    trades = list(Trade.objects.filter(bot=bot).order_by("pk"))
    equities = list(PortfolioSnapshot.objects.filter(account=bot.account).order_by("created_at").values_list("total_value_krw", flat=True))
    start, final = bot.allocation or Decimal(0), equities[-1] if equities else None
    return Summary(
        bot=bot.pk,
        symbol=bot.symbol,
        strategy=bot.strategy,
        first_slot=slots[0].isoformat() if slots else "",
        last_slot=slots.reverse()[0].isoformat() if slots else "",
        cycles=_counts(cycles.order_by().values_list("status").annotate(count=Count("pk"))),
        stages=_stages(bot),
        decisions=_counts(Decision.objects.filter(bot=bot).order_by().values_list("decision").annotate(count=Count("pk"))),
        stopped=stopped_entries(Decision.objects.filter(bot=bot)),
        orders=_counts(Order.objects.filter(bot=bot).order_by().values_list("status").annotate(count=Count("pk"))),
        trades=len(trades),
        fees=plain(sum((trade.fee for trade in trades), Decimal(0))),
        start_equity=plain(start),
        final_equity=None if final is None else plain(final),
        return_pct=None if final is None else f"{(final / start - 1) * 100:.4f}",
        max_drawdown_pct=_max_drawdown(start, equities),
        safe_mode=_safe_mode(bot),
        balances={row.asset: plain(row.free + row.locked) for row in AccountBalance.objects.filter(account=bot.account).order_by("asset")},
        fills=[fill_key(trade, interval=Interval(bot.interval)) for trade in trades],
    )


def stopped_entries(decisions: QuerySet[Decision]) -> dict[str, int]:
    """Gate → how many proposed entries it stopped: the quick filter, each rule of the validator, the analyst's veto."""
    verdicts = decisions.filter(verdict__is_valid=False).values_list("verdict", flat=True)
    return dict(sorted(Counter(gate for verdict in verdicts for gate in verdict.get("stopped_by", ())).items()))


def fill_key(trade: Trade, *, interval: Interval, lot_step: Decimal = Decimal("0.00000001")) -> dict[str, str]:
    """What two runs are compared by: the bar a fill happened in, its side, price and whole lots."""
    return {
        "slot": interval.open_of(trade.created_at).isoformat(),
        "side": trade.side,
        "price": plain(trade.price),
        "lots": str(int(trade.amount / lot_step)),
        "reason": trade.exit_reason or trade.purpose,
    }


def _stages(bot: Bot) -> dict[str, dict[str, int]]:
    rows = StageResult.objects.filter(cycle__bot=bot).order_by().values_list("stage", "action").annotate(count=Count("pk"))
    found: dict[str, dict[str, int]] = {}
    for stage, action, count in rows:
        found.setdefault(stage, {})[action] = count
    return found


def _max_drawdown(start: Decimal, equities: Iterable[Decimal | None]) -> str | None:
    """Deepest fall from a peak, percent, the start counting as the first peak; None when a value in between is unknown."""
    peak, deepest = start, Decimal(0)
    for equity in equities:
        if equity is None:
            return None
        peak = max(peak, equity)
        deepest = max(deepest, (peak - equity) / peak * 100)
    return f"{deepest:.4f}"


def _safe_mode(bot: Bot) -> str:
    state = RiskState.objects.filter(account_id=bot.account_id, safe_mode=True).order_by("-trading_day").first()
    return f"Entries were blocked to the end: {state.safe_mode_reason}" if state else ""


def _counts(rows: Iterable[tuple[str, int]]) -> dict[str, int]:
    return dict(sorted(rows))
