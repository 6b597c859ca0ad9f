"""How many requests an exchange still takes from us: token buckets per endpoint group, orders kept ahead of reads.

An adapter asks `acquire` before each request, tells `learned` what the answer's headers say is left, and `banned` when the
exchange shuts the door (429: the group, 418: everything). The shared budget lives in Redis (`shared_budget`); the local one
serves a process that is alone, and every process while Redis is away.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dgbot.core.errors import RateLimited

READ_WAIT_S = 2.0  # a read may queue this long for its turn
ORDER_WAIT_S = 0.4  # half of the permit to send an entry
RESERVED_FOR_ORDERS = 0.3  # of a bucket: reads leave this much to orders, cancels and lookups
LOCAL_SHARE = 0.2  # of a limit, when every process counts for itself: web, two workers, gateway, guardian


@dataclass(frozen=True)
class Limit:
    """`capacity` requests at once, refilled by `per_second`. Counted per account, or else per address (IP) of this machine."""

    capacity: float
    per_second: float
    is_per_account: bool = True


@dataclass(frozen=True)
class Limits:
    """What one exchange documents, by endpoint group; a group it never told of gets `unknown`."""

    exchange: str
    groups: Mapping[str, Limit]
    unknown: Limit = Limit(capacity=10, per_second=10)

    def of(self, group: str) -> Limit:
        """The limit of `group`."""
        return self.groups.get(group, self.unknown)


# Source: docs.upbit.com, rate limits. Orders and their kin count per pocket, quotations per address.
UPBIT_LIMITS = Limits(
    exchange="upbit",
    groups={
        **{name: Limit(10, 10, is_per_account=False) for name in ("market", "candles", "trades", "ticker", "orderbook")},
        "default": Limit(30, 30),
        "order": Limit(12, 12),
        "order-test": Limit(8, 8),
        "order-cancel-all": Limit(1, 0.5),
        "websocket-connect": Limit(5, 5, is_per_account=False),
    },
)
# Source: bitget.com/api-doc, frequency limits; what it does not state is counted as ccxt's cost table does.
BITGET_LIMITS = Limits(
    exchange="bitget",
    groups={
        "public": Limit(20, 20, is_per_account=False),
        "place": Limit(10, 10),
        "cancel": Limit(10, 10),
        "order": Limit(10, 10),  # detail and lists
        "fills": Limit(10, 10),
        "account": Limit(10, 10),
        "positions": Limit(5, 5),
        "settings": Limit(5, 5),  # leverage, margin and position mode
        "plan": Limit(10, 10),  # stops
        "key": Limit(1, 1),  # what a key may do
    },
)


class Budget(Protocol):
    """The requests one account may still send. Adapters take one as an argument and know nothing of Redis."""

    def acquire(self, group: str, *, is_order: bool = False) -> None:
        """Take one request of `group`, waiting a moment for it. is_order: placing, cancelling and looking up orders.

        Raises RateLimited, with nothing taken, when the turn would come too late.
        """

    def learned(self, group: str, *, remaining: float) -> None:
        """The exchange says that so many requests of `group` are left right now."""

    def banned(self, *, seconds: float, group: str | None = None) -> None:
        """Send nothing of `group` (None: nothing at all) for so long. A longer ban stands."""


@dataclass(frozen=True)
class Unlimited:
    """A budget for exchanges that count nothing, and for tests of something else."""

    def acquire(self, group: str, *, is_order: bool = False) -> None:
        """See Budget."""

    def learned(self, group: str, *, remaining: float) -> None:
        """See Budget."""

    def banned(self, *, seconds: float, group: str | None = None) -> None:
        """See Budget."""


@dataclass
class _Bucket:
    tokens: float
    at: float
    shut_until: float = 0.0


@dataclass
class LocalBudget:
    """Counts in this process only. `share` of each limit is ours, since the other processes count for themselves."""

    limits: Limits
    share: float = LOCAL_SHARE
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _buckets: dict[str, _Bucket] = field(default_factory=dict)
    _shut_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acquire(self, group: str, *, is_order: bool = False) -> None:
        """See Budget."""
        wait_for_turn(lambda: self.take(group, is_order=is_order), self.limits, group, is_order=is_order, sleep=self.sleep)

    def take(self, group: str, *, is_order: bool) -> float:
        """Take one request now and answer 0, or answer the seconds until one may be there."""
        with self._lock:
            now = self.monotonic()
            bucket = self._filled(group, now=now)
            shut_for = max(self._shut_until, bucket.shut_until) - now
            if shut_for > 0:
                return shut_for
            limit = self.limits.of(group)
            missing = needed(self._capacity(limit), is_order=is_order) - bucket.tokens
            if missing > 0:
                return missing / (limit.per_second * self.share)
            bucket.tokens -= 1
            return 0.0

    def learned(self, group: str, *, remaining: float) -> None:
        """See Budget."""
        with self._lock:
            bucket = self._filled(group, now=self.monotonic())
            bucket.tokens = min(bucket.tokens, remaining)

    def banned(self, *, seconds: float, group: str | None = None) -> None:
        """See Budget."""
        with self._lock:
            until = self.monotonic() + seconds
            if group is None:
                self._shut_until = max(self._shut_until, until)
                return
            bucket = self._filled(group, now=self.monotonic())
            bucket.shut_until = max(bucket.shut_until, until)

    def _capacity(self, limit: Limit) -> float:
        return max(1.0, limit.capacity * self.share)

    def _filled(self, group: str, *, now: float) -> _Bucket:
        limit = self.limits.of(group)
        bucket = self._buckets.setdefault(group, _Bucket(tokens=self._capacity(limit), at=now))
        grown = bucket.tokens + (now - bucket.at) * limit.per_second * self.share
        bucket.tokens, bucket.at = min(self._capacity(limit), grown), now
        return bucket


def needed(capacity: float, *, is_order: bool) -> float:
    """Tokens that must be there before one may be taken. A read leaves a part of the bucket to orders, if it is large enough."""
    return 1.0 if is_order else min(capacity, 1.0 + RESERVED_FOR_ORDERS * capacity)


def wait_for_turn(take: Callable[[], float], limits: Limits, group: str, *, is_order: bool, sleep: Callable[[float], None]) -> None:
    """Call `take` until it answers 0, sleeping as long as it says. Raises RateLimited once that is longer than may be waited."""
    left = ORDER_WAIT_S if is_order else READ_WAIT_S
    while (seconds := take()) > 0:
        if seconds > left:
            raise RateLimited(
                f"{limits.exchange} takes no request of the group {group!r} for {seconds:.2f} s, longer than the {left:.2f} s"
                " that may be waited: nothing was sent; try again later",
                retry_after_s=seconds,
            )
        sleep(seconds)
        left -= seconds
