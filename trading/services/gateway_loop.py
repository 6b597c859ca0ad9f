"""What one turn of the gateway process does over all accounts it may hold: they take their turns side by side.

A turn waits a moment for its accounts, then lets the slow ones go on alone: a slow exchange delays its own accounts and nobody else.
No account is ever served by two threads at once; its lease is renewed while it is served.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connections

from dgbot.core.crash import crash_point
from dgbot.core.types import Mode
from trading.exchanges.account_feeds import AccountFeeds
from trading.models import ExchangeAccount
from trading.services import bots, gateway
from trading.services.account_desk import AccountDesk
from trading.services.venues import KeyOpener

log = logging.getLogger(__name__)

REST_S = 5.0


@dataclass
class Gateway:
    """Remembers the accounts it holds. patience_s: how long a turn waits for its slowest account."""

    open_key: KeyOpener
    ring: Callable[[], None] = lambda: None  # wakes this process; called from another thread
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        self.account_feeds = AccountFeeds(ring=self.ring)
        self.desks: dict[int, AccountDesk] = {}
        self.busy: dict[int, Future[None]] = {}
        self.wanted_again: set[int] = set()  # came up while they were busy
        self.threads: list[int] = []  # their idents
        self.pool = ThreadPoolExecutor(
            max_workers=settings.GATEWAY_THREADS,
            thread_name_prefix="account",
            initializer=lambda: self.threads.append(threading.get_ident()),
        )

    def turn(self) -> None:
        """Take accounts and let each have its turn. Raises the loss of the database alone: of an account's own trouble only it suffers."""
        self._collect()
        accounts = list(ExchangeAccount.objects.exclude(mode=Mode.REPLAY.value).select_related("simulated_market").order_by("pk"))
        mine = [account for account in accounts if self._take(account)]
        free = [account for account in mine if account.pk not in self.busy]
        self.wanted_again = {account.pk for account in mine} - {account.pk for account in free}
        if len(accounts) == 1 or settings.GATEWAY_THREADS == 1:
            for account in free:
                _serve(self.desks[account.pk], account)
        else:
            self.busy |= {account.pk: self.pool.submit(_in_its_thread, self.desks[account.pk], account) for account in free}
            for done in self.busy.values():
                done.add_done_callback(self._again)
            wait(self.busy.values(), timeout=self.patience_s)
            self._collect()
        self.account_feeds.forget_all_but({pk for pk, desk in self.desks.items() if desk.wants_feed})

    def close(self) -> None:
        """Give every account back, so that a successor need not wait. What is being sent is finished first."""
        self.account_feeds.close()
        self._hang_up()
        self.pool.shutdown(wait=True)
        for desk in self.desks.values():
            gateway.give_back(desk.tenure)

    def _hang_up(self) -> None:
        """Let each thread close its own database connections, which nobody else may: all meet, so that none does it twice."""
        meeting = threading.Barrier(max(1, len(self.threads)))

        def leave() -> None:
            meeting.wait()
            connections.close_all()

        for _thread in self.threads:
            self.pool.submit(leave)

    def _take(self, account: ExchangeAccount) -> bool:
        """Take or renew the right to send for an account; a new holding passes the barrier before its bots run."""
        tenure = gateway.take_account(account.pk)
        if tenure is None:
            if account.pk not in self.busy:  # else it notices itself: nothing is written under a lease that is gone
                self.desks.pop(account.pk, None)
            return False
        desk = self.desks.get(account.pk)
        if desk is None or desk.tenure != tenure:
            if account.pk in self.busy:
                return False  # under the old lease; the new one begins when that has ended
            log.info("account=%s taken with epoch %s", account.pk, tenure.epoch)
            bots.await_gateway(account_id=account.pk)
            crash_point("account taken")
            self.desks[account.pk] = AccountDesk(tenure=tenure, open_key=self.open_key, account_feeds=self.account_feeds)
        return True

    def _collect(self) -> None:
        """Forget the turns that have ended. One that lost the database speaks for all: they lost the same one."""
        ended = [pk for pk, future in self.busy.items() if future.done()]
        lost = [error for pk in ended if (error := self.busy.pop(pk).exception()) is not None]
        if lost:
            raise lost[0]

    def _again(self, _done: Future[None]) -> None:
        """A slow account has ended while others had turns: it may have been wanted meanwhile."""
        if self.wanted_again:
            self.ring()


def _in_its_thread(desk: AccountDesk, account: ExchangeAccount) -> None:
    close_old_connections()
    try:
        _serve(desk, account)
    except (OperationalError, InterfaceError):
        connections.close_all()
        raise


def _serve(desk: AccountDesk, account: ExchangeAccount) -> None:
    """One account's turn. What nobody expected is logged whole and tried again after a rest, while the other accounts go on."""
    if time.monotonic() < desk.rests_until:
        return
    try:
        desk.turn(account)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("account=%s could not be served; it is tried again in %s s", account.pk, REST_S)
        desk.rests_until = time.monotonic() + REST_S
