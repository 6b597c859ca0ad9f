"""The budget all processes share: token buckets in Redis on its clock, and a local one while Redis is away."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from trading.exchanges.budget import Limits, LocalBudget, needed, wait_for_turn

log = logging.getLogger(__name__)

PREFIX = "dgbot:budget"
AWAY_S = 5.0  # after a failure Redis is not asked for so long: each question would cost a time-out
FORGET_S = 3600  # a bucket nobody asked for is full again

# KEYS: bucket, ban of the group, ban of everything. ARGV: capacity, tokens per second, tokens that must be there.
# Returns the microseconds to wait, 0 when a token was taken.
TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local shut = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(redis.call('GET', KEYS[3]) or '0'))
if shut > now then return shut - now end
local capacity, rate, must = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(kept[1]) or capacity
local at = tonumber(kept[2]) or now
tokens = math.min(capacity, tokens + math.max(0, now - at) * rate / 1000000)
local wait = 0
if tokens >= must then tokens = tokens - 1 else wait = math.ceil((must - tokens) / rate * 1000000) end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.0f', now))
redis.call('EXPIRE', KEYS[1], ARGV[4])
return wait
"""
# KEYS: bucket. ARGV: capacity, tokens per second, what is left according to the exchange.
LEARN = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local capacity, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(kept[1]) or capacity
local at = tonumber(kept[2]) or now
tokens = math.min(capacity, tokens + math.max(0, now - at) * rate / 1000000, tonumber(ARGV[3]))
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.0f', now))
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 0
"""
# KEYS: ban. ARGV: microseconds. A ban is never shortened.
BAN = """
local time = redis.call('TIME')
local till = tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(ARGV[1])
if till > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], string.format('%.0f', till), 'PX', math.ceil(tonumber(ARGV[1]) / 1000))
end
return 0
"""


@dataclass
class SharedBudget:
    """The requests one account (`owner`, such as `account-3`) may still send, counted together with every other process."""

    limits: Limits
    owner: str
    client: redis.Redis
    local: LocalBudget
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    _away_until: float = field(default=0.0, init=False)

    def acquire(self, group: str, *, is_order: bool = False) -> None:
        """See Budget."""
        wait_for_turn(lambda: self._take(group, is_order=is_order), self.limits, group, is_order=is_order, sleep=self.sleep)

    def learned(self, group: str, *, remaining: float) -> None:
        """See Budget."""
        limit = self.limits.of(group)
        self.local.learned(group, remaining=remaining * self.local.share)
        self._ask(LEARN, [self._bucket(group)], [limit.capacity, limit.per_second, remaining, FORGET_S])

    def banned(self, *, seconds: float, group: str | None = None) -> None:
        """See Budget."""
        self.local.banned(seconds=seconds, group=group)
        log.warning("%s: no requests%s for %.1f s, as it says", self.limits.exchange, f" of {group}" if group else "", seconds)
        keys = [self._ban(group)] if group is not None else [self._ban_of_all("address"), self._ban_of_all(self.owner)]
        for key in keys:
            self._ask(BAN, [key], [round(seconds * 1_000_000)])

    def _take(self, group: str, *, is_order: bool) -> float:
        limit = self.limits.of(group)
        must = needed(limit.capacity, is_order=is_order)
        keys = [self._bucket(group), self._ban(group), self._ban_of_all(self._scope(group))]
        waited = self._ask(TAKE, keys, [limit.capacity, limit.per_second, must, FORGET_S])
        return self.local.take(group, is_order=is_order) if waited is None else waited / 1_000_000

    def _ask(self, script: str, keys: list[str], arguments: list[float]) -> int | None:
        """The script's answer, or None while Redis is away."""
        if self.monotonic() < self._away_until:
            return None
        try:
            return int(self.client.eval(script, len(keys), *keys, *arguments))  # type: ignore[misc, arg-type]  # redis-py types it for asyncio, too
        except redis.RedisError as error:
            log.warning("the budget of %s is kept in this process for %.0f s: %s", self.limits.exchange, AWAY_S, error)
            self._away_until = self.monotonic() + AWAY_S
            return None

    def _scope(self, group: str) -> str:
        return self.owner if self.limits.of(group).is_per_account else "address"

    def _bucket(self, group: str) -> str:
        return f"{PREFIX}:{self.limits.exchange}:{self._scope(group)}:{group}"

    def _ban(self, group: str) -> str:
        return f"{self._bucket(group)}:shut"

    def _ban_of_all(self, scope: str) -> str:
        return f"{PREFIX}:{self.limits.exchange}:{scope}:shut"
