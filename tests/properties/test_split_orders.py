"""Large orders in parts: nothing is lost or added, each part meets what the earlier ones left, and an exit is never refused."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dgbot.core.types import Level, OrderBook, Side, TradingRules
from trading.domain.liquidity import EXIT_COLLAR, MOST_PARTS, exit_part, measure, split

D = Decimal
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RULES = TradingRules("KRW-BTC", "BTC", "KRW", lot_step=D("0.001"), minimum_total=D(5), tick_bands=((D(0), D(1)),))

amounts = st.integers(1, 400_000).map(lambda lots: D(lots) / 1000)
depths = st.lists(st.integers(1, 90_000), min_size=1, max_size=15)


STEP = D("0.4")


def book(given_depths: list[int], *, step: Decimal = STEP, is_assumed: bool = False) -> OrderBook:
    """Bids from 100 down and asks from 101 up, `step` apart; depths in thousandths."""
    sizes = [D(depth) / 1000 for depth in given_depths]
    bids = tuple(Level(100 - step * place, size) for place, size in enumerate(sizes))
    asks = tuple(Level(101 + step * place, size) for place, size in enumerate(sizes))
    return OrderBook("KRW-BTC", bids, asks, NOW, is_assumed=is_assumed)


@given(depths, amounts, st.sampled_from(Side))
def test_parts_are_the_whole_and_cost_together_what_the_whole_costs(sizes: list[int], amount: Decimal, side: Side) -> None:
    parts = split(book=book(sizes), side=side, step=RULES.lot_step, minimum_total=RULES.minimum_total, amount=amount)
    whole = measure(book=book(sizes), side=side, amount=amount)

    assert 1 <= len(parts) <= MOST_PARTS and sum(part.size for part in parts) == amount
    if whole.expected_avg_price is not None:
        paid = sum((part.size * (part.liquidity.expected_avg_price or D(0)) for part in parts), D(0))
        assert abs(paid - amount * whole.expected_avg_price) < D("1e-12")


@given(depths, st.integers(5, 60_000), st.sampled_from(Side))
def test_parts_of_money_are_all_of_it_and_each_can_be_sent(sizes: list[int], money: int, side: Side) -> None:
    parts = split(book=book(sizes), side=side, step=D(1), minimum_total=RULES.minimum_total, quote_amount=D(money))

    assert sum(part.size for part in parts) == money
    assert all(part.size >= RULES.minimum_total for part in parts)


@given(depths, amounts)
def test_each_part_meets_prices_no_better_than_the_part_before(sizes: list[int], amount: Decimal) -> None:
    parts = split(book=book(sizes), side=Side.SELL, step=RULES.lot_step, minimum_total=RULES.minimum_total, amount=amount)
    prices = [part.liquidity.expected_avg_price for part in parts]

    assert None in prices or prices == sorted(prices, reverse=True)  # type: ignore[type-var]  # without None they are numbers


@given(depths, amounts)
def test_fewer_than_ten_parts_are_worth_no_warning(sizes: list[int], amount: Decimal) -> None:
    parts = split(book=book(sizes), side=Side.BUY, step=RULES.lot_step, minimum_total=D("0.0001"), amount=amount)

    assume(parts[0].liquidity.liquidity_available and amount >= D("0.01"))
    if len(parts) < MOST_PARTS:
        assert not any(part.liquidity.warning for part in parts)


@given(depths, amounts)
def test_an_exit_sells_something_sellable_and_leaves_something_sellable(sizes: list[int], amount: Decimal) -> None:
    given_book = book(sizes)
    assume(amount * 90 >= RULES.minimum_total)
    part = exit_part(book=given_book, amount=amount, rules=RULES)

    assert 0 < part <= amount
    if part < amount:
        floor = 100 * (1 - EXIT_COLLAR)
        assert part * floor >= RULES.minimum_total and (amount - part) * floor >= RULES.minimum_total
        assert part % RULES.lot_step == 0
        found = measure(book=given_book, side=Side.SELL, amount=part)
        assert found.liquidity_available


@pytest.mark.parametrize(("amount", "part"), [("3", "3"), ("9", "4.5"), ("40", "6.666")])
def test_an_exit_too_large_for_one_per_cent_goes_out_in_parts(amount: str, part: str) -> None:
    falling = book([2000, 3000, 2000, 2000, 2000], step=D(1))  # 100, 99, 98 …

    assert exit_part(book=falling, amount=D(amount), rules=RULES) == D(part)


def test_no_part_of_an_exit_reaches_deeper_than_the_collar() -> None:
    hollow = book([1000, 90_000], step=D(20))  # 1 at 100, then nothing before 80

    assert exit_part(book=hollow, amount=D(50), rules=RULES) == D(1)


def test_an_assumed_book_and_an_empty_one_split_nothing() -> None:
    assert exit_part(book=book([1], is_assumed=True), amount=D(50), rules=RULES) == D(50)
    assert exit_part(book=OrderBook("KRW-BTC", (), (), NOW), amount=D(50), rules=RULES) == D(50)
