"""Bots: what the operator wants, what is, and how the two meet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from dgbot.accounts import audit, heartbeats
from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput, SecondFactorMissing
from dgbot.core.types import Mode
from risk import selectors as risk_selectors
from risk import services as risk
from trading.domain.lifecycle import Actor
from trading.models import ACTIVE, AccountBalance, Bot, BotStatus, Cycle, CycleStatus, Order, Position
from trading.services import account_breaks, orders, slots, venues
from trading.signals import bot_changed

MOST_FAILURES = 3  # cycles one after the other; then entries wait for an operator
WAITING = "waiting for the gateway"
PAUSED = "the operator paused its entries"
EXIT_REASON = "operator"
REASON_LIMIT = 255  # characters
AFTER_SLOT_S = 660  # a cycle may begin 10 minutes late; one more to run
LEAST_LATE_S = 120


@transaction.atomic
def start(*, bot_pk: int, by: Any, reason: str = "", second_factor: Callable[[], bool] = lambda: False) -> Bot:
    """Ask for a bot to run; the gateway starts it once its position is known. Asking again changes nothing.

    by: a User, or the name of a process. second_factor: whether that user has just proven one, asked only where money is real.
    Raises BadInput for a mode that cannot trade here, or while the bot is still stopping, SecondFactorMissing for real money without.
    """
    bot = _locked(bot_pk)
    why_not = venues.why_not(Mode(bot.mode))
    if why_not:
        raise BadInput(f"Bot {bot.name} was not started: {why_not}. A paper bot trades the same market with pretended money.")
    is_real = bot.mode == Mode.LIVE and not bot.account.is_demo
    if is_real and not isinstance(by, str) and not second_factor():
        raise SecondFactorMissing(
            f"Bot {bot.name} was not started: it trades real money, and your second factor is not verified."
            " Verify it under Sign-in and second factor, then start it again."
        )
    if bot.status == BotStatus.STOPPING:
        raise BadInput(f"Bot {bot.name} was not started: it is stopping, {bot.status_reason}. Wait until it has stopped.")
    if not bot.is_running:
        changes = {"is_running": True, "is_paused": False, "wanted_at": machine_now()}
        _want(bot, status=BotStatus.REQUESTED, reason=WAITING, by=by, why=reason, action="start bot", **changes)
    return bot


@transaction.atomic
def stop(*, bot_pk: int, by: Any, reason: str = "", close: bool = False, now: datetime | None = None) -> Bot:
    """Stop a bot: no cycle begins any more. Its position stays with its protection, or is sold when `close` is asked for.

    close: plan the exit of this bot's own position and of nothing else; the bot is `stopping` until it is flat. The sale goes the
    way of every exit, so a second click makes no second order. now: market time, needed with `close`.
    """
    bot = _locked(bot_pk)
    position = _held(bot) if close else None
    if position is not None:
        if now is None:
            raise ValueError("closing a position needs the market time")
        orders.plan_exit(position=position, reason=EXIT_REASON, now=now, actor=Actor.OPERATOR)
    after = BotStatus.STOPPING if position is not None or (close and _may_still_fill(bot)) else BotStatus.STOPPED
    if bot.is_running or (after == BotStatus.STOPPING and bot.status != BotStatus.STOPPING):
        told = "its position is being sold" if after == BotStatus.STOPPING else "stopped by the operator"
        _want(bot, status=after, reason=told, by=by, why=reason, action="stop bot and close" if close else "stop bot", is_running=False)
        heartbeats.forget_bot(bot_id=bot.pk)
    return bot


@transaction.atomic
def pause(*, bot_pk: int, by: Any, reason: str = "") -> Bot:
    """Open nothing more, from the next decision on; cycles and exits go on. Raises BadInput for a bot that does not run."""
    bot = _locked(bot_pk)
    if not bot.is_running:
        raise BadInput(f"Bot {bot.name} was not paused: it is {bot.get_status_display()}, so it opens nothing anyway.")
    if not bot.is_paused:
        status = BotStatus.PAUSED if bot.status == BotStatus.RUNNING else BotStatus(bot.status)
        told = PAUSED if status == BotStatus.PAUSED else bot.status_reason
        _want(bot, status=status, reason=told, by=by, why=reason, action="pause entries", is_paused=True)
    return bot


@transaction.atomic
def resume(*, bot_pk: int, by: Any, reason: str = "") -> Bot:
    """Let a paused bot open positions again. Asking again changes nothing."""
    bot = _locked(bot_pk)
    if bot.is_paused:
        status = BotStatus.RUNNING if bot.status == BotStatus.PAUSED else BotStatus(bot.status)
        told = "" if status == BotStatus.RUNNING else bot.status_reason
        _want(bot, status=status, reason=told, by=by, why=reason, action="resume entries", is_paused=False)
    return bot


def settle_wanted(*, account_id: int) -> list[Bot]:
    """Bring what is to what is wanted, now that the account's orders have been asked for. For the gateway, at every turn.

    Returns the bots whose state changed. A bot starts when its position is known: balances told, and no order of unknown fate;
    one that waits is `starting`, with the cause. Bots that are to close their position are stopped once they are flat.
    """
    wanted = Bot.objects.select_related("account").filter(account_id=account_id).filter(Q(is_running=True) | Q(status=BotStatus.STOPPING))
    bots = list(wanted)
    if not bots:
        return []
    facts = _facts(account_id=account_id, bots=bots)
    return [bot for bot in bots if _settle(bot, facts)]


def await_gateway(*, account_id: int) -> None:
    """A gateway takes the account over: its wanted bots wait until positions are known again. Wanted stays wanted."""
    for bot in Bot.objects.filter(account_id=account_id, is_running=True).exclude(status=BotStatus.REQUESTED):
        _become(bot, BotStatus.REQUESTED, WAITING)


def note_unserved(*, account_id: int, why: str) -> None:
    """The gateway holds the account and cannot serve it: its wanted bots say why they wait."""
    for bot in Bot.objects.filter(account_id=account_id, is_running=True).exclude(status__in=ACTIVE):
        _become(bot, BotStatus.STARTING, why)


def note_end(*, bot_id: int, failure: str = "") -> None:
    """A cycle of this bot has ended, with the cause if it failed: the bot shows it, and after three failures on end stops opening.

    Called in the transaction that ends the cycle.
    """
    if not failure:
        Bot.objects.filter(pk=bot_id, status=BotStatus.FAILED).update(status=BotStatus.RUNNING, status_reason="")
        return
    bot = Bot.objects.select_related("account").get(pk=bot_id)
    if bot.status in ACTIVE:
        _become(bot, BotStatus.FAILED, f"its last cycle failed: {failure}")
    last = list(Cycle.objects.filter(bot_id=bot_id).order_by("-slot").values_list("status", flat=True)[:MOST_FAILURES])
    if last == [CycleStatus.FAILED] * MOST_FAILURES:
        newest = Cycle.objects.filter(bot_id=bot_id).order_by("-slot").values_list("slot", flat=True)[0]
        why = f"{MOST_FAILURES} cycles of bot {bot.name} failed one after the other, the last with: {failure}"
        owner = risk.Owner(account_id=bot.account_id, user_id=bot.user_id, mode=bot.mode)
        risk.enter_safe_mode(owner=owner, bot_id=bot.pk, code="cycles_failed", message=why, at=newest, zone=settings.RISK_TIMEZONE)


def show_life(bot: Bot) -> None:
    """Write the bot's heartbeat after its cycles: the next is due by its schedule's next slot, and its validity."""
    now = machine_now()
    upcoming = None if bot.schedule is None else slots.upcoming(bot.schedule, now=now)
    if upcoming is None or not bot.is_running:
        return
    seconds = max(LEAST_LATE_S, (upcoming - now).total_seconds() + AFTER_SLOT_S)
    heartbeats.beat_bot(bot_id=bot.pk, started_at=bot.wanted_at or bot.created_at, late_after_s=round(seconds))


def market_now(bot: Bot) -> datetime:
    """Market time of a bot's venue. Raises VenueUnavailable."""
    return venues.venue_for(bot.account).clock.now()


