"""Bars built from a stream are what a slow, obvious grouping of all trades gives, however the stream is cut."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from dgbot.core.interval import Interval
from dgbot.core.types import Candle, MarketTrade, Side
from trading.domain.bars import BarBuilder

START = datetime(2026, 1, 1, tzinfo=UTC)
INTERVALS = st.sampled_from([Interval.SECOND_1, Interval.SECOND_5, Interval.MINUTE_1])


@st.composite
def streams(draw) -> list[MarketTrade]:
    """Trades in the order of their sequence; several may share an instant, and whole intervals may be silent."""
    waits = draw(st.lists(st.integers(0, 20_000), max_size=60))
    trades, instant = [], START
    for sequence, wait in enumerate(waits):
        instant += timedelta(milliseconds=wait)
        price, amount = D(draw(st.integers(1, 500))), D(draw(st.integers(1, 10_000))) / 100
        trades.append(MarketTrade("KRW-BTC", sequence, price, amount, Side.BUY, instant))
    return trades


def grouped(trades: list[MarketTrade], interval: Interval) -> list[Candle]:
    """The obvious way."""
    found: dict[datetime, list[MarketTrade]] = {}
    for trade in trades:
        found.setdefault(interval.open_of(trade.executed_at), []).append(trade)
    return [
        Candle(
            opened_at=opened_at,
            open=inside[0].price,
            high=max(trade.price for trade in inside),
            low=min(trade.price for trade in inside),
            close=inside[-1].price,
            volume=sum((trade.amount for trade in inside), D(0)),
        )
        for opened_at, inside in found.items()
    ]


@given(streams(), INTERVALS, st.data())
def test_bars_are_the_grouped_trades_whatever_the_pieces(trades, interval, data):
    builder, closed = BarBuilder(interval), []
    rest = list(trades)
    while rest:
        count = data.draw(st.integers(1, len(rest)))
        piece, rest = rest[:count], rest[count:]
        closed += builder.add(piece)
        if data.draw(st.booleans()):
            closed += builder.complete(piece[-1].executed_at)
    closed += builder.complete(START + timedelta(days=1))

    assert closed == grouped(trades, interval)
    assert builder.late == 0


@given(streams(), INTERVALS)
def test_a_trade_told_twice_counts_once(trades, interval):
    builder = BarBuilder(interval)

    closed = builder.add(trades) + builder.add(trades) + builder.complete(START + timedelta(days=1))

    assert closed == grouped(trades, interval)


@given(streams(), INTERVALS)
def test_no_bar_closes_before_its_end_has_been_told(trades, interval):
    builder = BarBuilder(interval)

    for trade in trades:
        for bar in builder.add([trade]) + builder.complete(trade.executed_at):
            assert bar.opened_at + interval.length <= trade.executed_at


def test_a_trade_that_comes_after_its_bar_has_closed_is_counted_and_changes_nothing():
    builder = BarBuilder(Interval.SECOND_5)
    early = MarketTrade("KRW-BTC", 1, D(10), D(1), Side.BUY, START)
    builder.add([early])
    (bar,) = builder.complete(START + timedelta(seconds=5))

    again = builder.add([MarketTrade("KRW-BTC", 2, D(99), D(1), Side.BUY, START + timedelta(seconds=4))])

    assert (again, builder.late, builder.open_bar) == ([], 1, None)
    assert bar.close == D(10)


def test_a_trade_told_out_of_order_never_enters_another_bar():
    builder = BarBuilder(Interval.SECOND_5)
    builder.add([MarketTrade("KRW-BTC", 1, D(10), D(1), Side.BUY, START + timedelta(seconds=7))])

    builder.add([MarketTrade("KRW-BTC", 2, D(99), D(1), Side.BUY, START + timedelta(seconds=4))])

    assert builder.late == 1
    assert builder.open_bar.high == D(10)


def test_a_silent_interval_has_no_bar():
    builder = BarBuilder(Interval.SECOND_5)

    assert builder.complete(START + timedelta(hours=1)) == []
