"""Replay: recorded candles through the very functions that trade, one bar after the other, in one process.

Inside a bar: orders decided at the last close fill at the open → guardian along the bar → cycle at the close.
"""

import gc
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections, transaction

from backtests.candles.series import Candles
from backtests.strategies.registry import strategy_named
from dgbot.core.clock import SteppedClock, from_nanoseconds, to_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from risk.models import FilterMode, RiskProfile
from trading.domain.config import RISK_LEVELS
from trading.domain.path import Point, long_path
from trading.exchanges.pretend import PretendExchange
from trading.exchanges.replay import ReplayQuotes
from trading.exchanges.venue import Venue
from trading.models import Bot, BotStatus, ExchangeAccount, Position
from trading.models.accounts import ExchangeName
from trading.services import bots, config, cycles, exits, gateway, guardian, snapshots
from trading.services.gateway import Tenure
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import KRW_FEES, account_key

OWNER = "replay"  # the user replays belong to when nobody is named
ENDED = "the replay ended"


@dataclass(frozen=True)
class Order:
    """What to replay. cash: quote currency. start, end: candles opened in [start, end); None leaves that side open.

    is_filtered: whether the quick filter stops entries, as it does live; a recording's first two years have too few trades to pass.
    """

    recording: Candles
    strategy: str
    parameters: dict[str, object]
    cash: Decimal
    start: datetime | None = None
    end: datetime | None = None
    profile: str = ""
    is_filtered: bool = False


@dataclass
class Replay:
    """One replay: its own account and bot, a stepped clock, quotes that are moved along the bars."""

    bot: Bot
    venue: Venue
    quotes: ReplayQuotes
    clock: SteppedClock
    bars: range
    tenure: Tenure
    renewed_at: float

    def run(self) -> Iterator[datetime]:
        """Walk the bars, yielding each slot when its cycle is over. Commits wait for no disk: a replay can be run again."""
        for alias in ("default", "venue"):
            with connections[alias].cursor() as cursor:
                cursor.execute("SET synchronous_commit TO off")
        gc.freeze()  # what is loaded by now stays to the end and need not be looked at again and again
        for index in self.bars:
            self._renew()
            yield self._bar(index)
        self._end()

    def _bar(self, index: int) -> datetime:
        candle = self.quotes.recording.candle(index)
        slot = candle.opened_at + self.quotes.recording.interval.length
        self._move(Point(candle.open, candle.opened_at))
        gateway.step(account_id=self.bot.account_id, venue=self.venue, tenure=self.tenure)
        if self.bot.status != BotStatus.RUNNING:
            bots.settle_wanted(account_id=self.bot.account_id)
            self.bot.refresh_from_db()
        held = Position.objects.open().filter(bot=self.bot).first()
        if held is not None:
            levels = exits.levels_at(held, rules=lambda: self.venue.exchange.trading_rules(self.bot.symbol, at=self.clock.now()))
            for point in long_path(candle, length=self.quotes.recording.interval.length, levels=levels):
                self._guard(point, most=len(levels))
        self._move(Point(candle.close, slot))
        cycles.run(bot_id=self.bot.pk, slot=slot, venue=self.venue)
        snapshots.take(account=self.bot.account, venue=self.venue, now=slot)
        return slot

    def _guard(self, point: Point, *, most: int) -> None:
        """Serve every trigger at this price; a gap may reach several partial levels at once."""
        self._move(point)
        for _trigger in range(most):
            tick = self.venue.exchange.ticker(self.bot.symbol)
            if not guardian.step(account_id=self.bot.account_id, exchange=self.venue.exchange, tick=tick, now=point.at):
                return
            gateway.step(account_id=self.bot.account_id, venue=self.venue, tenure=self.tenure)

    def _move(self, point: Point) -> None:
        self.clock.move_to(point.at)
        self.quotes.price = point.price

    def _renew(self) -> None:
        if time.monotonic() - self.renewed_at > settings.LEASE_S / 3:
            tenure = gateway.take_account(self.bot.account_id)
            if tenure != self.tenure:
                raise RuntimeError(f"the replay lost its account {self.bot.account_id} to another process")
            self.renewed_at = time.monotonic()

    def _end(self) -> None:
        gateway.lapse_planned(account_id=self.bot.account_id, now=self.clock.now(), why=ENDED)
        Bot.objects.filter(pk=self.bot.pk).update(is_running=False, status=BotStatus.STOPPED, status_reason=ENDED)
        gateway.give_back(self.tenure)


