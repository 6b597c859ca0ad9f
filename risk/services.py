"""What risk writes: states per trading day, reservations, safe mode, the kill switch. Receives values, loads no order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from dgbot.accounts import audit
from dgbot.core.errors import BadInput, SecondFactorMissing
from dgbot.core.money import plain
from risk import selectors
from risk.domain import breakers, limits
from risk.domain.breakers import DayStart, Losses, LossLimits, Mark, Released
from risk.domain.days import trading_day
from risk.domain.limits import EffectiveLimits
from risk.models import (
    AccountLimits,
    BotLimits,
    LimitChange,
    LimitSubject,
    Reservation,
    ReservationStatus,
    RiskEvent,
    RiskProfile,
    RiskState,
    Transfer,
)

KILL_LOCK = 0x6467_6B69  # any constant: a change of the kill switch waits for the claims under way and keeps later ones waiting
ACCOUNT_LOCK = 0x6467_6B6A  # the class of account locks
NOT_LIMITS = frozenset({"id", "name", "user_id", "account_id", "bot_id", "updated_at"})  # columns of a row of limits that limit nothing
LimitRow = RiskProfile | AccountLimits | BotLimits


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
    limits: EffectiveLimits
    capital: Decimal | None = None  # a bot's allocation; None: the account's, which its transfers keep


def observe(
    *, owner: Owner, observations: list[Observation], now: datetime, zone: str, states: selectors.States | None = None
) -> list[RiskState]:
    """Bring today's states up to date and trip what must trip. Returns them in the order of `observations`.

    states: of these scopes and maybe others, read in the caller's transaction and kept up to date here; None reads them.
    """
    scopes = [(owner.account_id, item.bot_id) for item in observations]
    known = selectors.recent_states(scopes) if states is None else states
    observed = []
    for scope, item in zip(scopes, observations, strict=True):
        state = _observe(owner=owner, observation=item, recent=known[scope], now=now, zone=zone)
        if state not in known[scope]:
            known[scope].insert(0, state)
        observed.append(state)
    return observed


def record_entry(*, owner: Owner, bot_id: int, at: datetime, zone: str) -> None:
    """Count one confirmed entry of a bot, in the transaction that books its first fill."""
    recent = list(RiskState.objects.filter(account_id=owner.account_id, bot_id=bot_id).order_by("-trading_day")[:1])
    state = _today(owner=owner, bot_id=bot_id, recent=recent, now=at, zone=zone)
    RiskState.objects.filter(pk=state.pk).update(daily_trade_count=F("daily_trade_count") + 1, last_trade_time=at, updated_at=at)


def record_close(*, account_id: int, bot_id: int, profit: Decimal) -> None:
    """Count one closed position, fees included, for its bot and its account, in the transaction that books its last fill.

    The newest rows carry the streak on to the next day; before the first observation there is no row and nothing to count.
    """
    scopes = RiskState.objects.filter(Q(bot=None) | Q(bot_id=bot_id), account_id=account_id)
    newest = scopes.order_by("bot_id", "-trading_day").distinct("bot_id").values_list("pk", "loss_streak")
    for pk, streak in list(newest):
        after = breakers.next_streak(streak, profit=profit)
        if after != streak:
            RiskState.objects.filter(pk=pk).update(loss_streak=after)


@transaction.atomic
def record_transfer(*, owner: Owner, amount: Decimal, reference: str, at: datetime, zone: str, note: str = "") -> bool:
    """Book money paid in (positive) or out (negative), quote currency, once per reference. Returns whether it was news.

    Best called before the balance that shows it is observed. Told late, the figures of its day and week are right from the next
    observation on, and a peak that held the deposit is lowered by at most the deposit. Raises BadInput for zero and without reference.
    """
    if not amount.is_finite() or amount == 0 or not reference:
        raise BadInput(f"The transfer was not booked: it needs an amount other than zero and a reference, was {amount} {reference!r}.")
    _transfer, is_new = Transfer.objects.get_or_create(
        account_id=owner.account_id, reference=reference, defaults={"user_id": owner.user_id, "amount": amount, "note": note, "at": at}
    )
    if is_new:
        day = trading_day(at, zone=zone)
        rows = RiskState.objects.filter(account_id=owner.account_id, bot=None)
        rows.filter(started_at__gt=at).update(start_capital=F("start_capital") + amount)
        newest = rows.select_for_update().order_by("-trading_day").first()
        if newest is not None:
            _lift(newest, amount=amount, at=at, day=day)
            rows.filter(trading_day__gte=min(day, newest.trading_day)).update(capital=F("capital") + amount)
    return is_new


def _lift(newest: RiskState, *, amount: Decimal, at: datetime, day: date) -> None:
    """Take a transfer that was observed before it was told out of the peak and out of the release."""
    if newest.updated_at < at:
        return
    if newest.released_profit is not None and newest.released_day is not None and newest.released_day >= day:
        newest.released_profit -= amount
    if newest.peak_profit is not None and amount > 0 and newest.start_equity is not None:
        newest.peak_profit = max(newest.start_equity - newest.start_capital, newest.peak_profit - amount)
    newest.save(update_fields=["released_profit", "peak_profit"])


def change_limits(
    row: LimitRow,
    *,
    by: Any,
    reason: str,
    governs_live: bool,
    second_factor: Callable[[], bool],
    baseline: Mapping[str, Any] | None = None,
) -> LimitChange | None:
    """Save changed limits with who, when, why and diff; None when nothing changed. Tightening needs nothing and works at once.

    governs_live: whether a live bot trades under them. second_factor: whether `by` has just proven the second factor, asked only
    where it matters. baseline: the profile's values that an empty own limit stands for.
    Raises BadInput for loosening without a reason, or on live bots without a second factor, and for own limits beyond hard ones.
    """
    with transaction.atomic():
        loose = check_limits(row, reason=reason, governs_live=governs_live, second_factor=second_factor, baseline=baseline)
        before, after = _stored_values(row), _limit_values(row)
        if before == after:
            return None
        row.save()
        subject, subject_pk, name = _subject(row)
        return keep_change(
            subject=subject, subject_pk=subject_pk, name=name, before=before, after=after, loosened=loose, by=by, reason=reason
        )


def keep_change(
    *,
    subject: LimitSubject,
    subject_pk: int,
    name: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    loosened: tuple[str, ...],
    by: Any,
    reason: str,
) -> LimitChange:
    """Put one change of limits on record, in the transaction that makes it."""
    told = {"before": None if before is None else _texts(before), "after": _texts(after), "loosened": list(loosened)}
    audit.record(actor=by, action="change limits", target=f"{subject.value}:{subject_pk}", reason=reason, diff=told)
    return LimitChange.objects.create(subject=subject.value, subject_pk=subject_pk, name=name, changed_by=by, reason=reason.strip(), **told)


def check_limits(
    row: LimitRow, *, reason: str, governs_live: bool, second_factor: Callable[[], bool], baseline: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    """Names of what saving `row` would let loose. Raises BadInput as `change_limits` does, and saves nothing."""
    before, after = _stored_values(row), _limit_values(row)
    loose = limits.loosened(_filled(before, after, baseline), _filled(after, after, baseline))
    _refuse_beyond(row, after)
    refuse_loosening(loose, reason=reason, governs_live=governs_live, second_factor=second_factor)
    return loose


def refuse_loosening(loose: tuple[str, ...], *, reason: str, governs_live: bool, second_factor: Callable[[], bool]) -> None:
    """Raise BadInput when `loose`, names of what would allow more, has no reason, or on live bots no second factor."""
    if loose and not reason.strip():
        raise BadInput(f"Not saved: {', '.join(loose)} would allow more than before; say why.")
    if loose and governs_live and not second_factor():
        raise SecondFactorMissing(
            f"Not saved: {', '.join(loose)} would allow more on live bots, and your second factor is not verified."
            " Verify it and save again; tightening needs none."
        )


def hold_account(account_id: int) -> None:
    """Keep what is at stake in an account as it is until the caller's transaction ends: planners and claims take turns.

    Taken before what is at stake is read, and after the kill switch. Source: order-path §2.4, T1.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [ACCOUNT_LOCK, account_id % 2**31])


