"""Is this process alive, and can it do its work? Asked without a login, so the answers hold nothing secret."""

import logging
import time
from collections.abc import Callable

import redis
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from monitoring import live as news

TIMEOUT_S = 1.0
MIGRATIONS_KNOWN_S = 30.0  # reading every migration file takes a tenth of a second

logger = logging.getLogger(__name__)


@login_not_required
@never_cache
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers. No I/O."""
    return JsonResponse({"status": "alive"})


@login_not_required
@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 when PostgreSQL and Redis answer and every migration is applied, otherwise 503; each check with its state."""
    checks = {name: _state(check) for name, check in CHECKS.items()}
    is_ready = all(state == "ok" for state in checks.values())
    return JsonResponse({"status": "ready" if is_ready else "not ready", "checks": checks}, status=200 if is_ready else 503)


def _state(check: Callable[[], str]) -> str:
    try:
        return check()
    except (DatabaseError, redis.RedisError, OSError) as error:
        logger.warning("not ready: %s: %s", check.__name__, error)
        return "does not answer"


def postgresql() -> str:
    """`ok`, or an exception."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def redis_answers() -> str:
    """`ok`, or an exception."""
    with redis.Redis.from_url(news.redis_url(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S) as client:
        client.ping()
    return "ok"


def migrations() -> str:
    """`ok`, or how many are missing."""
    global _migrated_at  # noqa: PLW0603  applied migrations stay applied
    if _migrated_at and time.monotonic() - _migrated_at < MIGRATIONS_KNOWN_S:
        return "ok"
    executor = MigrationExecutor(connection)
    missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if missing:
        return f"{missing} not applied"
    _migrated_at = time.monotonic()
    return "ok"


_migrated_at = 0.0
CHECKS: dict[str, Callable[[], str]] = {"postgresql": postgresql, "redis": redis_answers, "migrations": migrations}
