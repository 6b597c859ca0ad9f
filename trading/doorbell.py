"""Doorbells: a nudge through Redis that there is something to do. A lost one costs at most a sweep; no truth travels here."""

import logging
import time
from functools import cache

import redis
from django.conf import settings

log = logging.getLogger(__name__)

GATEWAY = "dgbot:doorbell:gateway"
TIMEOUT_S = 0.2  # nobody waits for a doorbell


@cache
def _client(timeout_s: float) -> redis.Redis:
    return redis.Redis.from_url(settings.CACHE_URL, socket_timeout=timeout_s, socket_connect_timeout=TIMEOUT_S)


def ring(bell: str = GATEWAY) -> None:
    """Wake the gateways, or whoever waits for another bell. Without Redis they find the order at their next sweep."""
    try:
        pipe = _client(TIMEOUT_S).pipeline(transaction=False)
        pipe.lpush(bell, "1")
        pipe.ltrim(bell, 0, 9)  # unheard rings do not pile up
        pipe.execute()
    except redis.RedisError as error:
        log.warning("the doorbell did not ring, the sweep will do: %s", error)


def wait(*, at_most_s: float, bell: str = GATEWAY) -> None:
    """Return when the bell rings, or after `at_most_s` seconds; without Redis always after that."""
    started = time.monotonic()
    try:
        _client(at_most_s + 1).blpop([bell], timeout=at_most_s)
    except redis.RedisError as error:
        log.warning("no doorbell, sweeping instead: %s", error)
        time.sleep(max(0.0, at_most_s - (time.monotonic() - started)))
