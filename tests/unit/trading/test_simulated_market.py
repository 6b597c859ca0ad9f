from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from time import perf_counter

import numpy as np
import pytest

from backtests.candles.checks import find_problems
from backtests.candles.series import COLUMNS, Candles
from backtests.indicators import rsi14
from backtests.strategies.base import YES
from backtests.strategies.registry import strategy_named
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from trading.exchanges.simulated_market import HISTORY, SimulatedMarket

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
INTERVALS = list(Interval)


def market(seed: int = 1, symbol: str = "KRW-BTC") -> SimulatedMarket:
    return SimulatedMarket(symbol, seed, ORIGIN)


def same(left: Candles, right: Candles) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in COLUMNS)


def allowed_entries(simulated: SimulatedMarket, *, slots: int) -> np.ndarray:
    """Slots after the origin at which volatility_breakout buys and relative strength does not forbid it."""
    candles = simulated.closed_candles(Interval.HOUR_1, ORIGIN + slots * HOUR)
    strategy = strategy_named("volatility_breakout")
    wanted = (strategy.signals(candles, strategy.parameters()).entry == YES) & ~(rsi14(candles.close) > 70)
    closes = candles.open_time[wanted] + Interval.HOUR_1.nanoseconds
    after = (closes - int(ORIGIN.timestamp()) * 1_000_000_000) // Interval.HOUR_1.nanoseconds
    return after[after > 0]


def test_every_process_sees_the_same_market_whatever_it_asks_first() -> None:
    left, right = market(), market()
    late = ORIGIN + timedelta(days=400, seconds=12.345678)

    price_then_history = (left.price_at(late), left.closed_candles(Interval.HOUR_1, ORIGIN))
    history_then_price = (right.closed_candles(Interval.HOUR_1, ORIGIN), right.price_at(late))

    assert price_then_history[0] == history_then_price[1]
    assert same(price_then_history[1], history_then_price[0])
    assert left.order_book_at(late) == right.order_book_at(late)


def test_seeds_and_symbols_have_markets_of_their_own() -> None:
    hour = ORIGIN + 5 * HOUR

    assert market(1).price_at(hour) != market(2).price_at(hour)
    assert 1_000_000 < market(symbol="KRW-ETH").price_at(hour) < 10_000_000


@pytest.mark.parametrize("interval", INTERVALS)
def test_candles_are_legal_on_every_interval(interval: Interval) -> None:
    candles = market().candles(interval, ORIGIN - 48 * HOUR, ORIGIN + 48 * HOUR)
    columns = {name: getattr(candles, name) for name in COLUMNS[1:]}

    assert len(candles) > 0
    assert find_problems(candles.open_time, columns, interval=interval, now=ORIGIN + 96 * HOUR) == ()


@pytest.mark.parametrize("interval", [interval for interval in INTERVALS if interval.seconds >= 60])
def test_longer_candles_are_made_of_the_minutes_inside(interval: Interval) -> None:
    simulated, start, end = market(), ORIGIN - 48 * HOUR, ORIGIN + 48 * HOUR
    minutes = simulated.candles(Interval.MINUTE_1, start, end)

    for candle in simulated.candles(interval, start, end):
        inside = minutes.opened_within(candle.opened_at, candle.opened_at + interval.length)
        assert float(candle.open) == inside.open[0]
        assert float(candle.high) == inside.high.max()
        assert float(candle.low) == inside.low.min()
        assert float(candle.close) == inside.close[-1]
        assert float(candle.volume) == pytest.approx(inside.volume.sum())


def test_prices_lie_in_their_candle() -> None:
    simulated = market()

    for candle in simulated.candles(Interval.MINUTE_1, ORIGIN + 20 * HOUR, ORIGIN + 24 * HOUR):
        assert simulated.price_at(candle.opened_at) == candle.open
        for second in (1, 14, 29, 44, 59.999999):
            assert candle.low <= simulated.price_at(candle.opened_at + timedelta(seconds=second)) <= candle.high


