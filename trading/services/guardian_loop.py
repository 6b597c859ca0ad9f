"""What one turn of the guardian process does: look at every price that protects something."""

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from django.conf import settings

from dgbot.core.errors import ExchangeUnavailable, VenueUnavailable
from dgbot.core.types import Mode, Ticker
from trading.domain.triggers import Witnesses
from trading.exchanges.venue import Venue
from trading.models import ExchangeAccount, Order, Position
from trading.services import exits, guardian, leases
from trading.services.guardian_prices import Market, Prices

log = logging.getLogger(__name__)


@dataclass
class Guardian:
    """venue_for: the venue of an account. ring: called when an exit was planned."""

    venue_for: Callable[[ExchangeAccount], Venue]
    ring: Callable[[], None]
    prices: Prices = field(default_factory=Prices)
    witnesses: Witnesses = field(default_factory=Witnesses)
    problems: dict[int, str] = field(default_factory=dict)

    def turn(self) -> None:
        """Look once at every market in which an account of ours holds something."""
        markets: set[Market] = set()
        positions: set[Hashable] = set(Position.objects.open().values_list("pk", flat=True))
        for account in ExchangeAccount.objects.exclude(mode=Mode.REPLAY.value).select_related("simulated_market"):
            symbols = guardian.watched_symbols(account_id=account.pk)
            if not symbols or leases.acquire(name=f"guardian:{account.pk}", seconds=settings.LEASE_S) is None:
                continue
            venue = self._venue(account)
            if venue is None:
                continue
            for symbol in symbols:
                if not venue.mode.is_recorded:
                    markets.add((account.exchange, symbol))
                if self._look(account, venue=venue, symbol=symbol):
                    self.ring()
        self.prices.forget_all_but(markets)
        self.witnesses.forget_all_but(positions)

    def close(self) -> None:
        """Wait for nobody."""
        self.prices.close()

    def _venue(self, account: ExchangeAccount) -> Venue | None:
        try:
            venue = self.venue_for(account)
        except VenueUnavailable as error:
            if self.problems.get(account.pk) != str(error):
                log.warning("account=%s is not watched: %s", account.pk, error)
            self.problems[account.pk] = str(error)
            return None
        self.problems.pop(account.pk, None)
        return venue

    def _look(self, account: ExchangeAccount, *, venue: Venue, symbol: str) -> list[Order]:
        if venue.mode.is_recorded:
            return self._look_at_computed(account, venue=venue, symbol=symbol)
        seen = self.prices.look(venue, exchange=account.exchange, symbol=symbol)
        if seen is None:
            return []
        at = time.monotonic()

        def believes(position: Position, tick: Ticker) -> bool:
            stop, above = exits.triggers(position, rules=exits.rules_from(venue.exchange, symbol=symbol, at=venue.clock.now()))
            reason = self.witnesses.due(position.pk, tick=tick, best_bid=seen.best_bid, stop_price=stop, target_price=above, at=at)
            return reason is not None

        return guardian.step(account_id=account.pk, exchange=venue.exchange, tick=seen.tick, now=venue.clock.now(), believes=believes)

    def _look_at_computed(self, account: ExchangeAccount, *, venue: Venue, symbol: str) -> list[Order]:
        """A computed price needs no second sign: nothing else can be true."""
        try:
            tick = venue.exchange.ticker(symbol)
        except ExchangeUnavailable as error:
            log.warning("account=%s symbol=%s price unknown: %s", account.pk, symbol, error)
            return []
        return guardian.step(account_id=account.pk, exchange=venue.exchange, tick=tick, now=tick.known_at)
