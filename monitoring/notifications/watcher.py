"""Looks at what has a state rather than a history, and tells when it changes: bots, signs of life, keys, cover, prices, jobs.

The state that was told last is a row, changed in the transaction that writes the notification: after a crash the next look compares
anew, and tells what is still so. What came and went between two looks is not told; whatever matters for longer than a second is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from dgbot.accounts.models import Heartbeat, JobRun
from dgbot.base.machine import machine_now
from monitoring.models import LogLevel, SystemLog
from monitoring.notifications import outbox
from monitoring.notifications.facts.common import of_bot
from monitoring.notifications.kinds import Kind, Level
from monitoring.notifications.models import Notification, ToldState
from monitoring.notifications.outbox import Audience, Draft
from trading.models import Bot, BotStatus, Credential, KeyStatus, Position, PriceAlarm, ReconcileBreak
from trading.services import protection
from trading.services.price_alarms import GOOD_FOR_S

WATCH_LOCK = 0x6467_7761  # any constant: one notifier looks at a time
LOG_LINES_FROM = timedelta(minutes=10)

BOT_LEVELS = {  # the states that last; those on the way to them are not told
    BotStatus.RUNNING: Level.INFO,
    BotStatus.PAUSED: Level.INFO,
    BotStatus.STOPPED: Level.WARNING,
    BotStatus.SAFE_MODE: Level.ERROR,
    BotStatus.FAILED: Level.ERROR,
}
VITAL = ("gateway", "guardian")  # while these are silent, positions may be without protection


@dataclass(frozen=True)
class Sight:
    """Something as it is now. is_calm: told only if something else was told of it before."""

    name: str
    state: str
    draft: Callable[[], Draft]
    is_calm: bool


def look() -> int:
    """Compare everything with what was told last, and tell the changes. Returns how many. Zero while another notifier looks."""
    with transaction.atomic():
        if not _is_alone():
            return 0
        now = machine_now()
        told = dict(ToldState.objects.values_list("name", "state"))
        sights = list(_sights(now, told))
        changed = [sight for sight in sights if _is_news(sight, told)]
        drafts = [*(sight.draft() for sight in changed), *_critical_lines(now)]
        _remember(changed, gone=set(told) - {sight.name for sight in sights})
        audience = Audience.now() if drafts else Audience()
        outbox.write(drafts, audience=audience)
    return len(drafts)


def _is_news(sight: Sight, told: dict[str, str]) -> bool:
    """Another state than was told last; and of what was never told, only what is not calm."""
    return not sight.is_calm if sight.name not in told else told[sight.name] != sight.state


def _is_alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [WATCH_LOCK])
        return bool(cursor.fetchone()[0])


def _remember(changed: list[Sight], *, gone: set[str]) -> None:
    ToldState.objects.bulk_create(
        [ToldState(name=sight.name, state=sight.state) for sight in changed],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["state"],
    )
    if gone:
        ToldState.objects.filter(name__in=gone).delete()


def _sights(now: datetime, told: dict[str, str]) -> Iterator[Sight]:
    yield from _bots(now, told)
    yield from _beats(now)
    yield from _keys(now)
    yield from _breaks(now)
    yield from _cover(now, told)
    yield from _prices(now)
    yield from _jobs(now)


def _bots(now: datetime, told: dict[str, str]) -> Iterator[Sight]:
    for bot in Bot.objects.filter(is_hidden=False, account__is_hidden=False).exclude(mode="replay").select_related("account"):
        name = f"bot:{bot.pk}"
        status = BotStatus(bot.status)
        state = status.value if status in BOT_LEVELS else told.get(name, BotStatus.STOPPED.value)  # on its way: as it was
        is_calm = state == BotStatus.STOPPED
        yield Sight(name, state, lambda bot=bot: _of_bot(bot, now), is_calm)  # type: ignore[misc]  # a default argument


def _of_bot(bot: Bot, now: datetime) -> Draft:
    facts = {**of_bot(bot), "status": bot.status, "why": bot.status_reason, "strategy": bot.strategy}
    return Draft(Kind.BOT, BOT_LEVELS[BotStatus(bot.status)], "bot", facts, bot.user_id, now, bot_id=bot.pk, mode=bot.mode)


def _beats(now: datetime) -> Iterator[Sight]:
    beats = list(Heartbeat.objects.order_by("name"))
    owners = {f"bot:{bot.pk}": bot for bot in Bot.objects.select_related("account")} if any(b.process == "bot" for b in beats) else {}
    for beat in beats:
        is_late = beat.alarmed_at is not None
        yield Sight(
            f"beat:{beat.name}",
            "late" if is_late else "alive",
            lambda beat=beat, is_late=is_late: _of_beat(beat, owners.get(beat.name), is_late=is_late, now=now),  # type: ignore[misc]
            not is_late,
        )


def _of_beat(beat: Heartbeat, bot: Bot | None, *, is_late: bool, now: datetime) -> Draft:
    level = Level.INFO if not is_late else Level.CRITICAL if beat.process in VITAL else Level.ERROR
    facts = {
        "name": beat.name if bot is None else bot.name,
        "is_late": is_late,
        "silent_s": round((now - beat.beat_at).total_seconds()),
        "limit_s": beat.late_after_s,
        "process": beat.process,
    }
    who: dict[str, Any] = {"bot_id": bot.pk, "mode": bot.mode} if bot is not None else {}
    return Draft(Kind.ALARM, level, "silence", facts, None if bot is None else bot.user_id, now, **who)


def _keys(now: datetime) -> Iterator[Sight]:
    bad = (KeyStatus.DOUBTED, KeyStatus.REFUSED, KeyStatus.EXPIRED)
    for key in Credential.objects.select_related("account").order_by("pk"):
        is_bad = key.status in bad
        facts = {"account": key.account.name, "key": key.shown, "status": key.status, "why": key.cause}
        draft = Draft(Kind.ERROR, Level.ERROR if is_bad else Level.INFO, "key", facts, key.account.user_id, now, mode=key.account.mode)
        yield Sight(f"key:{key.pk}", key.status, lambda draft=draft: draft, not is_bad)  # type: ignore[misc]


def _breaks(now: datetime) -> Iterator[Sight]:
    for row in ReconcileBreak.objects.filter(over_at=None, confirmed_at__isnull=False).select_related("account").order_by("pk"):
        facts = {
            "account": row.account.name,
            "what": row.kind,
            "subject": row.subject,
            "told": None if row.told is None else f"{row.told:f}",
            "booked": None if row.booked is None else f"{row.booked:f}",
            "detail": row.detail,
        }
        draft = Draft(Kind.ERROR, Level.ERROR, "break", facts, row.account.user_id, now, mode=row.account.mode)
        yield Sight(f"break:{row.pk}", "open", lambda draft=draft: draft, False)  # type: ignore[misc]


def _cover(now: datetime, told: dict[str, str]) -> Iterator[Sight]:
    naked = protection.unprotected()
    known = {int(name.partition(":")[2]) for name in told if name.startswith("cover:")}
    if not naked and not known:
        return
    rows = Position.objects.open().filter(pk__in=known | set(naked), account__is_hidden=False, bot__is_hidden=False)
    for position in rows.select_related("bot__account").order_by("pk"):
        is_naked = position.pk in naked
        facts = {**of_bot(position.bot), "position": position.pk, "is_naked": is_naked, "seconds": round(naked.get(position.pk, 0))}
        level = Level.CRITICAL if is_naked else Level.INFO
        draft = Draft(Kind.ERROR, level, "cover", facts, position.user_id, now, bot_id=position.bot_id, mode=position.mode)
        yield Sight(f"cover:{position.pk}", "naked" if is_naked else "covered", lambda draft=draft: draft, not is_naked)  # type: ignore[misc]


def _prices(now: datetime) -> Iterator[Sight]:
    for alarm in PriceAlarm.objects.filter(told_at__gt=now - timedelta(seconds=GOOD_FOR_S)).order_by("pk"):
        held = Position.objects.open().filter(account__exchange=alarm.exchange, symbol=alarm.symbol, account__is_hidden=False)
        for user_id, mode in held.values_list("user_id", "mode").distinct():
            facts = {"exchange": alarm.exchange, "symbol": alarm.symbol, "why": alarm.message}
            draft = Draft(Kind.ERROR, Level.CRITICAL, "price", facts, user_id, now, mode=mode)
            yield Sight(f"price:{alarm.pk}:{user_id}:{mode}", "unknown", lambda draft=draft: draft, False)  # type: ignore[misc]


def _jobs(now: datetime) -> Iterator[Sight]:
    for run in JobRun.objects.order_by("name"):
        level = Level.INFO if run.is_ok else Level.ERROR
        facts = {"name": run.name, "is_ok": run.is_ok, "result": run.result}
        draft = Draft(Kind.HEALTH, level, "job", facts, None, now)
        yield Sight(f"job:{run.name}"[:120], "ok" if run.is_ok else "failed", lambda draft=draft: draft, run.is_ok)  # type: ignore[misc]


def _critical_lines(now: datetime) -> list[Draft]:
    """What a process wrote as critical: the platform cannot do its work."""
    lines = SystemLog.objects.filter(level=LogLevel.CRITICAL, created_at__gt=now - LOG_LINES_FROM).order_by("created_at", "id")[:20]
    drafts = [Draft(Kind.ERROR, Level.CRITICAL, "log", _of_line(line), None, line.created_at, fact=f"log:{line.pk}") for line in lines]
    known = set(Notification.objects.filter(fact__in=[draft.fact for draft in drafts]).values_list("fact", flat=True)) if drafts else set()
    return [draft for draft in drafts if draft.fact not in known]


def _of_line(line: SystemLog) -> dict[str, str]:
    return {"text": line.message, "logger": str(line.context.get("logger", ""))}
