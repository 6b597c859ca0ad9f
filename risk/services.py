"""What risk writes: states per trading day, reservations, safe mode, the kill switch. Receives values, loads no order."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from dgbot.accounts import audit
from dgbot.core.errors import BadInput
from risk.domain import breakers
from risk.domain.breakers import LossLimits
from risk.domain.days import trading_day, week_start
from risk.models import KillLevel, KillScope, KillSwitch, Reservation, ReservationStatus, RiskEvent, RiskState

KILL_LOCK = 0x6467_6B69  # any constant: a change of the kill switch waits for the claims under way and keeps later ones waiting
MOST_STATES = 16  # eight trading days of a bot and its account: the week, and the newest row before it


@dataclass(frozen=True)
class Owner:
    """Whose rows these are."""

    account_id: int
    user_id: int
    mode: str


@dataclass(frozen=True)
class Observation:
    """Equity of one scope right now, quote currency; None when it could not be told. bot_id None: the account."""

    bot_id: int | None
    whose: str
    equity: Decimal | None
    limit_base: Decimal | None  # None: the day's start equity
    daily_fraction: Decimal
    weekly_fraction: Decimal


def observe(*, owner: Owner, observations: list[Observation], now: datetime, zone: str) -> list[RiskState]:
    """Bring today's states up to date and trip what must trip. Returns them in the order of `observations`."""
    bots = [observation.bot_id for observation in observations if observation.bot_id is not None]
    scopes = Q(bot=None) | Q(bot_id__in=bots)
    recent = list(RiskState.objects.filter(scopes, account_id=owner.account_id).order_by("-trading_day")[:MOST_STATES])
    return [
        _observe(owner=owner, observation=item, recent=[state for state in recent if state.bot_id == item.bot_id], now=now, zone=zone)
        for item in observations
    ]


def record_entry(*, owner: Owner, bot_id: int, at: datetime, zone: str) -> None:
    """Count one confirmed entry of a bot, in the transaction that books its first fill."""
    recent = list(RiskState.objects.filter(account_id=owner.account_id, bot_id=bot_id).order_by("-trading_day")[:1])
    state = _today(owner=owner, bot_id=bot_id, recent=recent, now=at, zone=zone)
    RiskState.objects.filter(pk=state.pk).update(daily_trade_count=F("daily_trade_count") + 1, last_trade_time=at, updated_at=at)


def reserve(*, order_pk: int, bot_id: int, account_id: int, notional: Decimal) -> None:
    """Set money aside for a planned entry, in the transaction that plans it."""
    Reservation.objects.create(order_id=order_pk, bot_id=bot_id, account_id=account_id, notional=notional)


def convert(*, order_pk: int) -> None:
    """The order became a position."""
    Reservation.objects.filter(order_id=order_pk, status=ReservationStatus.HELD).update(status=ReservationStatus.CONVERTED)


def release(*, order_pk: int) -> None:
    """The order ended without a fill. PostgreSQL refuses this while the exchange may still have it."""
    Reservation.objects.filter(order_id=order_pk, status=ReservationStatus.HELD).update(status=ReservationStatus.RELEASED)


@transaction.atomic
def enter_safe_mode(*, owner: Owner, bot_id: int | None, code: str, message: str, at: datetime, zone: str, actor: str = "platform") -> bool:
    """Block entries of a bot, or of an account (None), until an operator releases them. Returns False when they are blocked already.

    at: market time.
    """
    scope = Q(bot=None) if bot_id is None else Q(bot_id=bot_id)
    recent = list(RiskState.objects.filter(scope, account_id=owner.account_id).order_by("-trading_day")[:1])
    state = _today(owner=owner, bot_id=bot_id, recent=recent, now=at, zone=zone)
    entered = RiskState.objects.filter(pk=state.pk, safe_mode=False).update(safe_mode=True, safe_mode_reason=message[:255], updated_at=at)
    if entered:
        _event(state, code=code, message=message, actor=actor, now=at)
    return bool(entered)


@transaction.atomic
def release_safe_mode(*, state_pk: int, by: Any, reason: str, now: datetime) -> RiskState:
    """Let entries through again. Raises BadInput without a reason or when there is nothing to release."""
    if not reason.strip():
        raise BadInput("Safe mode was not released: a reason is needed.")
    state = RiskState.objects.select_for_update().get(pk=state_pk)
    newest = RiskState.objects.filter(account=state.account, bot=state.bot).order_by("-trading_day").first()
    if newest is None or newest.pk != state.pk or not state.safe_mode:
        raise BadInput("Safe mode was not released: this is not the newest state, or it is not in safe mode.")
    was = state.safe_mode_reason
    state.safe_mode, state.safe_mode_reason, state.updated_at = False, "", now
    state.save(update_fields=["safe_mode", "safe_mode_reason", "updated_at"])
    _event(state, code="safe_mode_released", message=f"Released by {by.get_username()}: {reason}", actor=by.get_username(), now=now)
    audit.record(actor=by, action="release safe mode", target=f"risk_state:{state.pk}", reason=reason, diff={"safe_mode_reason": [was, ""]})
    return state