@pytest.mark.parametrize("symbol", ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-DOGE", "KRW-ADA"])
def test_prices_are_positive_and_on_the_tick_for_years(symbol: str) -> None:
    simulated = market(symbol=symbol)

    for days in range(-29, 3650, 61):
        price = simulated.price_at(ORIGIN + timedelta(days=days, seconds=days))
        assert price > 0
        assert price % simulated.trading_rules.tick(price) == 0


def test_the_price_level_stays_sensible_for_ten_years() -> None:
    candles = market().candles(Interval.DAY_1, ORIGIN, ORIGIN + timedelta(days=3650))

    assert 5e7 < candles.low.min() < candles.high.max() < 2e8


def test_a_candle_is_handed_out_once_it_has_closed() -> None:
    simulated = market()

    assert simulated.closed_candles(Interval.HOUR_1, ORIGIN).last_closed_at == ORIGIN
    almost = simulated.closed_candles(Interval.HOUR_1, ORIGIN + HOUR - timedelta(microseconds=1))
    assert almost.last_closed_at == ORIGIN


def test_the_history_is_long_enough_to_be_warm_at_the_first_slot() -> None:
    history = market().closed_candles(Interval.HOUR_1, ORIGIN)

    assert history.first_opened_at == ORIGIN - HISTORY
    assert len(history) > 600


def test_the_first_candles_stay_the_same_as_time_goes_on() -> None:
    simulated = market()
    early = simulated.closed_candles(Interval.HOUR_1, ORIGIN)

    later = simulated.closed_candles(Interval.HOUR_1, ORIGIN + 100 * HOUR)

    assert later.hash_at(len(early)) == early.hash_at(len(early))


def test_now_and_then_an_hour_has_no_trade_and_opens_with_a_gap() -> None:
    candles = market().candles(Interval.HOUR_1, ORIGIN, ORIGIN + 5000 * HOUR)

    missing = 5000 - len(candles)
    gaps = np.abs(candles.open[1:] / candles.close[:-1] - 1) > 0.0005

    assert 10 < missing < 100
    assert gaps.sum() > 10


def test_the_book_stands_around_the_price() -> None:
    simulated = market()

    for minute in range(0, 600, 7):
        instant = ORIGIN + timedelta(minutes=minute, seconds=11)
        book, rules = simulated.order_book_at(instant), simulated.trading_rules
        bids, asks = [level.price for level in book.bids], [level.price for level in book.asks]
        assert len(bids) == len(asks) == 15
        assert bids == sorted(set(bids), reverse=True)
        assert asks == sorted(set(asks))
        assert bids[0] < asks[0]
        assert simulated.price_at(instant) in (bids[0], asks[0])
        assert all(level.price % rules.tick(level.price) == 0 and level.amount > 0 for level in book.bids + book.asks)
        assert all(level.amount % rules.lot_step == 0 for level in book.bids + book.asks)
        assert not book.is_assumed


def test_the_depth_of_the_book_varies() -> None:
    simulated = market()
    depths = [sum(level.price * level.amount for level in simulated.order_book_at(ORIGIN + hour * HOUR).asks) for hour in range(200)]

    assert max(depths) > 5 * min(depths)
    assert min(depths) > Decimal(1_000_000)


def test_the_first_entry_comes_within_thirty_slots() -> None:
    assert allowed_entries(market(1), slots=30).any()

    lucky = sum(bool(len(allowed_entries(market(seed), slots=30))) for seed in range(1, 101))
    assert lucky >= 95


def test_entries_go_on_coming() -> None:
    entries = np.concatenate([allowed_entries(market(seed), slots=2000) + 10_000 * seed for seed in range(1, 11)])
    separate = 1 + int((np.diff(entries) > 12).sum())

    assert 20_000 / separate < 60


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(BadInput, match="begins at"):
        market().price_at(ORIGIN - HISTORY - timedelta(seconds=1))
    with pytest.raises(BadInput, match="no KRW market"):
        market(symbol="ETH/USDT:USDT")


def test_a_warm_price_is_cheap() -> None:
    simulated = market()
    simulated.price_at(ORIGIN)

    started = perf_counter()
    for second in range(2000):
        simulated.price_at(ORIGIN + timedelta(seconds=second))

    assert (perf_counter() - started) / 2000 < 0.0005  # about 5 µs


@pytest.mark.parametrize("interval", [Interval.SECOND_1, Interval.SECOND_5, Interval.MINUTE_1, Interval.MINUTE_3])
def test_candles_are_what_the_trades_add_up_to(interval: Interval) -> None:
    simulated, start, end = market(), ORIGIN - HOUR, ORIGIN + HOUR
    traded: dict[datetime, list] = {}
    for trade in simulated.trades(start - timedelta(microseconds=1), end - timedelta(microseconds=1)):
        traded.setdefault(interval.open_of(trade.executed_at), []).append(trade)

    candles = list(simulated.candles(interval, start, end))

    assert [candle.opened_at for candle in candles] == list(traded)
    for candle, trades in zip(candles, traded.values(), strict=True):
        prices = [trade.price for trade in trades]
        assert (candle.open, candle.high, candle.low, candle.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert candle.volume == sum(trade.amount for trade in trades)


def test_trades_asked_for_in_pieces_are_the_same_as_in_one() -> None:
    simulated, start = market(), ORIGIN - timedelta(minutes=3)
    cuts = [start + timedelta(seconds=seconds) for seconds in (0, 0.4, 1, 7.25, 59.999, 60, 61, 180)]

    pieces = [trade for after, until in pairwise(cuts) for trade in simulated.trades(after, until)]

    assert pieces == simulated.trades(cuts[0], cuts[-1])
    assert [trade.sequence for trade in pieces] == sorted({trade.sequence for trade in pieces})
