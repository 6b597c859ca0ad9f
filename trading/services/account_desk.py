"""One account's turn in the gateway: commands answered, the account reconciled, orders settled and sent, balances written.

    taken ──► barrier: exits alone are sent ──first stable reconciliation──► open: orders are sent, wanted bots run

Everything a turn must remember of the account stands here, so that accounts can take their turns at the same time.
"""

import logging
import time
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import Q

from dgbot.core.errors import DgbotError
from dgbot.core.types import Mode, Purpose
from trading.domain.lifecycle import Status
from trading.domain.reconcile import Pace, Scope, Verdict, due
from trading.exchanges.account_feeds import AccountFeeds
from trading.exchanges.venue import Venue
from trading.models import CommandKind, Credential, ExchangeAccount, KeyStatus, Order, ReconcileRun
from trading.services import account_fees, bots, commands, feeds, gateway, gateway_duties, reconciling, venues, verdict_journal
from trading.services.command_handlers import handlers_for
from trading.services.commands import Handler
from trading.services.gateway import Tenure
from trading.services.venues import KeyOpener

log = logging.getLogger(__name__)

DOUBTED_EVERY_S = 30.0  # a key that was refused is tried again for exits and open questions, seldom enough to do no harm
FULL_EVERY_S = 86_400.0  # the whole week is read again
FEES_LOOKED_AT_EVERY_S = 10.0  # a bot that has just begun in another market must not wait for the hour
BALANCES_EVERY_S = 10.0  # of accounts at real exchanges, where each reading is a request


