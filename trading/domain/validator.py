"""Trust but verify: rules every entry must pass, whoever proposed it. A missing value blocks; an exit is never judged."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from risk.domain.reasons import Reason


@dataclass(frozen=True)
class Thresholds:
    """Where the rules bite, from the risk profile."""

    rsi_buy_limit: Decimal


@dataclass(frozen=True)
class Verdict:
    """Whether an entry may go on, and what each rule saw."""

    is_valid: bool
    reasons: tuple[Reason, ...]
    seen: Mapping[str, str]


def judge_buy(*, rsi: float | None, thresholds: Thresholds) -> Verdict:
    """Judge a proposed buy. rsi: RSI14 of the signal bar, 0–100, None when unknown."""
    reason = _overbought(rsi=rsi, limit=thresholds.rsi_buy_limit)
    seen = {"rsi14": "unknown" if rsi is None else f"{rsi:.4f}", "rsi_buy_limit": str(thresholds.rsi_buy_limit)}
    return Verdict(is_valid=reason is None, reasons=(reason,) if reason else (), seen=seen)


def _overbought(*, rsi: float | None, limit: Decimal) -> Reason | None:
    if rsi is None or math.isnan(rsi):
        return Reason("rsi_unknown", "RSI14 is unknown, so the buy cannot be judged.", remedy="Wait for more candles.")
    if rsi > limit:
        return Reason(
            "rsi_overbought",
            f"RSI14 is {rsi:.1f}; a buy over {limit} is blocked.",
            value=f"{rsi:.4f}",
            limit=str(limit),
            remedy="Wait, or raise the RSI limit in the risk profile.",
        )
    return None
