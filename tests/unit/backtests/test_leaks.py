"""Planted lookaheads, each of a kind that has cost someone money: all of them are found."""

from collections.abc import Callable

import numpy as np
import pytest

from backtests import indicators, structure
from backtests.candles.series import Candles
from backtests.strategies.base import Numbers, Signals, all_open, answers
from backtests.strategies.leaks import Leak, find_leak
from tests.candle_factory import random_candles

CANDLES = random_candles(200)
Columns = Callable[[Candles], Signals]


def entry_where(condition: Callable[[Candles], np.ndarray]) -> Columns:
    return lambda candles: Signals(entry=answers(np.asarray(condition(candles), dtype=np.bool_)))


def following(values: Numbers) -> Numbers:
    return np.concatenate([values[1:], values[-1:]])


def centred_mean(candles: Candles) -> np.ndarray:
    kernel = np.ones(5) / 5
    return candles.close > np.convolve(candles.close, kernel, mode="same") if len(candles) >= 5 else np.zeros(len(candles))


def back_filled(candles: Candles) -> np.ndarray:
    mean = indicators.sma(candles.close, 50)
    known = mean[~np.isnan(mean)]
    return candles.close > np.where(np.isnan(mean), known[0] if len(known) else np.inf, mean)


def high_of_its_day(candles: Candles) -> np.ndarray:
    day = np.arange(len(candles)) // 24
    highest = np.array([candles.high[day == one].max() for one in day])
    return candles.close > 0.99 * highest


def unconfirmed_low(candles: Candles) -> np.ndarray:
    flags = np.zeros(len(candles), dtype=np.bool_)
    flags[structure.swing_lows(candles.high, candles.low, candles.close, bars=3)] = True
    return flags


def fitted_on_everything(candles: Candles) -> np.ndarray:
    hours = np.arange(len(candles))
    return candles.close > (np.polyval(np.polyfit(hours, candles.close, 1), hours) if len(candles) > 2 else 0)


def smoothed_both_ways(candles: Candles) -> np.ndarray:
    backwards = indicators.ema(candles.close[::-1].copy(), 5)[::-1]
    return candles.close > backwards


def blocks_counted_from_the_end(candles: Candles) -> np.ndarray:
    return (len(candles) - np.arange(len(candles))) % 4 == 0


def stop_from_the_coming_low(candles: Candles) -> Signals:
    return Signals(entry=answers(candles.close > 0), stop_distance=np.maximum(candles.close - following(candles.low), 0.1))


def gate_alone(candles: Candles) -> Signals:
    gates = {"rises": answers(following(candles.close) > candles.close)}
    return Signals(entry=all_open({"never": answers(candles.close < 0)}), gates=gates)


PLANTED: dict[str, Columns] = {
    "the next close": entry_where(lambda c: following(c.close) > c.close),
    "the next open": entry_where(lambda c: following(c.open) > c.close),
    "a centred mean": entry_where(centred_mean),
    "mean and deviation of the whole series": entry_where(lambda c: c.close > (c.close.mean() + c.close.std() if len(c) else 0)),
    "the highest close of all": entry_where(lambda c: c.close >= (c.close.max() if len(c) else 0)),
    "the rank in the whole series": entry_where(lambda c: np.argsort(np.argsort(c.volume)) > 0.8 * len(c)),
    "unknowns filled from behind": entry_where(back_filled),
    "the high of a day that is not over": entry_where(high_of_its_day),
    "a pivot before its confirmation": entry_where(unconfirmed_low),
    "a line fitted on everything": entry_where(fitted_on_everything),
    "a filter run both ways": entry_where(smoothed_both_ways),
    "blocks counted from the end": entry_where(blocks_counted_from_the_end),
    "the last bar treated apart": entry_where(lambda c: np.arange(len(c)) == len(c) - 1),
    "a stop from the coming low": stop_from_the_coming_low,
    "a gate that decides nothing": gate_alone,
}


@pytest.mark.parametrize("signals", PLANTED.values(), ids=PLANTED)
def test_every_planted_lookahead_is_found(signals: Columns) -> None:
    assert find_leak(signals, CANDLES) is not None


def test_a_leak_is_told_with_its_column_and_bar() -> None:
    found = find_leak(PLANTED["the last bar treated apart"], CANDLES)

    assert found == Leak(column="entry", bar=0, candle_count=1)
    assert str(found) == "entry at bar 0 is not the same with 1 candles as with later ones: it looks ahead"


def test_an_honest_strategy_is_let_pass() -> None:
    assert find_leak(entry_where(lambda c: c.close > indicators.sma(c.close, 20)), CANDLES) is None