@dataclass(frozen=True)
class _Facts:
    """What decides the states of an account's bots, read once for all of them."""

    cash: Decimal | None  # None: the exchange has not told the balances yet
    unproven: Mapping[int, int]  # bot → its oldest order of unknown fate
    unfinished: frozenset[int]  # bots with an order that is not settled
    holding: frozenset[int]  # bots with an open position
    safe_modes: Mapping[int | None, str]  # bot → why, None: the account
    differs: str  # what of the account differs from the exchange, or an empty text


def _facts(*, account_id: int, bots: list[Bot]) -> _Facts:
    balance = AccountBalance.objects.filter(account_id=account_id, asset=bots[0].account.quote_currency).first()
    unsettled = Order.objects.unsettled().filter(account_id=account_id).order_by("-pk")
    return _Facts(
        cash=None if balance is None else balance.free,
        unproven=dict(unsettled.maybe_sent().values_list("bot_id", "pk")),
        unfinished=frozenset(unsettled.values_list("bot_id", flat=True)),
        holding=frozenset(Position.objects.open().filter(account_id=account_id).values_list("bot_id", flat=True)),
        safe_modes=risk_selectors.safe_modes(account_id=account_id),
        differs=account_breaks.why_no_entries(account_id),
    )


def _settle(bot: Bot, facts: _Facts) -> bool:
    """Move one bot to where the facts say it is. Returns whether it moved."""
    if bot.status == BotStatus.STOPPING:
        return _go_on_stopping(bot, facts)
    if bot.status not in ACTIVE:
        if facts.cash is None:
            return _become(bot, BotStatus.STARTING, "the exchange has not told the balances yet")
        if bot.pk in facts.unproven:
            return _become(bot, BotStatus.STARTING, f"the fate of order {facts.unproven[bot.pk]} is unknown, so its position is, too")
        _allocate(bot, cash=facts.cash)
    return _become(bot, *_active_state(bot, facts))


