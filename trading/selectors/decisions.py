"""Stored decisions as data a strategy can replay."""

import math
from datetime import datetime
from typing import Any

import numpy as np

from backtests.strategies.base import NO, UNKNOWN, YES, Decisions
from dgbot.core.clock import to_nanoseconds
from trading.domain.stages import DecisionKind
from trading.models import Bot, Decision

ANSWERS = {DecisionKind.BUY: (YES, NO), DecisionKind.SELL: (NO, YES), DecisionKind.HOLD: (NO, NO), DecisionKind.ABSTAIN: (UNKNOWN, UNKNOWN)}
BLOCKED = (NO, NO)  # a buy the validator refused opened nothing


def stored_decisions(*, bot: Bot, until: datetime | None = None) -> Decisions:
    """What this bot's analyst decided before `until` (aware; None: all), oldest first, as the strategy `ai` replays it."""
    rows = Decision.objects.filter(bot=bot).order_by("created_at", "pk")
    if until is not None:
        rows = rows.filter(created_at__lt=until)
    told = list(rows.values_list("created_at", "decision", "confidence", "proposal", "verdict"))
    answers = [_answers(decision, verdict) for _at, decision, _confidence, _proposal, verdict in told]
    plans = [proposal.get("plan") or {} for _at, _decision, _confidence, proposal, _verdict in told]
    return Decisions(
        decided_at=np.array([to_nanoseconds(at) for at, *_rest in told], dtype=np.int64),
        entry=np.array([entry for entry, _exit in answers], dtype=np.int8),
        exit=np.array([leave for _entry, leave in answers], dtype=np.int8),
        confidence=np.array([_number(confidence) for _at, _decision, confidence, *_rest in told], dtype=np.float64),
        stop_distance=np.array([_number(plan.get("stop_distance")) for plan in plans], dtype=np.float64),
        target_distance=np.array([_number(plan.get("target_distance")) for plan in plans], dtype=np.float64),
    )


def _answers(decision: str, verdict: dict[str, Any]) -> tuple[int, int]:
    kind = DecisionKind(decision)
    return BLOCKED if kind is DecisionKind.BUY and not verdict.get("is_valid", True) else ANSWERS[kind]


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
