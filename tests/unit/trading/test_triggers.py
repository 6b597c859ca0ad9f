"""A stop fires on two signs: another price, the book, or two seconds."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from dgbot.core.types import Ticker
from trading.domain.triggers import Witnesses

D = Decimal
AT = datetime(2026, 1, 1, tzinfo=UTC)
STOP, TARGET = D(95), D(110)


def due(witnesses: Witnesses, price: str, *, at: float, bid: str | None = None, known: float | None = None) -> str | None:
    tick = Ticker("KRW-BTC", D(price), AT + timedelta(seconds=at if known is None else known))
    return witnesses.due(1, tick=tick, best_bid=None if bid is None else D(bid), stop_price=STOP, target_price=TARGET, at=at)


def test_one_odd_print_fires_nothing_and_is_forgotten():
    w = Witnesses()

    assert due(w, "50", at=0, bid="99") is None
    assert due(w, "100", at=0.5, bid="99") is None
    assert due(w, "50", at=10, bid="99") is None


def test_a_second_print_fires():
    w = Witnesses()

    assert due(w, "94", at=0) is None
    assert due(w, "94.5", at=0.5) == "stop"


def test_the_same_print_looked_at_again_is_no_second_one_until_two_seconds_have_passed():
    w = Witnesses()

    assert [due(w, "94", at=at, known=0) for at in (0, 0.5, 1.0, 1.5, 1.99)] == [None] * 5
    assert due(w, "94", at=2.0, known=0) == "stop"


def test_the_book_beside_the_price_fires_at_once():
    assert due(Witnesses(), "94", at=0, bid="94.9") == "stop"
    assert due(Witnesses(), "111", at=0, bid="110") == "target"


def test_a_bid_that_says_something_else_does_not_count():
    assert due(Witnesses(), "94", at=0, bid="111") is None


def test_a_stop_after_a_suspected_target_begins_anew():
    w = Witnesses()

    assert due(w, "111", at=0) is None
    assert due(w, "94", at=0.1) is None
    assert due(w, "93", at=0.2) == "stop"


def test_closed_positions_are_forgotten():
    w = Witnesses()
    due(w, "94", at=0)

    w.forget_all_but({2})

    assert due(w, "93", at=0.1) is None