def prepare(order: Order) -> Replay:
    """Make the replay's own account and bot. Raises BadInput when there is nothing to replay or a name is unknown."""
    recording = order.recording
    strategy_named(order.strategy).parameters.of(order.parameters)
    bars = _bars(order)
    clock = SteppedClock(recording.candle(bars[0]).opened_at)
    quotes = ReplayQuotes(recording=recording, clock=clock)
    bot = _bot(order)
    store = DatabaseVenueStore(account_key(bot.account), new_id=_counter(bot.account_id))
    store.open(asset=quotes.trading_rules(bot.symbol, at=clock.now()).quote, amount=order.cash)
    exchange = PretendExchange(quotes=quotes, store=store, clock=clock, fee_rates=KRW_FEES)
    tenure = gateway.take_account(bot.account_id)
    assert tenure is not None  # the account was made a moment ago
    venue = Venue(mode=Mode.REPLAY, clock=clock, exchange=exchange, history=quotes)
    return Replay(bot=bot, venue=venue, quotes=quotes, clock=clock, bars=bars, tenure=tenure, renewed_at=time.monotonic())


def _bars(order: Order) -> range:
    opened = order.recording.open_time
    first = 0 if order.start is None else int(opened.searchsorted(to_nanoseconds(order.start)))
    last = len(opened) if order.end is None else int(opened.searchsorted(to_nanoseconds(order.end)))
    if first >= last:
        span = f"{from_nanoseconds(opened[0]):%Y-%m-%d} to {from_nanoseconds(opened[-1]):%Y-%m-%d}" if len(opened) else "nothing"
        raise BadInput(f"There is no candle to replay between --from and --to; the files hold {span}.")
    return range(first, last)


@transaction.atomic
def _bot(order: Order) -> Bot:
    owner, is_new = get_user_model().objects.get_or_create(username=OWNER)
    if is_new:
        owner.set_unusable_password()
        owner.save(update_fields=["password"])
    name = _name(order, owner=owner)
    account = ExchangeAccount.objects.create(user=owner, name=name, exchange=ExchangeName.UPBIT, mode=Mode.REPLAY.value, is_hidden=True)
    return Bot.objects.create(
        user=owner,
        account=account,
        mode=account.mode,
        name=name,
        symbol=order.recording.symbol,
        strategy=order.strategy,
        parameters=order.parameters,
        interval=order.recording.interval.value,
        risk_profile=_profile(order.profile),
        allocation=order.cash,
        filter_mode="" if order.is_filtered else FilterMode.OFF.value,
        anchor_at=None,
        trade_amount=settings.TRADING_AMOUNT,
        is_running=True,
        status=BotStatus.REQUESTED,
        is_hidden=True,
    )


def _profile(name: str) -> RiskProfile:
    """The profile of that name, or the one `risk_level` names now: a replay keeps its own to the end."""
    name = name or RISK_LEVELS[config.current().risk_level]
    profile = RiskProfile.objects.filter(user=None, name=name).first()
    if profile is None:
        known = ", ".join(RiskProfile.objects.filter(user=None).values_list("name", flat=True))
        raise BadInput(f"There is no risk profile {name!r}; known are {known or 'none, run `manage.py prepare`'}.")
    return profile


def _name(order: Order, *, owner: Any) -> str:
    """File hash, strategy and run number: two runs of the same thing differ in the number alone."""
    recording = order.recording
    digest = hashlib.sha256(
        f"{recording.hash_at(len(recording))} {order.strategy} {sorted(order.parameters.items())} {order.cash}".encode()
    )
    stem = f"replay {recording.symbol} {order.strategy} {digest.hexdigest()[:8]}"[:50]
    number = ExchangeAccount.objects.filter(user=owner, name__startswith=stem).count() + 1
    return f"{stem} #{number}"


def _counter(account_id: int) -> Callable[[], str]:
    """Exchange ids that are the same in every run but for the account: 7-1, 7-2, …"""
    numbers = iter(range(1, 10**9))
    return lambda: f"{account_id}-{next(numbers)}"