@transaction.atomic
def set_kill_switch(*, scope: str, scope_id: str, level: int, by: Any, reason: str) -> KillSwitch:
    """Latch a level. Raises BadInput without a reason or for an unknown level."""
    if not reason.strip():
        raise BadInput("The kill switch was not changed: a reason is needed.")
    if scope not in KillScope.values:
        raise BadInput(f"The kill switch was not changed: scope must be one of {', '.join(KillScope.values)}; was {scope!r}.")
    if level not in KillLevel.values:
        raise BadInput(f"The kill switch was not changed: level must be 0 to {KillLevel.FREEZE.value}, was {level}.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [KILL_LOCK])
    switch, _created = KillSwitch.objects.select_for_update().get_or_create(
        scope=scope, scope_id=scope_id, defaults={"reason": reason, "set_by": by}
    )
    before = switch.level
    switch.level, switch.reason, switch.set_by, switch.epoch = level, reason, by, switch.epoch + 1
    switch.save()
    audit.record(
        actor=by, action="set kill switch", target=f"kill_switch:{scope}:{scope_id}", reason=reason, diff={"level": [before, level]}
    )
    return switch


def hold_kill_switch() -> None:
    """Keep the kill switch as it is until the caller's transaction ends; whoever claims an order holds it, together with others."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [KILL_LOCK])


def _observe(*, owner: Owner, observation: Observation, recent: list[RiskState], now: datetime, zone: str) -> RiskState:
    state = _today(owner=owner, bot_id=observation.bot_id, recent=recent, now=now, zone=zone)
    if observation.equity is None:
        return state  # what is unknown changes no figure; the caller blocks entries for it
    if state.start_equity is None:
        state.start_equity = observation.equity
    week = [item.start_equity for item in recent if item.trading_day >= week_start(state.trading_day) and item.start_equity is not None]
    week_start_equity = week[-1] if week else state.start_equity
    before = (state.equity, state.daily_pnl, state.weekly_pnl, state.safe_mode)
    state.equity = observation.equity
    state.daily_pnl, state.weekly_pnl = observation.equity - state.start_equity, observation.equity - week_start_equity
    _trip(state, observation=observation, now=now)
    if (state.equity, state.daily_pnl, state.weekly_pnl, state.safe_mode) == before:
        return state
    state.updated_at = now
    tripped = ["safe_mode", "safe_mode_reason"] if state.safe_mode != before[3] else []  # an older reading must not undo what others set
    state.save(update_fields=["start_equity", "equity", "daily_pnl", "weekly_pnl", "updated_at", *tripped])
    return state


def _trip(state: RiskState, *, observation: Observation, now: datetime) -> None:
    base = observation.limit_base or state.start_equity
    if state.safe_mode or state.daily_pnl is None or state.weekly_pnl is None or base is None or base <= 0:
        return
    limits = LossLimits(base=base, daily_fraction=observation.daily_fraction, weekly_fraction=observation.weekly_fraction)
    reason = breakers.tripped(daily_pnl=state.daily_pnl, weekly_pnl=state.weekly_pnl, limits=limits, whose=observation.whose)
    if reason is None:
        return
    state.safe_mode, state.safe_mode_reason = True, reason.message[:255]
    _event(state, code=reason.code, message=reason.message, value=reason.value, limit=reason.limit, actor="breaker", now=now)


def _today(*, owner: Owner, bot_id: int | None, recent: list[RiskState], now: datetime, zone: str) -> RiskState:
    day = trading_day(now, zone=zone)
    newest = recent[0] if recent else None
    if newest is not None and newest.trading_day == day:
        return newest
    carried = (
        {}
        if newest is None
        else {
            "last_trade_time": newest.last_trade_time,
            "safe_mode": newest.safe_mode,
            "safe_mode_reason": newest.safe_mode_reason,
        }
    )
    state, _created = RiskState.objects.get_or_create(
        account_id=owner.account_id,
        bot_id=bot_id,  # type: ignore[misc]  # None is the account's own row
        trading_day=day,
        defaults={"user_id": owner.user_id, "mode": owner.mode, "updated_at": now, **carried},
    )
    return state


def _event(state: RiskState, *, code: str, message: str, actor: str, now: datetime, value: str = "", limit: str = "") -> None:
    RiskEvent.objects.create(
        bot_id=state.bot_id,
        account_id=state.account_id,
        user_id=state.user_id,
        code=code,
        message=message,
        value=value,
        limit=limit,
        actor=actor,
        created_at=now,
    )
