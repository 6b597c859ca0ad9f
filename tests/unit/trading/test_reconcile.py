"""Reconciliation on values: what is read and when again, what is news, what differs, and when a difference blocks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.types import Balance, CashFlow, OrderType, Side, VenueFill, VenueOrder, VenueOrderStatus, VenuePosition
from trading.domain import reconcile
from trading.domain.reconcile import Difference, Facts, Pace, Reading, Scope, Suspicion, Watched
from trading.exchanges.bitget import CAPABILITIES as LISTS_FILLS
from trading.exchanges.upbit_quotes import CAPABILITIES as ONE_BY_ONE

D = Decimal
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def fill(trade_id: str, order_id: str, *, amount: str = "1", at: datetime = NOW - MINUTE) -> VenueFill:
    """One execution."""
    return VenueFill(trade_id, order_id, None, "KRW-BTC", Side.BUY, D(100), D(amount), D(1), "KRW", at)


def order(order_id: str, *, client_id: str | None = None, filled: str = "0", status: str = "open", **changes: Any) -> VenueOrder:
    """One order as a list tells it: without fills."""
    made = VenueOrder(
        order_id, client_id, "KRW-BTC", Side.BUY, OrderType.LIMIT, VenueOrderStatus(status), D(filled), NOW - MINUTE, amount=D(2)
    )
    return replace(made, **changes)


def watched(client_id: str, **changes: Any) -> Watched:
    """An order of ours that rests."""
    return replace(Watched(1, "KRW-BTC", client_id, f"x-{client_id}", "open", D(0)), **changes)


@dataclass
class Exchange:
    """An account that lists what it is given, and remembers what it was asked."""

    resting: list[VenueOrder] = field(default_factory=list)
    ended: list[VenueOrder] = field(default_factory=list)
    known: dict[str, VenueOrder] = field(default_factory=dict)  # by either id
    executions: list[VenueFill] = field(default_factory=list)
    capabilities: Any = ONE_BY_ONE
    asked: list[str] = field(default_factory=list)

    def open_orders(self, symbol: str | None = None) -> Sequence[VenueOrder]:
        return self._told("open", self.resting)

    def closed_orders(self, *, symbol: str | None, start: datetime, end: datetime) -> Sequence[VenueOrder]:
        return self._told("closed", [one for one in self.ended if start <= one.created_at < end])

    def order(self, *, symbol: str, client_id: str | None = None, exchange_order_id: str | None = None) -> VenueOrder | None:
        return self._told(f"order {client_id or exchange_order_id}", self.known.get(client_id or exchange_order_id or ""))

    def fills(self, *, symbol: str | None, since: datetime) -> Sequence[VenueFill]:
        return self._told("fills", self.executions)

    def cash_flows(self, *, since: datetime) -> Sequence[CashFlow]:
        return self._told("flows", [])

    def positions(self) -> Sequence[VenuePosition]:
        return self._told("positions", [])

    def balances(self) -> Sequence[Balance]:
        return self._told("balances", [Balance("KRW", D(5), D(5))])

    def _told(self, question: str, answer: Any) -> Any:
        self.asked.append(question)
        return answer


@dataclass
class Books:
    """Our books; `revisions` are told one after the other, the last for ever."""

    told: Facts = field(default_factory=lambda: Facts(revision=0, fills_since=NOW - MINUTE))
    sums: dict[str, Decimal] = field(default_factory=dict)
    revisions: list[int] = field(default_factory=lambda: [0])

    def facts(self) -> Facts:
        return replace(self.told, revision=self.revisions.pop(0) if len(self.revisions) > 1 else self.revisions[0])

    def booked(self, exchange_order_ids: Iterable[str]) -> Mapping[str, Decimal]:
        return {order_id: self.sums[order_id] for order_id in exchange_order_ids if order_id in self.sums}

    def now(self) -> datetime:
        return NOW


# --- Reading ---


def test_balances_are_read_last():
    exchange = Exchange()
    reconcile.read(exchange, Books(), scope=Scope.BALANCES)

    assert exchange.asked == ["open", "closed", "flows", "positions", "balances"]


def test_a_smaller_scope_asks_less_and_gives_no_balances():
    exchange = Exchange()
    assert reconcile.read(exchange, Books(), scope=Scope.ORDERS).balances == () and exchange.asked == ["open"]


def test_an_order_that_is_not_listed_is_asked_by_its_own_id_and_a_miss_is_no_verdict():
    books = Books(Facts(revision=0, watched=(watched("a"), watched("b", order_pk=2))))
    exchange = Exchange(resting=[order("x-a", client_id="a")])
    reading = reconcile.read(exchange, books, scope=Scope.ORDERS)

    assert exchange.asked == ["open", "order b"] and reading.missing == (2,)


@pytest.mark.parametrize(("capabilities", "asked"), [(ONE_BY_ONE, "order f"), (LISTS_FILLS, "fills")])
def test_only_what_executed_more_than_is_booked_costs_a_question(capabilities: Any, asked: str):
    whole = order("f", filled="1", status="filled", fills=(fill("t1", "f"),))
    exchange = Exchange(
        ended=[replace(whole, fills=()), order("old", filled="2", status="filled")],
        known={"f": whole},
        executions=[fill("t1", "f")],
        capabilities=capabilities,
    )
    reading = reconcile.read(exchange, Books(sums={"old": D(2)}), scope=Scope.FILLS)

    assert asked in exchange.asked and "order old" not in exchange.asked
    assert [one.exchange_trade_id for one in reading.fills] == ["t1"]


def test_somebody_elses_resting_order_is_followed_until_it_ends():
    books = Books(Facts(revision=0, foreign_resting={"theirs": "KRW-BTC"}, fills_since=NOW))
    ended = order("theirs", filled="1", status="filled", fills=(fill("t9", "theirs"),))
    reading = reconcile.read(Exchange(known={"theirs": ended}), books, scope=Scope.FILLS)

    assert reading.orders == (ended,)


def test_an_account_that_moves_is_read_three_times_and_then_called_unstable():
    still, busy, once = Exchange(), Exchange(), Exchange()
    late = order("f", filled="1", status="filled", fills=(fill("t1", "f", at=NOW + MINUTE),))

    assert reconcile.read(still, Books(), scope=Scope.BALANCES).is_stable
    busy.resting = [late]
    assert not reconcile.read(busy, Books(), scope=Scope.BALANCES).is_stable and busy.asked.count("balances") == 3
    assert reconcile.read(once, Books(revisions=[1, 2, 2, 2]), scope=Scope.BALANCES).is_stable and once.asked.count("balances") == 2


def test_a_question_without_an_answer_ends_the_run():
    exchange = Exchange()
    exchange.balances = lambda: (_ for _ in ()).throw(ExchangeUnavailable("no answer"))  # type: ignore[method-assign]
    with pytest.raises(ExchangeUnavailable):
        reconcile.read(exchange, Books(), scope=Scope.BALANCES)


def test_the_daily_run_reads_a_week_and_others_from_the_watermark():
    facts = Facts(revision=0, fills_since=NOW - MINUTE)
    assert reconcile.fills_since(facts, now=NOW, scope=Scope.FILLS) == NOW - MINUTE - reconcile.OVERLAP
    assert reconcile.fills_since(facts, now=NOW, scope=Scope.FULL) == NOW - timedelta(days=7)


# --- News ---


def test_orders_are_sorted_into_ours_lost_and_foreign():
    mine, same, lost, theirs = order("1", client_id="a", filled="1"), order("2", client_id="b"), order("3", client_id="c"), order("4")
    reading = Reading(NOW, Scope.FILLS, orders=(mine, same, lost, theirs))
    ours = {"a": watched("a", order_pk=7), "b": watched("b")}
    news = reconcile.news_of(reading, ours=ours, booked={}, is_our_id={"c": True})

    assert (news.ours, news.lost, news.foreign) == (((7, mine),), (lost,), (theirs,))


def test_what_rests_as_before_is_no_news():
    theirs = order("4", filled="1")
    reading = Reading(NOW, Scope.FILLS, orders=(theirs,))

    assert reconcile.news_of(reading, ours={}, booked={"4": D(1)}, is_our_id={}).foreign == ()
    assert reconcile.news_of(reading, ours={}, booked={"4": D(0)}, is_our_id={}).foreign == (theirs,)


# --- The verdict ---


def test_a_perpetual_counts_as_if_it_had_been_paid_for():
    position = VenuePosition("ETH/USDT:USDT", D("0.5"), D(3000), D(5), None, D(20))
    reading = Reading(NOW, Scope.BALANCES, positions=(position,), balances=(Balance("USDT", D(900), D(99)),))

    assert reconcile.told_holdings(reading, quote="USDT") == {"ETH": D("0.5"), "USDT": D(-501)}


def test_a_tick_is_no_difference_and_a_missing_asset_is_one():
    told, booked = {"KRW": D(1000), "BTC": D("0.1")}, {"KRW": D("999.5"), "XRP": D(3)}

    assert reconcile.differences(told=told, booked=booked) == [Difference("BTC", D("0.1"), D(0)), Difference("XRP", D(0), D(3))]


def test_a_difference_blocks_when_two_runs_far_enough_apart_have_seen_it():
    one, within = Difference("BTC", D(1), D(2)), timedelta(seconds=60)

    def told(*before: Suspicion, found: Sequence[Difference] = (one,)) -> reconcile.Judgement:
        return reconcile.judge(found, before, now=NOW, visible_within=within)

    assert told().begun == (one,)
    assert told(Suspicion("BTC", NOW - timedelta(seconds=59), is_confirmed=False)).still == (one,)
    assert told(Suspicion("BTC", NOW - within, is_confirmed=False)).confirmed == (one,)
    assert told(Suspicion("BTC", NOW - 2 * within, is_confirmed=True)).still == (one,)
    assert told(Suspicion("BTC", NOW, is_confirmed=True), found=()).over == ("BTC",)


# --- When ---


def test_the_largest_reading_that_is_due_stands_for_the_smaller_ones():
    pace = Pace(orders_s=10, fills_s=30, balances_s=60, full_s=1000)
    read = {Scope.FULL: 0.0}

    assert [reconcile.due(read, now=now, pace=pace) for now in (5, 10, 30, 60, 1000)] == [
        None,
        Scope.ORDERS,
        Scope.FILLS,
        Scope.BALANCES,
        Scope.FULL,
    ]
    assert reconcile.due({**read, Scope.BALANCES: 55.0}, now=60, pace=pace) is None
