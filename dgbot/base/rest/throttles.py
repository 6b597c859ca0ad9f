"""How often somebody may ask: counted per user and per address and minute in the cache, so that all web processes count together.

Without the cache nobody can count. Then requests of users who proved who they are pass, for stopping a bot matters more than fairness;
whoever has still to prove it (`GuardedThrottle`) waits, for that is when passwords are guessed.
"""

import logging
import time
from typing import Any

import redis
from django.conf import settings
from django.core.cache import cache
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from dgbot.base.rest.errors import Away
from dgbot.base.visitors import address_of

log = logging.getLogger(__name__)

WINDOW_S = 60
ADDRESS_FACTOR = 4  # several users may share an address


class MinuteThrottle(BaseThrottle):
    """At most `most` requests in one minute of the clock, for each `key`."""

    scope = ""

    def key(self, request: Request) -> str | None:
        """Who is counted; None: nobody."""
        raise NotImplementedError

    def most(self) -> int:
        """Requests a minute."""
        return int(settings.API_PER_MINUTE)

    def allow_request(self, request: Request, view: Any) -> bool:
        """Whether this one is within the limit."""
        key = self.key(request)
        if key is None:
            return True
        window = int(time.time() // WINDOW_S)
        try:
            return self._count(f"api:{self.scope}:{key}:{window}") <= self.most()
        except (redis.RedisError, OSError) as error:
            return self.when_uncounted(error)

    def when_uncounted(self, error: Exception) -> bool:
        """The cache is away."""
        log.warning("api requests are not counted, the cache is away: %s", error)
        return True

    def wait(self) -> float:
        """Seconds until the next window."""
        return WINDOW_S - time.time() % WINDOW_S

    def _count(self, name: str) -> int:
        if cache.add(name, 1, timeout=2 * WINDOW_S):
            return 1
        try:
            return cache.incr(name)
        except ValueError:  # its minute ended in between
            return 1


class UserThrottle(MinuteThrottle):
    """Per user."""

    scope = "user"

    def key(self, request: Request) -> str | None:
        """The user's id."""
        return str(request.user.pk) if request.user and request.user.is_authenticated else None


class AddressThrottle(MinuteThrottle):
    """Per address."""

    scope = "address"

    def key(self, request: Request) -> str | None:
        """Where the request came from, as far as our proxies are believed."""
        return address_of(request._request) or "unknown"

    def most(self) -> int:
        """More than for one user."""
        return ADDRESS_FACTOR * int(settings.API_PER_MINUTE)


class GuardedThrottle(AddressThrottle):
    """Per address, where passwords and refresh tokens are shown. Fails closed."""

    scope = "guarded"

    def most(self) -> int:
        """Few."""
        return int(settings.API_LOGINS_PER_MINUTE)

    def when_uncounted(self, error: Exception) -> bool:
        """Nobody logs in uncounted."""
        raise Away(_("Logins cannot be counted now, so none is taken. Start Redis, then try again."), code="cannot_count") from error
