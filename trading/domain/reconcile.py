"""Comparing our books with an exchange account: one reading of everything, what is news in it, and where the sums differ.

Pure orchestration: the exchange and the books are ports, time is an argument, so that a simulator runs the same code. A question
that goes unanswered raises, and with it the whole run is void: no verdict, no watermark moves. Source: order path, section 2.6.

    orders resting · orders asked by id · orders ended · fills of both · payments · positions · balances last
      └ told of an execution after the reading began? read again, at most 3 times, else the run is unstable: news, no verdict
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Protocol

from dgbot.core.types import Balance, Capabilities, CashFlow, VenueFill, VenueOrder, VenueOrderStatus, VenuePosition
from trading.domain.ledger import assets_of

OVERLAP = timedelta(minutes=10)  # read again before the watermark: lists lag
WHOLE_WINDOW = timedelta(days=7)  # of the daily run; also the longest span Upbit's closed orders are asked for at once
AHEAD = timedelta(minutes=1)  # the exchange's clock may be before ours
MOST_READINGS = 3
RESTING = (VenueOrderStatus.OPEN, VenueOrderStatus.PARTIALLY_FILLED)
NOTHING = Decimal(0)
TICKS = {"KRW": Decimal(1), "USDT": Decimal("0.01")}  # sums of an account may differ by this much: both sides round
COIN_TICK = Decimal("0.00000001")
ENTRY_PRICE_TICK = Decimal("0.0001")  # quote; an exchange rounds the entry price of a position


class Scope(IntEnum):
    """How much of the account a run reads; each holds all of the smaller ones."""

    ORDERS = 1  # what rests, and every order of ours without an end
    FILLS = 2  # what has ended, executions, payments
    BALANCES = 3  # positions and balances: the only scope with a verdict
    FULL = 4  # the same over the last week


class Verdict(StrEnum):
    """What a run is worth."""

    VOID = "void"  # a question went unanswered
    UNSTABLE = "unstable"  # the account moved while it was read
    READ = "read"  # a scope without balances
    STABLE = "stable"


@dataclass(frozen=True)
class Watched:
    """An order of ours without an end."""

    order_pk: int
    symbol: str
    client_id: str
    exchange_order_id: str | None
    status: str
    filled_amount: Decimal


@dataclass(frozen=True)
class Facts:
    """What our books say when a run begins. revision: grows whenever the account's books change."""

    revision: int
    watched: tuple[Watched, ...] = ()
    foreign_resting: Mapping[str, str] = field(default_factory=dict)  # exchange order id → symbol: others' orders, last seen at rest
    fills_since: datetime | None = None  # watermark; None: the account was never read
    flows_since: datetime | None = None


@dataclass(frozen=True)
class Reading:
    """What the exchange told, one answer per order, the latest."""

    began_at: datetime  # market time
    scope: Scope
    orders: tuple[VenueOrder, ...] = ()
    missing: tuple[int, ...] = ()  # orders of ours that no answer knew; not a verdict, the order path asks on
    flows: tuple[CashFlow, ...] = ()
    positions: tuple[VenuePosition, ...] = ()
    balances: tuple[Balance, ...] = ()
    is_stable: bool = True

    @property
    def fills(self) -> Iterable[VenueFill]:
        """Every execution told."""
        return (fill for order in self.orders for fill in order.fills)


class Market(Protocol):
    """The part of an exchange that a run reads. Every method may raise ExchangeError."""

    @property
    def capabilities(self) -> Capabilities: ...
    def open_orders(self, symbol: str | None = None) -> Sequence[VenueOrder]: ...
    def closed_orders(self, *, symbol: str | None, start: datetime, end: datetime) -> Sequence[VenueOrder]: ...
    def order(self, *, symbol: str, client_id: str | None = None, exchange_order_id: str | None = None) -> VenueOrder | None: ...
    def fills(self, *, symbol: str | None, since: datetime) -> Sequence[VenueFill]: ...
    def cash_flows(self, *, since: datetime) -> Sequence[CashFlow]: ...
    def positions(self) -> Sequence[VenuePosition]: ...
    def balances(self) -> Sequence[Balance]: ...


class Books(Protocol):
    """The part of our books that a run reads; each call as they are at that moment."""

    def facts(self) -> Facts: ...
    def booked(self, exchange_order_ids: Iterable[str]) -> Mapping[str, Decimal]:
        """Base currency booked by exchange order id, ours and others'; unknown orders are left out."""

    def now(self) -> datetime:
        """Market time."""


# --- Reading ---


def read(market: Market, books: Books, *, scope: Scope) -> Reading:
    """Everything of `scope`, until nothing moved meanwhile. Raises ExchangeError when a question goes unanswered."""
    for _attempt in range(MOST_READINGS):
        facts = books.facts()
        reading = _read_once(market, books, facts=facts, scope=scope)
        if books.facts().revision == facts.revision and not any(fill.executed_at > reading.began_at for fill in reading.fills):
            return reading
    return replace(reading, is_stable=False)


