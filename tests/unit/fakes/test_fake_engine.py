"""The fakes' ledger of truth must be right before anything is proven against it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgbot.core.types import Side
from tests.fakes.core.books import ScriptedBook, ladder
from tests.fakes.core.clock import FakeClock
from tests.fakes.core.engine import Engine
from tests.fakes.core.limits import Bans, FixedWindow, TokenBucket
from tests.fakes.core.orders import Kind, Market, NewOrder, Refused, State, TimeInForce

D = Decimal
BTC = "KRW-BTC"


def market(**changes: object) -> Market:
    rules = {
        "symbol": BTC,
        "base": "BTC",
        "quote": "KRW",
        "lot_step": D("0.00000001"),
        "tick": lambda _price: D(1000),
        "minimum_total": D(5000),
        "market_buys_end_cancelled": True,
    }
    return Market(**{**rules, **changes})  # type: ignore[arg-type]


def engine(book: ScriptedBook | None = None) -> Engine:
    made = Engine()
    made.add_market(market(), book or ladder(100_000_000, step=1000, amount="0.01"))
    made.deposit("one", "KRW", 10_000_000)
    made.deposit("one", "BTC", "0.1")
    made.deposit("two", "KRW", 10_000_000)
    made.deposit("two", "BTC", "0.1")
    return made


def limit(side: Side, price: str | int, amount: str, account: str = "one", **more: object) -> NewOrder:
    return NewOrder(account=account, market=BTC, side=side, kind=Kind.LIMIT, price=D(price), amount=D(amount), **more)  # type: ignore[arg-type]


def test_a_market_buy_ends_as_the_recorded_one_did() -> None:
    made = engine(ScriptedBook(asks=[(102_945_000, 1)]))

    order = made.place(NewOrder(account="one", market=BTC, side=Side.BUY, kind=Kind.MARKET, quote_amount=D(10_000)))

    assert (order.state, order.filled, order.funds, order.fees) == (State.CANCELLED, D("0.00009713"), D("9999.04785"), D("4.999523925"))
    assert made.disagreements() == []


def test_an_order_walks_the_book_and_takes_it_away() -> None:
    made = engine()

    order = made.place(limit(Side.BUY, 100_002_000, "0.025"))

    assert [(fill.price, fill.amount) for fill in order.fills] == [(D(100_001_000), D("0.01")), (D(100_002_000), D("0.01"))]
    assert (order.state, order.remaining) == (State.OPEN, D("0.005"))
    assert made.best(BTC, Side.SELL).price == D(100_003_000)  # type: ignore[union-attr]


def test_a_resting_order_is_filled_by_a_stranger_at_its_own_price() -> None:
    made = engine(ScriptedBook())
    order = made.place(limit(Side.BUY, 99_000_000, "0.01"))

    made.stranger_trades(BTC, price=98_000_000, amount="0.004", taker_side=Side.SELL)

    assert (order.fills[0].price, order.filled, order.fills[0].is_maker) == (D(99_000_000), D("0.004"), True)


def test_two_accounts_meet_each_other() -> None:
    made = engine(ScriptedBook())
    resting = made.place(limit(Side.SELL, 100_000_000, "0.01"))

    taking = made.place(limit(Side.BUY, 100_000_000, "0.01", account="two"))

    assert resting.state is taking.state is State.FILLED
    assert made.disagreements() == []


@pytest.mark.parametrize(
    ("wish", "resting_state", "taking_filled"), [("none", State.FILLED, "0.01"), ("cancel_maker", State.CANCELLED, "0")]
)
def test_an_account_meets_itself_as_the_taker_wished(wish: str, resting_state: State, taking_filled: str) -> None:
    made = engine(ScriptedBook())
    resting = made.place(limit(Side.SELL, 100_000_000, "0.01"))

    taking = made.place(limit(Side.BUY, 100_000_000, "0.01", self_match=wish))

    assert (resting.state, taking.filled) == (resting_state, D(taking_filled))


def test_fill_or_kill_leaves_nothing_behind_and_post_only_never_takes() -> None:
    made = engine()

    killed = made.place(limit(Side.BUY, 100_001_000, "0.02", time_in_force=TimeInForce.FILL_OR_KILL))
    posted = made.place(limit(Side.BUY, 100_001_000, "0.01", time_in_force=TimeInForce.POST_ONLY))

    assert (killed.state, killed.filled, posted.state, posted.filled) == (State.CANCELLED, 0, State.CANCELLED, 0)
    assert made.disagreements() == []


def test_best_takes_one_price_only() -> None:
    made = engine()

    asked = NewOrder(
        account="one",
        market=BTC,
        side=Side.SELL,
        kind=Kind.BEST,
        amount=D("0.03"),
        time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL,
    )
    order = made.place(asked)

    assert (order.filled, order.state) == (D("0.01"), State.CANCELLED)


def test_a_cancel_is_a_request_and_a_fill_may_come_first() -> None:
    made = engine(ScriptedBook())
    made.clock.set(made.clock.now())
    made.cancel_delay_s = 1
    order = made.place(limit(Side.BUY, 99_000_000, "0.01"))

    made.request_cancel(order)
    made.stranger_trades(BTC, price=99_000_000, amount=1, taker_side=Side.SELL)
    made.clock.advance(2)
    made.poll()

    assert order.state is State.FILLED


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (limit(Side.BUY, 100_000_500, "0.01"), "bad_tick"),
        (limit(Side.BUY, 100_000_000, "0.00001"), "under_minimum"),
        (limit(Side.BUY, 100_000_000, "1"), "insufficient_funds"),
        (limit(Side.SELL, 100_000_000, "0.011111111"), "bad_lot"),
        (limit(Side.SELL, 100_000_000, "0"), "bad_amount"),
    ],
)
def test_what_breaks_the_rules_is_refused_and_changes_nothing(asked: NewOrder, code: str) -> None:
    made = engine()

    with pytest.raises(Refused) as refusal:
        made.place(asked)

    assert refusal.value.code == code
    assert (made.orders, made.disagreements()) == ({}, [])


def test_a_client_id_is_spent_for_ever_or_for_a_horizon() -> None:
    made = engine()
    made.clock.set(made.clock.now())
    made.place(limit(Side.BUY, 99_000_000, "0.01", client_id="A"))
    with pytest.raises(Refused, match="A"):
        made.place(limit(Side.BUY, 99_000_000, "0.01", client_id="A"))

    made.client_ids_live_s = 60
    made.clock.advance(61)

    assert made.place(limit(Side.BUY, 99_000_000, "0.01", client_id="A")).is_live


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["one", "two"]),
            st.sampled_from(list(Side)),
            st.integers(99_990, 100_010),
            st.integers(10_000, 3_000_000),
            st.sampled_from(list(TimeInForce)),
            st.sampled_from(["none", "cancel_maker", "cancel_taker", "reduce"]),
        ),
        max_size=12,
    )
)
def test_whatever_is_ordered_the_books_add_up(asked: list[tuple[str, Side, int, int, TimeInForce, str]]) -> None:
    made = engine()

    for account, side, thousands, lots, force, wish in asked:
        amount = str(D(lots) * D("0.00000001"))
        try:
            made.place(limit(side, thousands * 1000, amount, account=account, time_in_force=force, self_match=wish))
        except Refused as refusal:
            assert refusal.code == "insufficient_funds"

    assert made.disagreements() == []


def test_limits_refill_and_bans_grow() -> None:
    clock = FakeClock()
    clock.set(clock.now())
    bucket, window, bans = TokenBucket(clock, 2, 1), FixedWindow(clock, 2), Bans(clock, refusals_until_ban=2)

    assert [bucket.take() for _ in range(3)] == [window.take() for _ in range(3)] == [True, True, False]
    clock.advance(1)
    assert (bucket.left, window.left) == (1, 2)

    lengths = []
    for _ in range(2):
        bans.refuse()
        bans.refuse()
        lengths.append(bans.left_s)
        clock.advance(60)
    assert lengths == [1, 2]
