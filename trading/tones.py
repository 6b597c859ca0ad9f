"""Which colour a state has wherever it is shown: good, bad, warn, busy or quiet."""

from trading.domain.lifecycle import CLOSED, Status
from trading.models import BotStatus, CycleStatus

BOT = {
    BotStatus.RUNNING: "good",
    BotStatus.REQUESTED: "busy",
    BotStatus.STARTING: "busy",
    BotStatus.STOPPING: "busy",
    BotStatus.PAUSED: "warn",
    BotStatus.SAFE_MODE: "bad",
    BotStatus.FAILED: "bad",
    BotStatus.STOPPED: "quiet",
}
CYCLE = {CycleStatus.DONE: "good", CycleStatus.RUNNING: "busy", CycleStatus.FAILED: "bad", CycleStatus.MISSED: "warn"}
ACTION = {"continue": "good", "skip": "quiet", "exit": "warn", "stop": "bad"}
DECISION = {"buy": "good", "sell": "bad", "hold": "quiet", "abstain": "warn"}
_ORDER = {Status.FILLED: "good", Status.DENIED: "warn", Status.FAILED: "bad", Status.LAPSED: "warn", Status.EXPIRED: "warn"}


def of_order(status: str) -> str:
    """Red where its fate is unknown, busy while it lives."""
    known = Status(status)
    if known in (Status.UNKNOWN, Status.DISPUTED):
        return "bad"
    return _ORDER.get(known, "quiet" if known in CLOSED else "busy")