def _read_once(market: Market, books: Books, *, facts: Facts, scope: Scope) -> Reading:
    began_at = books.now()
    found = {order.exchange_order_id: order for order in market.open_orders()}
    missing = _ask_watched(market, facts, found)
    if scope >= Scope.FILLS:
        since = fills_since(facts, now=began_at, scope=scope)
        for order in market.closed_orders(symbol=None, start=since, end=began_at + AHEAD):
            found[order.exchange_order_id] = _later(found.get(order.exchange_order_id), order)
        for exchange_order_id, symbol in facts.foreign_resting.items():
            ended = None if exchange_order_id in found else market.order(symbol=symbol, exchange_order_id=exchange_order_id)
            if ended is not None:
                found[exchange_order_id] = ended
    _add_fills(market, books, found, since=fills_since(facts, now=began_at, scope=scope))
    reading = Reading(began_at, scope, orders=tuple(found.values()), missing=missing)
    if scope >= Scope.FILLS:
        flows_since = (facts.flows_since or began_at) - OVERLAP
        reading = replace(reading, flows=tuple(market.cash_flows(since=flows_since)))
    if scope >= Scope.BALANCES:
        reading = replace(reading, positions=tuple(market.positions()), balances=tuple(market.balances()))
    return reading


def fills_since(facts: Facts, *, now: datetime, scope: Scope) -> datetime:
    """From when on executions and ended orders are read."""
    since = (facts.fills_since or now) - OVERLAP
    return min(since, now - WHOLE_WINDOW) if scope is Scope.FULL else since


def _ask_watched(market: Market, facts: Facts, found: dict[str, VenueOrder]) -> tuple[int, ...]:
    """Ask by id for what is not listed. An order that does not answer may be on its way: its fate is the order path's business."""
    listed = {order.client_id for order in found.values()}
    missing = []
    for watched in facts.watched:
        if watched.client_id in listed:
            continue
        order = market.order(symbol=watched.symbol, client_id=watched.client_id)
        if order is None:
            missing.append(watched.order_pk)
        else:
            found[order.exchange_order_id] = order
    return tuple(missing)


def _add_fills(market: Market, books: Books, found: dict[str, VenueOrder], *, since: datetime) -> None:
    """Give every order with more executed than booked its fills: from the list of fills where there is one, else one by one."""
    booked = books.booked(found)
    wanting = {
        order_id for order_id, order in found.items() if order.filled_amount > booked.get(order_id, NOTHING) and not _has_fills(order)
    }
    if wanting and market.capabilities.lists_fills:
        told: dict[str, list[VenueFill]] = {}
        for fill in market.fills(symbol=None, since=since):
            told.setdefault(fill.exchange_order_id, []).append(fill)
        for order_id in wanting & told.keys():
            found[order_id] = replace(found[order_id], fills=tuple(told[order_id]))
    for order_id in wanting:
        order = found[order_id]
        if not _has_fills(order):
            whole = market.order(symbol=order.symbol, exchange_order_id=order_id)
            found[order_id] = _later(order, whole) if whole is not None else order


def _has_fills(order: VenueOrder) -> bool:
    return sum((fill.amount for fill in order.fills), NOTHING) == order.filled_amount


def _later(one: VenueOrder | None, other: VenueOrder) -> VenueOrder:
    """Of two answers about an order the one that knows more: more executed, ended rather than resting, with its fills."""
    if one is None:
        return other
    return max(one, other, key=lambda order: (order.filled_amount, order.status not in RESTING, len(order.fills)))


# --- News ---


@dataclass(frozen=True)
class News:
    """What a reading tells that is not in our books. ours: (order's primary key, answer). foreign: orders of somebody else."""

    ours: tuple[tuple[int, VenueOrder], ...] = ()
    lost: tuple[VenueOrder, ...] = ()  # under a client id of ours, and without a row: the books were set back, or a row was lost
    fired: tuple[VenueOrder, ...] = ()  # sent by a stop that rested at the exchange, and without a row yet
    foreign: tuple[VenueOrder, ...] = ()