def _stored_values(row: LimitRow) -> dict[str, Any] | None:
    stored = type(row)._default_manager.filter(pk=row.pk).first() if row.pk else None
    return None if stored is None else _limit_values(stored)


def _limit_values(row: LimitRow) -> dict[str, Any]:
    return {item.attname: getattr(row, item.attname) for item in row._meta.concrete_fields if item.attname not in NOT_LIMITS}


def _filled(values: dict[str, Any] | None, after: dict[str, Any], baseline: Mapping[str, Any] | None) -> dict[str, Any]:
    """What really holds: an own limit that is empty stands for the profile's. Before a first row there was only the baseline."""
    told = values if values is not None else (dict.fromkeys(after) if baseline is not None else after)
    return {name: (baseline or {}).get(name) if value is None else value for name, value in told.items()}


def _refuse_beyond(row: LimitRow, after: dict[str, Any]) -> None:
    hard = AccountLimits.objects.filter(account=row.bot.account_id).first() if isinstance(row, BotLimits) else None
    wrong = limits.beyond(hard.as_values(), after) if hard is not None else ()
    if wrong and hard is not None:
        told = ", ".join(f"{name} {after[name]} (at most {getattr(hard, name)})" for name in wrong)
        raise BadInput(f"Not saved: beyond the hard limits of the account: {told}. Change those first.")