def _active_state(bot: Bot, facts: _Facts) -> tuple[BotStatus, str]:
    why = facts.safe_modes.get(bot.pk) or facts.safe_modes.get(None)
    if why:
        return BotStatus.SAFE_MODE, why
    if facts.differs:
        return BotStatus.SAFE_MODE, facts.differs
    if bot.pk in facts.unproven:
        return BotStatus.SAFE_MODE, f"the fate of order {facts.unproven[bot.pk]} is unknown; entries wait until the exchange has told"
    if bot.is_paused:
        return BotStatus.PAUSED, PAUSED
    if bot.status == BotStatus.FAILED:
        return BotStatus.FAILED, bot.status_reason  # until a cycle succeeds
    return BotStatus.RUNNING, ""


def _go_on_stopping(bot: Bot, facts: _Facts) -> bool:
    """Stopped once flat. An exit that ended without selling everything is planned again, as another version of itself."""
    if bot.pk in facts.unfinished:
        return False
    if bot.pk not in facts.holding:
        return _become(bot, BotStatus.STOPPED, "stopped by the operator; its position is closed")
    position = _held(bot)
    if position is not None:
        orders.plan_exit(position=position, reason=EXIT_REASON, now=market_now(bot), actor=Actor.OPERATOR)
    return False


def _become(bot: Bot, status: BotStatus, reason: str) -> bool:
    """Write the state unless the operator changed his mind meanwhile. Returns whether anything changed."""
    reason = reason[:REASON_LIMIT]
    if (bot.status, bot.status_reason) == (status, reason):
        return False
    same = Bot.objects.filter(pk=bot.pk, is_running=bot.is_running, is_paused=bot.is_paused, status=bot.status)
    if not same.update(status=status, status_reason=reason, allocation=bot.allocation):
        return False
    bot.status, bot.status_reason = status, reason
    _announce(bot)
    return True


def _locked(bot_pk: int) -> Bot:
    return Bot.objects.select_for_update(of=("self",)).select_related("account").get(pk=bot_pk)


def _held(bot: Bot) -> Position | None:
    return Position.objects.open().filter(bot=bot, symbol=bot.symbol, amount__gt=0).select_related("bot").first()


def _may_still_fill(bot: Bot) -> bool:
    return Order.objects.unsettled().filter(bot=bot).exists()


def _allocate(bot: Bot, *, cash: Decimal) -> None:
    """Without an allocation a bot's limits refer to the account's cash when it is first started; from then on it is fixed."""
    if bot.allocation is None:
        bot.allocation = cash if cash > 0 else None


def _want(bot: Bot, *, status: BotStatus, reason: str, by: Any, why: str, action: str, **changes: Any) -> None:
    changes = {**changes, "status": status, "status_reason": reason}
    diff = {name: [_plain(getattr(bot, name)), _plain(value)] for name, value in changes.items() if name != "status_reason"}
    for name, value in changes.items():
        setattr(bot, name, value)
    bot.save(update_fields=list(changes))
    audit.record(actor=by, action=action, target=f"bot:{bot.pk}", reason=why, diff=diff)
    _announce(bot)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _announce(bot: Bot) -> None:
    transaction.on_commit(lambda: bot_changed.send_robust(sender=Bot, pk=bot.pk))
