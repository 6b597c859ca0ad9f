"""What one turn of the gateway process does over all accounts it may hold."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from dgbot.core.crash import crash_point
from dgbot.core.errors import DgbotError
from dgbot.core.types import Mode
from trading.exchanges.account_feeds import AccountFeeds
from trading.exchanges.venue import Venue
from trading.models import CommandKind, Credential, ExchangeAccount, KeyStatus
from trading.services import bots, commands, feeds, gateway, gateway_duties, venues
from trading.services.command_handlers import handlers_for
from trading.services.commands import Handler
from trading.services.gateway import Tenure
from trading.services.venues import KeyOpener

log = logging.getLogger(__name__)

DOUBTED_EVERY_S = 30.0  # a key that was refused is tried again for exits and open questions, seldom enough to do no harm
BALANCES_EVERY_S = 10.0  # of accounts at real exchanges, where each reading is a request


@dataclass
class Gateway:
    """Remembers which accounts it holds, so that a newly taken one passes the barrier before its bots run."""

    open_key: KeyOpener
    ring: Callable[[], None] = lambda: None  # wakes this process; called from another thread

    def __post_init__(self) -> None:
        self.account_feeds = AccountFeeds(ring=self.ring)
        self.heard: set[int] = set()  # accounts whose private feed was wanted in this turn
        self.held: dict[int, Tenure] = {}
        self.balances_due: dict[int, float] = {}
        self.doubted_due: dict[int, float] = {}
        self.problems: dict[int, str] = {}

    def turn(self) -> None:
        """Take accounts, settle and send their orders, answer commands, then let their wanted bots run."""
        self.heard.clear()
        accounts = ExchangeAccount.objects.exclude(mode=Mode.REPLAY.value).select_related("simulated_market")
        for account in accounts.order_by("pk"):
            tenure = gateway.take_account(account.pk)
            if tenure is None:
                self.held.pop(account.pk, None)
                continue
            if self.held.get(account.pk) != tenure:
                log.info("account=%s taken with epoch %s", account.pk, tenure.epoch)
                bots.await_gateway(account_id=account.pk)
                crash_point("account taken")
                self.held[account.pk] = tenure
            self._serve(account, tenure=tenure)
        self.account_feeds.forget_all_but(self.heard)

    def close(self) -> None:
        """Give every account back, so that a successor need not wait."""
        self.account_feeds.close()
        for tenure in self.held.values():
            gateway.give_back(tenure)

    def _serve(self, account: ExchangeAccount, *, tenure: Tenure) -> None:
        """One account's turn. What goes wrong at one exchange keeps no other account waiting for an answer."""
        try:
            venue = venues.venue_for(account, open_key=self.open_key)
        except DgbotError as error:
            self._complain(account, str(error))
            bots.note_unserved(account_id=account.pk, why=str(error))
            commands.answer_all(account_id=account.pk, tenure=tenure, handlers=_refusals(error))
            return
        self.problems.pop(account.pk, None)
        commands.answer_all(account_id=account.pk, tenure=tenure, handlers=handlers_for(venue))
        self._hear(account, venue=venue)
        if _may_trade(account) and self._is_turn_of(account):
            self._trade(account, venue=venue, tenure=tenure)
        elif _may_read(account) and self._are_balances_due(account):
            gateway.record_balances(account_id=account.pk, venue=venue, tenure=tenure)

    def _hear(self, account: ExchangeAccount, *, venue: Venue) -> None:
        """Follow the private feed of an account whose key is good. What it says only hastens the next question."""
        if venue.mode is not Mode.LIVE or not _may_read(account):
            return
        dialect = feeds.private_dialect(account, signed=venue.exchange)
        if dialect is None:
            return
        self.heard.add(account.pk)
        self.account_feeds.follow(account.pk, key=venue.exchange, dialect=lambda: dialect)
        if self.account_feeds.take_news(account.pk):
            self.balances_due.pop(account.pk, None)

    def _trade(self, account: ExchangeAccount, *, venue: Venue, tenure: Tenure) -> None:
        gateway_duties.before_sending(account, venue=venue)
        touched = gateway.settle_and_send(account_id=account.pk, venue=venue, tenure=tenure)
        if touched or venue.mode.is_recorded or self._are_balances_due(account):
            gateway.record_balances(account_id=account.pk, venue=venue, tenure=tenure)
        gateway_duties.after_sending(account, touched=bool(touched))
        bots.settle_wanted(account_id=account.pk)

    def _is_turn_of(self, account: ExchangeAccount) -> bool:
        """Always, but for an account whose key is doubted."""
        if Mode(account.mode) is not Mode.LIVE or not Credential.objects.filter(account=account, status=KeyStatus.DOUBTED).exists():
            self.doubted_due.pop(account.pk, None)
            return True
        now = time.monotonic()
        if now < self.doubted_due.get(account.pk, 0.0):
            return False
        self.doubted_due[account.pk] = now + DOUBTED_EVERY_S
        return True

    def _are_balances_due(self, account: ExchangeAccount) -> bool:
        now = time.monotonic()
        if now < self.balances_due.get(account.pk, 0.0):
            return False
        self.balances_due[account.pk] = now + BALANCES_EVERY_S
        return True

    def _complain(self, account: ExchangeAccount, problem: str) -> None:
        """Say it once, not every second."""
        if self.problems.get(account.pk) != problem:
            log.warning("account=%s is not served: %s", account.pk, problem)
            self.problems[account.pk] = problem


def _may_trade(account: ExchangeAccount) -> bool:
    mode = Mode(account.mode)
    return not venues.why_not(mode) and (mode is not Mode.LIVE or _may_read(account))


def _may_read(account: ExchangeAccount) -> bool:
    """Whether its key has been found good, if not for the last order. Pretended money needs none."""
    good = (KeyStatus.VERIFIED, KeyStatus.DOUBTED)
    return Mode(account.mode) is not Mode.LIVE or Credential.objects.filter(account=account, status__in=good).exists()


def _refusals(error: DgbotError) -> dict[CommandKind, Handler]:
    def refuse(_command: object) -> dict[str, object]:
        raise error

    return dict.fromkeys(CommandKind, refuse)
