"""What the four stages of a cycle say to each other, as values."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from dgbot.core.types import OrderBook, Ticker
from risk.domain.reasons import Reason


class Action(StrEnum):
    """What a stage tells the next one."""

    CONTINUE = "continue"
    SKIP = "skip"  # nothing to do here
    EXIT = "exit"  # leave the position now
    STOP = "stop"  # the cycle ends


class StageName(StrEnum):
    """The four stages in their order."""

    RISK_CHECK = "risk_check"
    DATA_COLLECTION = "data_collection"
    ANALYSIS = "analysis"
    EXECUTION = "execution"


STAGES = tuple(StageName)


@dataclass(frozen=True)
class Outcome:
    """One stage's answer. `data` is what it saw, JSON values with the time each was known."""

    action: Action
    reasons: tuple[Reason, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The reasons in one line."""
        return " ".join(reason.message for reason in self.reasons)


@dataclass(frozen=True)
class Collected:
    """Everything a decision may look at. `unknown` names what is missing; it blocks entries, never exits."""

    candles: Any  # backtests.candles.series.Candles, from the anchor on, closed at the slot
    ticker: Ticker | None
    book: OrderBook | None
    balances: dict[str, Decimal]
    unknown: tuple[Reason, ...]
    known_at: datetime
    btc: Any = None  # Candles of BTC on the same interval; None where no rule asks for it or it cannot be told
    minutes: Any = None  # Candles of five minutes, likewise
    missing: tuple[Reason, ...] = ()  # why one of these two cannot be told; only the rules that ask for it are unknown then
    shared_by: int | None = None  # a shadow's: the decision of its champion that price and book were seen by


class DecisionKind(StrEnum):
    """What the analyst answered. Abstain is "cannot tell", never "hold"."""

    BUY = "buy"
    SELL = "sell"
    HOLD = "hold"
    ABSTAIN = "abstain"


@dataclass(frozen=True)
class Proposal:
    """What the rules propose at a close: a side with its reason, and for an entry the distances it fixes (quote currency)."""

    decision: DecisionKind
    reason: str
    exit_reason: str = ""
    plan: dict[str, str | None] = field(default_factory=dict)
    gates: dict[str, int] = field(default_factory=dict)
    indicators: dict[str, float | None] = field(default_factory=dict)