def news_of(reading: Reading, *, ours: Mapping[str, Watched], booked: Mapping[str, Decimal], is_our_id: Mapping[str, bool]) -> News:
    """Sort what was told. ours: every order of ours among the told, ended ones too, by client id and by the exchange's. is_our_id: by
    client id.
    """
    mine, lost, fired, foreign = [], [], [], []
    for order in reading.orders:
        watched = ours.get(order.client_id or "") or (ours.get(order.exchange_order_id) if order.is_fired_stop else None)
        if watched is not None:
            if _is_news(order, watched):
                mine.append((watched.order_pk, under_our_id(order, client_id=watched.client_id)))
        elif order.client_id and is_our_id.get(order.client_id, False):
            lost.append(order)
        elif order.is_fired_stop and order.exchange_order_id not in booked:
            fired.append(order)
        elif order.exchange_order_id not in booked or order.filled_amount > booked[order.exchange_order_id] or order.status not in RESTING:
            foreign.append(order)
    return News(tuple(mine), tuple(lost), tuple(fired), tuple(foreign))


def under_our_id(order: VenueOrder, *, client_id: str) -> VenueOrder:
    """What a fired stop sent, under the client id of the stop: its own was given by the exchange."""
    return replace(order, client_id=client_id) if order.is_fired_stop else order


def _is_news(order: VenueOrder, watched: Watched) -> bool:
    return order.filled_amount != watched.filled_amount or order.status.value != watched.status or watched.exchange_order_id is None


# --- The verdict ---


@dataclass(frozen=True)
class Difference:
    """One asset of which the exchange tells another amount than our ledger; units of the asset."""

    asset: str
    told: Decimal
    booked: Decimal

    def __str__(self) -> str:
        return f"{self.asset}: the exchange tells {self.told:f}, the books say {self.booked:f}"


def told_holdings(reading: Reading, *, quote: str) -> dict[str, Decimal]:
    """What the exchange says the account holds, by asset, in the ledger's terms.

    A perpetual position counts as its base amount, and the wallet as what it would hold had the contracts been paid for in whole.
    """
    held = {one.asset: one.free + one.locked for one in reading.balances}
    for position in reading.positions:
        base, _quote = assets_of(position.symbol)
        held[base] = held.get(base, NOTHING) + position.amount
        held[quote] = held.get(quote, NOTHING) - position.amount * position.entry_price
    return held


def differences(*, told: Mapping[str, Decimal], booked: Mapping[str, Decimal], positions: Sequence[VenuePosition] = ()) -> list[Difference]:
    """Assets whose amounts differ by more than a tick, in their order. told: a whole answer, whose missing assets are held no more."""
    slack = sum((abs(position.amount) * ENTRY_PRICE_TICK for position in positions), NOTHING)
    found = []
    for asset in sorted(told.keys() | booked.keys()):
        one = Difference(asset, told.get(asset, NOTHING), booked.get(asset, NOTHING))
        tolerance = TICKS[asset] + slack if asset in TICKS else COIN_TICK
        if abs(one.told - one.booked) > tolerance:
            found.append(one)
    return found


@dataclass(frozen=True)
class Suspicion:
    """A difference that an earlier stable run saw first. first_seen_at: machine time. is_confirmed: it blocks entries already."""

    asset: str
    first_seen_at: datetime
    is_confirmed: bool


@dataclass(frozen=True)
class Judgement:
    """What a stable run makes of suspicions: `begun` and `confirmed` by their difference, `over` by asset."""

    begun: tuple[Difference, ...] = ()
    still: tuple[Difference, ...] = ()
    confirmed: tuple[Difference, ...] = ()
    over: tuple[str, ...] = ()


def judge(found: Sequence[Difference], before: Sequence[Suspicion], *, now: datetime, visible_within: timedelta) -> Judgement:
    """A difference is a break once two stable runs saw it, at least `visible_within` apart; an equal run ends it.

    What was just accepted may not show in every list yet, so one run alone proves nothing. now: machine time.
    """
    known = {suspicion.asset: suspicion for suspicion in before}
    begun, still, confirmed = [], [], []
    for one in found:
        suspicion = known.get(one.asset)
        if suspicion is None:
            begun.append(one)
        elif suspicion.is_confirmed or now - suspicion.first_seen_at < visible_within:
            still.append(one)
        else:
            confirmed.append(one)
    differing = {one.asset for one in found}
    return Judgement(tuple(begun), tuple(still), tuple(confirmed), tuple(sorted(known.keys() - differing)))


# --- When ---


@dataclass(frozen=True)
class Pace:
    """Seconds between runs of each scope."""

    orders_s: float
    fills_s: float
    balances_s: float
    full_s: float = 86_400.0


def due(last: Mapping[Scope, float], *, now: float, pace: Pace) -> Scope | None:
    """The largest scope whose time has come, or None. last: when each was read, of a monotonic clock; a larger run counts for it."""
    waits = {Scope.FULL: pace.full_s, Scope.BALANCES: pace.balances_s, Scope.FILLS: pace.fills_s, Scope.ORDERS: pace.orders_s}
    for scope, seconds in waits.items():
        newest = max((at for done, at in last.items() if done >= scope), default=None)
        if newest is None or now - newest >= seconds:
            return scope
    return None
