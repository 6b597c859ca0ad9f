"""AI: replays the stored decisions of an analyst, asking nobody. Without decisions it can tell nothing, and says so.

A decision counts at a close when it was taken in the first part of the candle after it: later ones could not have been filled at
the next open, and are left out.
"""

from dataclasses import dataclass

import numpy as np

from backtests.candles.series import Candles
from backtests.strategies.base import NO, UNKNOWN, YES, Answers, Decisions, Numbers, Parameters, Signals, Strategy, bounded
from backtests.strategies.exits import ExitRules


@dataclass(frozen=True)
class AiParameters(Parameters):
    """Which decisions count."""

    least_confidence: float = bounded(50.0, low=0, high=100, unit="%", help="An entry of lower confidence is not taken.")
    latest: float = bounded(
        0.2, low=0.001, high=1, unit="candles", help="A decision counts when it was taken within this part of a candle after the close."
    )


def signals(candles: Candles, parameters: AiParameters, decisions: Decisions | None = None) -> Signals:
    """Each close with the first decision taken after it; UNKNOWN at closes without one."""
    decisions = Decisions.none() if decisions is None else decisions
    length = candles.interval.nanoseconds
    closed_at = candles.open_time + length
    at = np.searchsorted(decisions.decided_at, closed_at)
    reached = np.append(decisions.decided_at, np.iinfo(np.int64).max)[at]
    is_told = reached - closed_at < parameters.latest * length
    row = np.where(is_told, at, len(decisions.decided_at))
    confidence = _at(decisions.confidence, row)
    entry: Answers = np.append(decisions.entry, np.int8(UNKNOWN))[row]
    entry[(entry == YES) & (confidence < parameters.least_confidence)] = NO
    return Signals(
        entry=entry,
        exit=np.append(decisions.exit, np.int8(UNKNOWN))[row],
        stop_distance=_at(decisions.stop_distance, row),
        target_distance=_at(decisions.target_distance, row),
        gates={"told": np.where(is_told, YES, NO).astype(np.int8)},
    )


def _at(column: Numbers, row: np.ndarray) -> Numbers:
    found: Numbers = np.append(column, np.nan)[row]
    return found


STRATEGY = Strategy(
    name="ai",
    title="AI",
    description="Replays an analyst's stored decisions; live, its analyst proposes and the rules only check.",
    parameters=AiParameters,
    warm_up=lambda _parameters: 0,
    look_back=lambda _parameters: 1,
    signals=signals,
    exit_rules=lambda _parameters: ExitRules(),
    needs_decisions=True,
)