@dataclass
class AccountDesk:
    """What this process remembers of an account it holds. Used by one thread at a time."""

    tenure: Tenure
    open_key: KeyOpener
    account_feeds: AccountFeeds
    is_open: bool = False  # the barrier: our books were found equal to the exchange, as far as they can be, since it was taken
    wants_feed: bool = False
    balances_due: float = 0.0  # monotonic
    fees_due: float = 0.0
    rests_until: float = 0.0  # after an error that nobody expected
    doubted_due: float = 0.0
    problem: str = ""
    reconciled: dict[Scope, float] = field(default_factory=dict)  # when each scope was read, monotonic

    def turn(self, account: ExchangeAccount) -> None:
        """What this account needs now. What goes wrong at its exchange is said, and tried again at the next turn."""
        try:
            venue = venues.venue_for(account, open_key=self.open_key)
        except DgbotError as error:
            self._complain(account, str(error))
            bots.note_unserved(account_id=account.pk, why=str(error))
            commands.answer_all(account_id=account.pk, tenure=self.tenure, handlers=_refusals(error))
            return
        self.problem = ""
        commands.answer_all(account_id=account.pk, tenure=self.tenure, handlers=handlers_for(venue, tenure=self.tenure))
        is_news = self._hear(account, venue=venue)
        if _may_trade(account) and self._is_turn_of(account):
            self._trade(account, venue=venue, is_news=is_news)
        elif _may_read(account) and self._are_balances_due():
            gateway.record_balances(account_id=account.pk, venue=venue, tenure=self.tenure)

    def _trade(self, account: ExchangeAccount, *, venue: Venue, is_news: bool) -> None:
        verdict_journal.replay(account.pk, gateway.path(venue=venue, tenure=self.tenure))
        gateway_duties.before_sending(account, venue=venue)
        if not self.is_open and not self._opens(account, venue=venue):
            return
        touched = gateway.settle_and_send(account_id=account.pk, venue=venue, tenure=self.tenure, is_hurried=is_news)
        if touched or venue.mode.is_recorded or self._are_balances_due():
            gateway.record_balances(account_id=account.pk, venue=venue, tenure=self.tenure)
        gateway_duties.after_sending(account, touched=bool(touched))
        self._ask_fees(account, venue=venue)
        bots.settle_wanted(account_id=account.pk)
        scope = self._due(account, is_recorded=venue.mode.is_recorded)
        if scope is not None:
            self._reconcile(account, venue=venue, scope=scope)

    def _opens(self, account: ExchangeAccount, *, venue: Venue) -> bool:
        """Whether the barrier opens now; then bots whose position is known run, and what they planned before may still leave."""
        self._send_exits(account, venue=venue)
        made = self._reconcile(account, venue=venue, scope=Scope.BALANCES)
        if made.verdict != Verdict.STABLE:
            bots.note_unserved(account_id=account.pk, why=f"the account is being compared with the exchange: {made.cause}")
            return False
        log.info("account=%s reconciled in %s ms, its bots may run", account.pk, made.duration_ms)
        self.is_open = True
        gateway.record_balances(account_id=account.pk, venue=venue, tenure=self.tenure)
        bots.settle_wanted(account_id=account.pk)
        return True

    def _send_exits(self, account: ExchangeAccount, *, venue: Venue) -> None:
        """Whatever else is unclear, a position may always be left."""
        planned = Order.objects.filter(~Q(purpose=Purpose.ENTRY.value), account=account, status=Status.PLANNED.value)
        for order_pk in planned.order_by("pk").values_list("pk", flat=True):
            gateway.submit(order_pk=order_pk, venue=venue, tenure=self.tenure)

    def _reconcile(self, account: ExchangeAccount, *, venue: Venue, scope: Scope) -> ReconcileRun:
        made = reconciling.run(account=account, venue=venue, tenure=self.tenure, scope=scope)
        if made.verdict != Verdict.VOID:
            self.reconciled[scope] = time.monotonic()
        return made

    def _due(self, account: ExchangeAccount, *, is_recorded: bool) -> Scope | None:
        """Which reading is due. Of a recorded market only the whole one: nobody else trades there."""
        if Scope.FULL not in self.reconciled:
            age_s = reconciling.last_full_age_s(account.pk)
            self.reconciled[Scope.FULL] = time.monotonic() - (FULL_EVERY_S if age_s is None else age_s)
        whole = settings.RECONCILE_BALANCES_S
        pace = Pace(
            orders_s=whole if is_recorded else settings.RECONCILE_ORDERS_S,
            fills_s=whole if is_recorded else settings.RECONCILE_FILLS_S,
            balances_s=whole,
            full_s=FULL_EVERY_S,
        )
        return due(self.reconciled, now=time.monotonic(), pace=pace)

    def _hear(self, account: ExchangeAccount, *, venue: Venue) -> bool:
        """Follow the private feed of an account whose key is good; whether it said something. That only hastens the next question."""
        dialect = None
        if venue.mode is Mode.LIVE and _may_read(account):
            dialect = feeds.private_dialect(account, signed=venue.exchange)
        self.wants_feed = dialect is not None
        if dialect is None:
            return False
        self.account_feeds.follow(account.pk, key=venue.exchange, dialect=lambda: dialect)
        is_news = self.account_feeds.take_news(account.pk)
        if is_news:
            self.balances_due = 0.0
        return is_news

    def _ask_fees(self, account: ExchangeAccount, *, venue: Venue) -> None:
        """Pretended money pays what the venue says; only a real account has a tier."""
        if venue.mode is Mode.LIVE and time.monotonic() >= self.fees_due:
            self.fees_due = time.monotonic() + FEES_LOOKED_AT_EVERY_S
            account_fees.refresh(account=account, exchange=venue.exchange)

    def _is_turn_of(self, account: ExchangeAccount) -> bool:
        """Always, but for an account whose key is doubted."""
        if Mode(account.mode) is not Mode.LIVE or not Credential.objects.filter(account=account, status=KeyStatus.DOUBTED).exists():
            self.doubted_due = 0.0
            return True
        now = time.monotonic()
        if now < self.doubted_due:
            return False
        self.doubted_due = now + DOUBTED_EVERY_S
        return True

    def _are_balances_due(self) -> bool:
        now = time.monotonic()
        if now < self.balances_due:
            return False
        self.balances_due = now + BALANCES_EVERY_S
        return True

    def _complain(self, account: ExchangeAccount, problem: str) -> None:
        """Say it once, not every second."""
        if self.problem != problem:
            log.warning("account=%s is not served: %s", account.pk, problem)
            self.problem = problem


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
