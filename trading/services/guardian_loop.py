"""What the guardian process does at every turn: hold the newest prices against what is guarded, and fire.

    feed's thread ──note──► heard markets ─┐
    every half second ─────► all markets ──┴─► price ──► watchlist in memory ──► believed? ──► rows, orders: committed
    every second ──────────► watchlist read anew

Between two readings of the watchlist no price touches the database, unless it reaches a stop, a target or a level.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from django.conf import settings

from dgbot.core.errors import ExchangeUnavailable, VenueUnavailable
from dgbot.core.types import OrderBook, Ticker
from trading.domain.triggers import Witnesses
from trading.domain.watchlist import Guarded, Market, Watchlist
from trading.exchanges.venue import Venue
from trading.models import ExchangeAccount
from trading.services import guardian, kill_trips, leases, protection
from trading.services.guardian import OpenPosition, Touch
from trading.services.guardian_prices import Prices

log = logging.getLogger(__name__)

READ_EVERY_S = 1.0  # a position is guarded at most so long after its first fill
CLOCK_EVERY_S = 60.0
HEARD_AGAIN_S = 0.002  # prices that arrive together are looked at together


@dataclass
class Guardian:
    """venue_for: the venue of an account. ring: called when an exit was planned."""

    venue_for: Callable[[ExchangeAccount], Venue]
    ring: Callable[[], None]
    prices: Prices = field(default_factory=Prices)
    witnesses: Witnesses = field(default_factory=Witnesses)
    read_every_s: float = READ_EVERY_S
    look_every_s: float | None = None  # None: the setting
    problems: dict[int, str] = field(default_factory=dict)
    watchlist: Watchlist = field(default_factory=Watchlist)
    venues: dict[Market, Venue] = field(default_factory=dict)
    positions: dict[Market, list[int]] = field(default_factory=dict)  # by primary key

    def __post_init__(self) -> None:
        self._news = threading.Event()
        self._heard: set[tuple[str, str]] = set()  # exchange and symbol; filled by the feeds' threads
        self._ours: set[int] = set()
        self._read_at = self._looked_at = self._leased_at = self._clock_at = self._told_at = float("-inf")

    def turn(self) -> None:
        """Read what is guarded when it is time, look at every price that is new, and fire what it reaches."""
        now = time.monotonic()
        if now - self._read_at >= self.read_every_s:
            self._read()
            self._read_at = now
        markets = self._due_markets(now)
        touched = [touch for market in markets for touch in self._look(market)]
        if touched:
            self._fire(touched)
        if now - self._told_at >= protection.TOLD_EVERY_S:
            self._told_at = now
            protection.tell(self._watched())
        if now - self._clock_at >= CLOCK_EVERY_S:
            self._clock_at = now
            self._compare_clocks()

    def wait(self) -> None:
        """Until a feed tells something, or it is time to look at everything."""
        if self._news.wait(self._look_every_s):
            time.sleep(HEARD_AGAIN_S)

    def close(self) -> None:
        """Wait for nobody."""
        self.prices.close()

    @property
    def _look_every_s(self) -> float:
        return settings.GUARDIAN_TICK_S if self.look_every_s is None else self.look_every_s

    # --- What is guarded ---
    def _read(self) -> None:
        rows = guardian.open_positions()
        held = self._held({row.account_id for row in rows})
        ours = [row for row in rows if row.account_id in held]
        self.venues = self._venues_of(ours)
        known = [row for row in ours if row.market in self.venues]
        self.positions = {}
        for row in known:
            self.positions.setdefault(row.market, []).append(row.pk)
        self.watchlist = Watchlist.of((row.market, self._guarded(row)) for row in known)
        self.prices.forget_all_but({(market.exchange, market.symbol) for market in self.venues if not market.is_computed})
        self.witnesses.forget_all_but({row.pk for row in rows})

    def _guarded(self, row: OpenPosition) -> Guarded | None:
        venue = self.venues[row.market]
        return guardian.guarded(row, exchange=lambda: venue.exchange, now=venue.clock.now)

    def _held(self, accounts: Collection[int]) -> set[int]:
        """Those of these accounts that are ours to guard; the lease is renewed thrice in its life, and asked for a new account at once."""
        now = time.monotonic()
        if now - self._leased_at >= settings.LEASE_S / 3 or not self._ours.issuperset(accounts):
            taken = leases.acquire_all(names=[f"guardian:{pk}" for pk in sorted(accounts)], seconds=settings.LEASE_S) if accounts else {}
            self._ours = {int(name.partition(":")[2]) for name in taken}
            self._leased_at = now
        return self._ours

    def _venues_of(self, rows: Iterable[OpenPosition]) -> dict[Market, Venue]:
        """Where each market's price is told: public data, so any account of it will do."""
        by_market = {row.market: row.account_id for row in rows}
        accounts = ExchangeAccount.objects.select_related("simulated_market").in_bulk(set(by_market.values()))
        venues = {pk: self._venue(account) for pk, account in accounts.items()}
        found = {market: venues[pk] for market, pk in by_market.items()}
        return {market: venue for market, venue in found.items() if venue is not None}

    def _venue(self, account: ExchangeAccount) -> Venue | None:
        try:
            venue = self.venue_for(account)
        except VenueUnavailable as error:
            if self.problems.get(account.pk) != str(error):
                log.warning("account=%s is not watched: %s", account.pk, error)
            self.problems[account.pk] = str(error)
            return None
        self.problems.pop(account.pk, None)
        if venue.streams is not None:
            venue.streams.wake(self._note)
        return venue

    def _watched(self) -> set[int]:
        """The positions whose price is known: the others are not protected, whoever looks."""
        known = [market for market in self.venues if market.is_computed or self.prices.is_known(market.exchange, market.symbol)]
        return {pk for market in known for pk in self.positions.get(market, ())}

    def _compare_clocks(self) -> None:
        """A machine that does not know the time signs nothing well and judges ages wrongly."""
        for market, venue in self.venues.items():
            told = venue.streams.now() if venue.streams is not None else None
            if told is not None:
                kill_trips.clock(exchange=market.exchange, offset=venue.clock.now() - told)

    # --- Prices ---
    def _note(self, exchange: str, symbol: str) -> None:
        """From a feed's thread."""
        self._heard.add((exchange, symbol))
        self._news.set()

    def _due_markets(self, now: float) -> list[Market]:
        """Those with news; every half second all of them, since prices by REST and suspicions have no news."""
        self._news.clear()  # before it is read: what arrives meanwhile wakes us again
        heard, self._heard = self._heard, set()
        if now - self._looked_at >= self._look_every_s:
            self._looked_at = now
            return list(self.watchlist.markets)
        return [market for name in heard if (market := Market(*name)) in self.watchlist.markets]

    def _look(self, market: Market) -> list[Touch]:
        venue = self.venues[market]
        if market.is_computed:
            return self._look_at_computed(market, venue=venue)
        seen = self.prices.look(venue, exchange=market.exchange, symbol=market.symbol)
        if seen is None:
            return []
        believed = self._believed(market, tick=seen.tick, best_bid=seen.best_bid)
        return [self._touch(row, venue=venue, tick=seen.tick, book=seen.book) for row in believed]

    def _believed(self, market: Market, *, tick: Ticker, best_bid: Decimal | None) -> list[Guarded]:
        """Those that this price reaches and a second sign confirms. What is not reached any more is suspected no longer."""
        guards, at = self.watchlist.markets[market], time.monotonic()
        touched = list(guards.touched(tick.price))
        if self.witnesses.suspected:
            self.witnesses.clear(row.key for row in guards.rows if not row.is_touched(tick.price))
        return [
            row
            for row in touched
            if self.witnesses.due(row.key, tick=tick, best_bid=best_bid, stop_price=row.stop, target_price=row.above, at=at) is not None
        ]

    def _look_at_computed(self, market: Market, *, venue: Venue) -> list[Touch]:
        """A computed price needs no second sign: nothing else can be true."""
        try:
            tick = venue.exchange.ticker(market.symbol)
        except ExchangeUnavailable as error:
            log.warning("symbol=%s world=%s price unknown: %s", market.symbol, market.world, error)
            return []
        return [self._touch(row, venue=venue, tick=tick) for row in self.watchlist.markets[market].touched(tick.price)]

    def _touch(self, row: Guarded, *, venue: Venue, tick: Ticker, book: OrderBook | None = None) -> Touch:
        now = tick.known_at if venue.mode.is_recorded else venue.clock.now()
        return Touch(position_id=int(str(row.key)), tick=tick, exchange=venue.exchange, now=now, book=book)

    def _fire(self, touched: list[Touch]) -> None:
        planned = guardian.fire(touched)
        self.watchlist.drop({order.position_id for order in planned})
        if planned:
            self.ring()
