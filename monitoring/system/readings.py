"""Every part of the platform looked at once: the same list for the page, the script, the API and the alarms.

Each reading says what was found, in a sentence; `key` names it for alarms. What cannot be told is `unknown`, never ok.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import psutil
import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dgbot.accounts import heartbeats
from dgbot.local.up import programs
from monitoring.backups import keeping
from monitoring.exposition.families import queue_depths
from trading.services import protection
from trading.services.price_alarms import GOOD_FOR_S

MANY_CONNECTIONS, MOST_CONNECTIONS = 50, 90  # of PostgreSQL's usual 100
FULL_PERCENT, FULLEST_PERCENT = 80.0, 95.0  # of disk, memory and processor
LONG_QUEUE, LONGEST_QUEUE = 50, 200
OLD_BALANCES_S, OLDEST_BALANCES_S = 60.0, 120.0
OLD_CANDLES = 2.5  # periods of its series
UNKNOWN_S = 120.0
REDIS_TIMEOUT_S = 1.0


class Health(StrEnum):
    """How something fares. The order is that of urgency."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    ERROR = "error"


URGENCY = list(Health)


@dataclass(frozen=True)
class Reading:
    """One look at one part. area groups them on the page; value is for programs, in the unit that `said` names."""

    area: str
    key: str
    name: str
    health: Health
    said: str
    value: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


@dataclass(frozen=True)
class Summary:
    """All of them counted. overall: OK, WARNING or ERROR; an unknown one is a warning."""

    total: int
    ok: int
    warning: int
    error: int

    @property
    def overall(self) -> str:
        """The worst there is."""
        return "ERROR" if self.error else "WARNING" if self.warning else "OK"


def summary(readings: list[Reading]) -> Summary:
    """How many of each."""
    ok, error = (sum(reading.health == each for reading in readings) for each in (Health.OK, Health.ERROR))
    return Summary(total=len(readings), ok=ok, warning=len(readings) - ok - error, error=error)


def read() -> list[Reading]:
    """Look at everything. Takes a few milliseconds, plus a second for each server that does not answer."""
    found = _tried("database", "postgresql", "PostgreSQL", _postgresql)
    if found and found[0].health is Health.ERROR:
        return [*found, *_redis(), *_machine()]  # the others would only say the same
    parts: tuple[tuple[str, str, str, Callable[[], Iterator[Reading]]], ...] = (
        ("processes", "processes", _("processes"), _processes),
        ("trading", "trading", _("trading"), _trading),
        ("data", "data", _("data"), _data),
        ("database", "backups", _("backups"), _backups),
    )
    found += [reading for area, key, name, look in parts for reading in _tried(area, key, name, look)]
    return [*found, *_redis(), *_machine()]


def _tried(area: str, key: str, name: str, look: Callable[[], Iterator[Reading]]) -> list[Reading]:
    try:
        return list(look())
    except DatabaseError as error:
        first_line = (str(error).strip().splitlines() or ["?"])[0]
        return [Reading(area, key, name, Health.ERROR, _("The database does not answer: %(error)s") % {"error": first_line})]


def _postgresql() -> Iterator[Reading]:
    ((sessions, most, size),) = _rows(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
        " current_setting('max_connections')::int, pg_database_size(current_database())"
    )
    health = _by_limits(100 * sessions / most, warning=MANY_CONNECTIONS, error=MOST_CONNECTIONS)
    said = _("%(sessions)d of %(most)d connections, %(size)s") % {"sessions": sessions, "most": most, "size": filesizeformat(size)}
    yield Reading("database", "postgresql", "PostgreSQL", health, said, float(sessions))


def _processes() -> Iterator[Reading]:
    beats = _rows(
        "SELECT name, process, extract(epoch FROM clock_timestamp() - beat_at)::float8, late_after_s FROM heartbeats"
        " WHERE process <> 'bot' ORDER BY process, name"
    )
    for program in programs("", 0):
        own = [(name, age_s, late_s) for name, process, age_s, late_s in beats if process == program.name]
        if not own:
            yield Reading("processes", f"absent:{program.name}", program.name, Health.WARNING, _("has not been started"))
        for name, age_s, late_s in own:
            health = Health.ERROR if age_s > late_s else Health.OK
            said = _("last sign of life %(age).0f s ago, late after %(limit)d s") % {"age": age_s, "limit": late_s}
            yield Reading("processes", f"process:{name}", name, health, said, age_s)
    silent = [item for item in heartbeats.late_heartbeats() if item.process == "bot"]
    said = ngettext("%(count)d bot has not finished a cycle in time", "%(count)d bots have not finished a cycle in time", len(silent))
    health = Health.ERROR if silent else Health.OK
    yield Reading("processes", "bots", _("bots"), health, said % {"count": len(silent)}, len(silent))


def _trading() -> Iterator[Reading]:
    ((count, age_s),) = _rows(
        "SELECT count(*), max(extract(epoch FROM clock_timestamp() - o.recorded_at))::float8 FROM orders o"
        " JOIN exchange_accounts a ON a.id = o.account_id AND NOT a.is_hidden WHERE o.status IN ('unknown', 'disputed')"
    )
    health = Health.OK if not count else Health.ERROR if age_s > UNKNOWN_S else Health.WARNING
    yield Reading("trading", "orders_unknown", _("orders of unknown fate"), health, str(count), float(count))
    naked = protection.unprotected()
    longest = max(naked.values(), default=0)
    said = _("%(count)d, the longest for %(seconds).0f s") % {"count": len(naked), "seconds": longest}
    yield Reading("trading", "naked", _("positions without protection"), Health.ERROR if naked else Health.OK, said, float(longest))
    prices = _rows(
        "SELECT exchange, symbol FROM price_alarms WHERE told_at > clock_timestamp() - %s * interval '1 second' ORDER BY 1, 2", GOOD_FOR_S
    )
    said = ", ".join(f"{exchange} {symbol}" for exchange, symbol in prices) or _("none")
    yield Reading("trading", "prices", _("markets without a price"), Health.ERROR if prices else Health.OK, said, float(len(prices)))
    yield from _exchanges()