def _subject(row: LimitRow) -> tuple[LimitSubject, int, str]:
    if isinstance(row, RiskProfile):
        return LimitSubject.PROFILE, row.pk, row.name
    if isinstance(row, AccountLimits):
        return LimitSubject.ACCOUNT, row.account_id, str(row.account)
    return LimitSubject.BOT, row.bot_id, str(row.bot)


def _texts(values: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: None if value is None else plain(value) if isinstance(value, Decimal) else str(value) for name, value in values.items()}


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
    """Let entries through again; losses count anew from here. Raises BadInput without a reason or when there is nothing to release."""
    if not reason.strip():
        raise BadInput("Safe mode was not released: a reason is needed.")
    state = RiskState.objects.select_for_update().get(pk=state_pk)
    newest = RiskState.objects.filter(account=state.account, bot=state.bot).order_by("-trading_day").first()
    if newest is None or newest.pk != state.pk or not state.safe_mode:
        raise BadInput("Safe mode was not released: this is not the newest state, or it is not in safe mode.")
    was = state.safe_mode_reason
    state.safe_mode, state.safe_mode_reason, state.updated_at, state.loss_streak = False, "", now, 0
    if state.equity is not None:
        state.released_profit = state.peak_profit = state.equity - state.capital
        state.released_day = state.trading_day
    counted = ["loss_streak", "released_profit", "released_day", "peak_profit"]
    state.save(update_fields=["safe_mode", "safe_mode_reason", "updated_at", *counted])
    _event(state, code="safe_mode_released", message=f"Released by {by.get_username()}: {reason}", actor=by.get_username(), now=now)
    audit.record(actor=by, action="release safe mode", target=f"risk_state:{state.pk}", reason=reason, diff={"safe_mode_reason": [was, ""]})
    return state


