"""One notification of every form, unsaved: what reviewers look at, and what no medium may stumble over."""

from datetime import UTC, datetime
from typing import Any

from monitoring.notifications.kinds import Kind, Level
from monitoring.notifications.models import Notification

AT = datetime(2026, 11, 21, 3, 0, 5, tzinfo=UTC)
BOT = {"bot": "Momentum <1>", "bot_id": 3, "symbol": "KRW-BTC", "currency": "KRW", "badge": "PAPER"}
CHECKS = [
    {"name": "return", "value": "4.10 %", "limit": "3.00 %", "is_most": False, "is_met": True},
    {"name": "win_rate", "value": "41.00 %", "limit": "35.00 %", "is_most": False, "is_met": True},
    {"name": "sharpe", "value": "0.71", "limit": "0.80", "is_most": False, "is_met": False},
    {"name": "max_drawdown", "value": "12.30 %", "limit": "20.00 %", "is_most": True, "is_met": True},
    {"name": "trades", "value": "48", "limit": "30", "is_most": False, "is_met": True},
]
REASON = (
    "Overall: momentum carries, but the band is wide.\nTrend: above MA20 & MA60, structure intact.\nMomentum: RSI 61, MACD positive.\n"
    "Volatility: ATR 2.1 %, volume 1.8 × its mean.\nStructure: resistance at 151,200,000.\nWeighing: reward/risk 1.5, so <buy>."
)
END = {
    "id": 12, "exchange_id": "C0101000000001", "side": "buy", "status": "filled", "is_ok": True, "price": "150000000",
    "amount": "0.00033", "total": "49500", "fee": "24.75", "why": "",
}  # fmt: skip
ACCOUNT = {
    "name": "Upbit paper", "mode": "paper", "badge": "PAPER", "currency": "KRW", "has_data": True, "trades": 6, "sales": 3,
    "realised": "15234", "net": "14011", "fees": "1223", "other_fees": "0.02 USDT", "start_value": "1000000", "end_value": "1014011",
    "open_positions": 1,
}  # fmt: skip