def _exchanges() -> Iterator[Reading]:
    """By the age of what the gateway was told: nothing is asked of an exchange for a page."""
    for pk, name, exchange, age_s in _rows(
        "SELECT a.id, a.name, a.exchange, extract(epoch FROM clock_timestamp() - min(b.recorded_at))::float8 FROM exchange_accounts a"
        " LEFT JOIN account_balances b ON b.account_id = a.id"
        " WHERE NOT a.is_hidden AND a.mode = 'live' GROUP BY 1, 2, 3 ORDER BY 1"
    ):
        if age_s is None:
            yield Reading("trading", f"balances:{pk}", f"{exchange} · {name}", Health.UNKNOWN, _("balances have never been told"))
            continue
        health = _by_limits(age_s, warning=OLD_BALANCES_S, error=OLDEST_BALANCES_S)
        yield Reading("trading", f"balances:{pk}", f"{exchange} · {name}", health, _("balances %(age).0f s old") % {"age": age_s}, age_s)


def _data() -> Iterator[Reading]:
    for exchange, symbol, interval, age_s in _rows(
        "SELECT DISTINCT s.exchange, s.symbol, s.interval, extract(epoch FROM clock_timestamp() - s.last_opened_at)::float8"
        " FROM candle_series s JOIN bots b ON b.symbol = s.symbol AND b.is_running AND b.mode IN ('paper', 'live')"
        " JOIN exchange_accounts a ON a.id = b.account_id AND a.exchange = s.exchange AND NOT a.is_hidden ORDER BY 1, 2, 3"
    ):
        limit_s = OLD_CANDLES * PERIOD_S.get(interval, 3600.0)
        health = Health.WARNING if age_s > limit_s else Health.OK
        said = _("newest opened %(age).0f min ago, at most %(limit).0f min") % {"age": age_s / 60, "limit": limit_s / 60}
        yield Reading("data", f"candles:{exchange}:{symbol}:{interval}", f"{symbol} {interval}", health, said, age_s)


def _backups() -> Iterator[Reading]:
    for each in keeping.standing():
        is_old = each.age_s is not None and each.age_s > keeping.LATE_AFTER.total_seconds()
        health = Health.UNKNOWN if each.age_s is None else Health.ERROR if is_old else Health.WARNING if each.failures else Health.OK
        said = _("there is none yet") if each.age_s is None else _("newest is %(age).1f h old") % {"age": each.age_s / 3600}
        failed = f" · {each.last_error}" if each.failures else ""
        yield Reading("database", f"backup:{each.kind}", _("backup: %(kind)s") % {"kind": each.kind}, health, said + failed, each.age_s)


def _redis() -> Iterator[Reading]:
    try:
        with redis.Redis.from_url(
            settings.REDIS_URLS[settings.BROKER_DB], socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
        ) as client:
            used = int(client.info("memory")["used_memory"])  # type: ignore[index]  # redis-py types what an async client answers, too
        depths = queue_depths()
    except (redis.RedisError, OSError) as error:
        said = _("does not answer: %(error)s. Nothing is lost; no cycle is queued.") % {"error": str(error)}
        yield Reading("queues", "redis", "Redis", Health.ERROR, said)
        return
    yield Reading("queues", "redis", "Redis", Health.OK, filesizeformat(used), float(used))
    for name, waiting in depths.items():
        health = _by_limits(waiting, warning=LONG_QUEUE, error=LONGEST_QUEUE)
        said = ngettext("%(count)d task waits", "%(count)d tasks wait", waiting) % {"count": waiting}
        yield Reading("queues", f"queue:{name}", name, health, said, waiting)


def _machine() -> Iterator[Reading]:
    disk = shutil.disk_usage(settings.DATA_DIR if settings.DATA_DIR.exists() else "/")
    used = 100 * (disk.total - disk.free) / disk.total
    said = _("%(percent).1f %% used, %(free)s free") % {"percent": used, "free": filesizeformat(disk.free)}
    yield Reading("machine", "disk", _("disk"), _by_limits(used), said, used)
    memory = psutil.virtual_memory()
    said = _("%(percent).1f %% used, %(free)s free") % {"percent": memory.percent, "free": filesizeformat(memory.available)}
    yield Reading("machine", "memory", _("memory"), _by_limits(memory.percent), said, memory.percent)
    busy = psutil.cpu_percent(interval=None)  # since the last call; 0.0 at the first
    # A processor that works is no error: only one that has no rest is worth a warning.
    health = Health.WARNING if busy > FULL_PERCENT else Health.OK
    yield Reading("machine", "processor", _("processor"), health, _("%(percent).1f %% busy") % {"percent": busy}, busy)


def _by_limits(value: float, *, warning: float = FULL_PERCENT, error: float = FULLEST_PERCENT) -> Health:
    return Health.ERROR if value > error else Health.WARNING if value > warning else Health.OK


def _rows(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


PERIOD_S = {"1m": 60.0, "3m": 180.0, "5m": 300.0, "15m": 900.0, "30m": 1800.0, "1h": 3600.0, "4h": 14400.0, "1d": 86400.0}