def hold_kill_switch() -> None:
    """Keep the kill switch as it is until the caller's transaction ends; whoever claims an order holds it, together with others."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [KILL_LOCK])


def _observe(*, owner: Owner, observation: Observation, recent: list[RiskState], now: datetime, zone: str) -> RiskState:
    state = _today(owner=owner, bot_id=observation.bot_id, recent=recent, now=now, zone=zone)
    if observation.equity is None:
        return state  # what is unknown changes no figure; the caller blocks entries for it
    mark = Mark(observation.equity, state.capital if observation.capital is None else observation.capital)
    if state.start_equity is None:
        state.start_equity, state.start_capital, state.started_at = mark.equity, mark.capital, now
    found = losses_of(state, mark=mark, recent=recent)
    base = state.start_equity if observation.limit_base is None else observation.limit_base
    before = (state.equity, state.capital, state.daily_pnl, state.weekly_pnl, state.peak_profit, state.safe_mode)
    state.equity, state.capital, state.peak_profit = mark.equity, mark.capital, found.peak_profit
    state.daily_pnl, state.weekly_pnl = _shown(state, mark=mark, recent=recent)
    _trip(state, found=found, observation=observation, base=base, now=now)
    if (state.equity, state.capital, state.daily_pnl, state.weekly_pnl, state.peak_profit, state.safe_mode) == before:
        return state
    state.updated_at = now
    tripped = ["safe_mode", "safe_mode_reason"] if state.safe_mode != before[5] else []  # an older reading must not undo what others set
    own = [] if observation.capital is None else ["capital"]  # an account's capital is its transfers', who add to it at any time
    figures = ["start_equity", "start_capital", "started_at", "equity", "daily_pnl", "weekly_pnl", "peak_profit", "updated_at"]
    state.save(update_fields=[*figures, *own, *tripped])
    return state


def losses_of(state: RiskState, *, mark: Mark, recent: list[RiskState]) -> Losses:
    """What the breakers count on `state`'s day; a release starts anew."""
    is_released = state.released_day is not None and state.released_profit is not None
    return breakers.losses(
        now=mark,
        today=state.trading_day,
        starts=_starts(state, recent),
        peak_profit=state.peak_profit,
        loss_streak=state.loss_streak,
        released=Released(day=state.released_day, profit=state.released_profit) if is_released else None,  # type: ignore[arg-type]
    )


def _shown(state: RiskState, *, mark: Mark, recent: list[RiskState]) -> tuple[Decimal, Decimal]:
    """Profit of day and week as pages tell it: a release changes no fact."""
    plain = breakers.losses(now=mark, today=state.trading_day, starts=_starts(state, recent), peak_profit=None)
    return plain.daily_pnl, plain.weekly_pnl


def _starts(state: RiskState, recent: list[RiskState]) -> list[DayStart]:
    rows = [state, *(row for row in recent if row.pk != state.pk)]
    return [DayStart(row.trading_day, Mark(row.start_equity, row.start_capital)) for row in rows if row.start_equity is not None]


def _trip(state: RiskState, *, found: Losses, observation: Observation, base: Decimal, now: datetime) -> None:
    if state.safe_mode:
        return
    held = observation.limits
    loss_limits = LossLimits(
        base=base,
        daily_fraction=held.daily_loss_fraction,
        weekly_fraction=held.weekly_loss_fraction,
        drawdown_fraction=held.drawdown_fraction,
        loss_streak=held.loss_streak,
    )
    reasons = breakers.tripped(losses=found, limits=loss_limits, whose=observation.whose)
    if not reasons:
        return
    state.safe_mode, state.safe_mode_reason = True, " ".join(reason.message for reason in reasons)[:255]
    for reason in reasons:
        _event(state, code=reason.code, message=reason.message, value=reason.value, limit=reason.limit, actor="breaker", now=now)


CARRIED = (
    "capital",
    "peak_profit",
    "loss_streak",
    "released_profit",
    "released_day",
    "last_trade_time",
    "safe_mode",
    "safe_mode_reason",
)  # midnight forgets none of these


def _today(*, owner: Owner, bot_id: int | None, recent: list[RiskState], now: datetime, zone: str) -> RiskState:
    """The row of the trading day of `now`. A clock set back keeps the newest row: no day is lived twice."""
    day = trading_day(now, zone=zone)
    newest = recent[0] if recent else None
    if newest is not None and newest.trading_day >= day:
        return newest
    carried = {} if newest is None else {name: getattr(newest, name) for name in CARRIED}
    if newest is not None:
        carried["start_capital"] = newest.capital
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