SAMPLES: dict[str, dict[str, Any]] = {
    "cycle": {"form": "cycle", **BOT, "action": "continue", "slot": AT.isoformat(), "trigger": "schedule", "text": "Every limit holds."},
    "signals": {
        "form": "signals",
        **BOT,
        "price": "150000000",
        "market": {"close": 1.5e8, "rsi14": 74.2, "ma20": 1.49e8, "ma60": 1.45e8, "change_24h": 0.0213},
        "analysis": {"quick_filter": {"passed": False, "checks": CHECKS}, "market_conditions": {"flash_return": -0.012, "divergence": 4.2}},
    },
    "signals without proposal": {
        "form": "signals",
        **BOT,
        "price": None,
        "market": None,
        "analysis": {"quick_filter": "not asked", "market_conditions": "not asked"},
    },
    "decision": {
        "form": "decision",
        **BOT,
        "decision": "buy",
        "confidence": "72",
        "analyst": "gpt",
        "seconds": "3.4",
        "reason": REASON,
        "stopped": "",
    },
    "portfolio": {
        "form": "portfolio",
        **BOT,
        "quote": "950475.25",
        "base": "BTC",
        "base_amount": "0.00033",
        "value": "999975.25",
        "cause": "",
        "earned": "12345",
        "outcome": "",
        "trade": END,
    },
    "portfolio unknown": {
        "form": "portfolio",
        **BOT,
        "quote": None,
        "base": "",
        "base_amount": None,
        "value": None,
        "cause": "the exchange has not told the balances yet",
        "earned": None,
        "outcome": "skip: nothing to do",
        "trade": None,
    },
    "fill": {
        "form": "fill",
        **BOT,
        "account": "Upbit paper",
        "order": 12,
        "side": "buy",
        "exit_reason": "",
        "source": "exchange",
        "price": "150000000",
        "amount": "0.00033",
        "total": "49500",
        "fee": "24.75",
        "fee_currency": "KRW",
        "profit": None,
        "is_closed": False,
        "is_foreign": False,
    },
    "stop": {
        "form": "fill",
        **BOT,
        "account": "Upbit paper",
        "order": 13,
        "side": "sell",
        "exit_reason": "stop",
        "source": "exchange",
        "price": "142500000",
        "amount": "0.00033",
        "total": "47025",
        "fee": "23.51",
        "fee_currency": "KRW",
        "profit": "-2523.26",
        "is_closed": True,
        "is_foreign": False,
    },
    "risk": {
        "form": "risk",
        **BOT,
        "account": "Upbit paper",
        "code": "daily_loss",
        "by": "breaker",
        "value": "3.1 %",
        "limit": "3 %",
        "text": "The loss of today is 3.1 % of the start value, over the limit of 3 %.",
    },
    "kill_switch": {
        "form": "kill_switch",
        "scope": "platform",
        "which": "",
        "before": 0,
        "after": 1,
        "by": "operator",
        "text": "exchange acts up",
        "value": "",
        "limit": "",
        "remedy": "",
        "is_public": True,
    },
    "order": {"form": "order", **BOT, "order": 12, "side": "buy", "status": "unknown", "why": "no answer within 8 s"},
    "key": {"form": "key", "account": "Upbit", "key": "…a1b2", "status": "refused", "why": "the key has expired"},
    "break": {
        "form": "break",
        "account": "Upbit",
        "what": "difference",
        "subject": "BTC",
        "told": "0.5",
        "booked": "0.4",
        "detail": "",
    },
    "bot": {"form": "bot", **BOT, "status": "safe_mode", "why": "3 cycles failed one after the other", "strategy": "conservative_ema"},
    "silence": {"form": "silence", "name": "gateway@host", "is_late": True, "silent_s": 75, "limit_s": 60, "process": "gateway"},
    "cover": {"form": "cover", **BOT, "position": 7, "is_naked": True, "seconds": 14},
    "price": {"form": "price", "exchange": "upbit", "symbol": "KRW-BTC", "why": "No price of KRW-BTC for 12 s."},
    "job": {"form": "job", "name": "Check of the books (daily)", "is_ok": False, "result": "1 figure differs"},
    "log": {"form": "log", "text": "books disagree: account 1", "logger": "trading.tasks"},
    "report": {"form": "report", "day": "2026-11-20", "accounts": [ACCOUNT, {**ACCOUNT, "name": "Bitget", "has_data": False}]},
    "report without accounts": {"form": "report", "day": "2026-11-20", "accounts": []},
    "plain": {"form": "plain", "title": "Backup made", "text": "All of it in 12 s.", "params": {}, "fields": [["Value", "17 MB"]]},
    "literal": {"form": "literal", "title": "Status", "text": "3 bots run", "fields": [["Bots", "3"]]},
}
KINDS = {
    "cycle": Kind.CYCLE, "signals": Kind.SIGNALS, "signals without proposal": Kind.SIGNALS, "decision": Kind.DECISION,
    "portfolio": Kind.PORTFOLIO, "portfolio unknown": Kind.PORTFOLIO, "fill": Kind.FILL, "stop": Kind.RISK, "risk": Kind.RISK,
    "kill_switch": Kind.RISK, "bot": Kind.BOT, "silence": Kind.ALARM, "report": Kind.REPORT, "report without accounts": Kind.REPORT,
    "plain": Kind.BACKUP, "literal": Kind.REPLY, "job": Kind.HEALTH,
}  # fmt: skip
LEVELS = {
    **dict.fromkeys(("risk", "order", "key", "break", "bot", "job"), Level.ERROR),
    **dict.fromkeys(("kill_switch", "silence", "cover", "price", "log"), Level.CRITICAL),
    "stop": Level.WARNING,
}


def sample(name: str) -> Notification:
    """One of them."""
    return Notification(pk=1, kind=KINDS.get(name, Kind.ERROR), level=LEVELS.get(name, Level.INFO), content=SAMPLES[name], happened_at=AT)
