"""The notifier's doorbell: something may have to be told. A lost ring costs at most one sweep; nobody waits for it.

It is rung from a background thread, so that neither a fill nor a page waits for Redis, and once for all that happened meanwhile.
"""

import time
from typing import Any

from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import Signal

from monitoring.background import Background
from risk.models import RiskEvent
from risk.signals import kill_switch_changed
from trading import doorbell, signals

BELL = "dgbot:doorbell:notifier"
PAUSE_S = 2.0  # after a ring that took long: a dead Redis must not be asked for every fill
SLOW_S = 0.1

HEARD: tuple[Signal, ...] = (
    signals.bot_changed,
    signals.cycle_finished,
    signals.decision_made,
    signals.order_changed,
    signals.order_needs_a_look,
    signals.trade_recorded,
    signals.account_needs_a_look,
    kill_switch_changed,
)


class _Ringer:
    """Rings once for a batch, and leaves a Redis that does not answer alone for a while."""

    def __init__(self) -> None:
        self.silent_until = 0.0

    def ring(self, _batch: list[Any]) -> None:
        """Never raises."""
        started = time.monotonic()
        if started < self.silent_until:
            return
        doorbell.ring(BELL)
        if time.monotonic() - started > SLOW_S:
            self.silent_until = time.monotonic() + PAUSE_S


_background = Background("notifier's doorbell", _Ringer().ring, capacity=10)


def ring() -> None:
    """Wake the notifiers, without waiting."""
    _background.put(None)


def ring_on_commit() -> None:
    """Wake them once what was written can be seen."""
    transaction.on_commit(ring)


def wait(*, at_most_s: float) -> None:
    """Return when the bell rings, or after `at_most_s` seconds."""
    doorbell.wait(at_most_s=at_most_s, bell=BELL)


def listen() -> None:
    """Ring at the news of trading and risk, sent after commit. They only wake: what is told is read from the rows."""
    for signal in HEARD:
        signal.connect(_heard, weak=False, dispatch_uid="notifier's doorbell")
    post_save.connect(_saved, sender=RiskEvent, weak=False, dispatch_uid="notifier's doorbell")


def _heard(**_: Any) -> None:
    ring()


def _saved(**_: Any) -> None:
    ring_on_commit()
