"""Whether a new position may be opened now. Every reason is told, not only the first; exits are never asked here."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from risk.domain.limits import EffectiveLimits
from risk.domain.reasons import Reason


@dataclass(frozen=True)
class RiskUse:
    """How much of the limits is used, and what blocks entries whatever the limits. Times are market time.

    `safe_mode_reasons`: why bot or account are in safe mode. `unknown`: what could not be told; unknown blocks.
    """

    entries_today: int
    last_entry_at: datetime | None
    kill_level: int
    safe_mode_reasons: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unproven_orders: int = 0
    switched_off: tuple[Reason, ...] = ()


def blocks(*, limits: EffectiveLimits, use: RiskUse, now: datetime) -> tuple[Reason, ...]:
    """Every reason against an entry at `now`; empty when one is allowed."""
    found = list(use.switched_off)
    if use.kill_level > 0:
        found.append(
            Reason(
                "kill_switch",
                f"The kill switch is at level {use.kill_level}.",
                value=str(use.kill_level),
                limit="0",
                remedy="Lower it in the admin once its cause is gone.",
            )
        )
    found += [
        Reason("safe_mode", f"Safe mode: {text}", remedy="Release it in Risk states with a reason.") for text in use.safe_mode_reasons
    ]
    found += [Reason("unknown", f"Entries wait: {text}") for text in use.unknown]
    if use.unproven_orders:
        found.append(
            Reason(
                "unproven_order",
                f"{use.unproven_orders} order(s) of this bot may be at the exchange without our knowing.",
                value=str(use.unproven_orders),
                limit="0",
                remedy="Reconciliation settles them; wait.",
            )
        )
    if use.last_entry_at is not None and now - use.last_entry_at < limits.spacing:
        free_at = use.last_entry_at + limits.spacing
        found.append(
            Reason(
                "spacing",
                f"The last entry was {_words(now - use.last_entry_at)} ago; entries keep {_words(limits.spacing)} apart.",
                value=_words(now - use.last_entry_at),
                limit=_words(limits.spacing),
                remedy=f"Wait until {free_at.isoformat()}.",
            )
        )
    if limits.entries_per_day is not None and use.entries_today >= limits.entries_per_day:
        found.append(
            Reason(
                "daily_count",
                f"{use.entries_today} entries today; the limit is {limits.entries_per_day}.",
                value=str(use.entries_today),
                limit=str(limits.entries_per_day),
                remedy="Wait for the next trading day.",
            )
        )
    return tuple(found)


def _words(duration: timedelta) -> str:
    minutes = int(duration.total_seconds() // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
