"""The counter of trials on a real database: once each, however many count at once, and nothing forgotten when a series grows."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction

from backtests.models import Trial as TrialRow
from backtests.research.trials import Tally, Trial, keys_of
from backtests.selectors import counted_on
from backtests.services import trials
from backtests.strategies.volume_zone_breakout import VolumeZoneBreakoutParameters
from tests.candle_factory import random_candles
from tests.unit.backtests.research.test_noise import COSTLY, FREE

ALL = 10**6


def tried(*sharpes: float | None, start: int = 0, seen_to: int = 100) -> list[Trial]:
    return [Trial(key=f"{start + number:064x}", sharpe=sharpe, seen_to=seen_to) for number, sharpe in enumerate(sharpes)]


@pytest.mark.django_db
def test_a_trial_counts_once_however_often_it_is_asked() -> None:
    candles = random_candles(100)
    data_set = trials.data_set_of(candles)

    assert trials.count(data_set=data_set, strategy="x", trials=tried(0.1, 0.2, 0.2, None)) == 4
    assert trials.count(data_set=data_set, strategy="x", trials=tried(0.1, 0.2)) == 0
    assert trials.count(data_set=trials.data_set_of(candles), strategy="y", trials=tried(0.5)) == 1

    counted = counted_on(candles, strategy="x", judge_from=ALL)
    assert counted.tally == Tally.of([0.1, 0.2, 0.2, np.nan])
    assert counted.looks == 0
    assert counted_on(random_candles(100, seed=2), strategy="x", judge_from=0).tally.count == 0


@pytest.mark.django_db
def test_a_series_that_has_grown_forgets_nothing_and_a_corrected_one_is_another() -> None:
    candles = random_candles(100)
    trials.count(data_set=trials.data_set_of(candles.prefix(80)), strategy="x", trials=tried(0.1, 0.2, seen_to=80))
    trials.count(data_set=trials.data_set_of(candles), strategy="x", trials=tried(0.1, start=9, seen_to=60))
    corrected = replace(candles, close=np.where(np.arange(100) == 50, candles.open, candles.close), chain=None)

    assert counted_on(candles, strategy="x", judge_from=70).tally.count == 3
    assert counted_on(candles, strategy="x", judge_from=70).looks == 2
    assert counted_on(candles.prefix(90), strategy="x", judge_from=0).tally.count == 2
    assert counted_on(corrected, strategy="x", judge_from=0).tally.count == 0


def test_equal_questions_have_equal_names_and_others_others() -> None:
    sets = [VolumeZoneBreakoutParameters(), VolumeZoneBreakoutParameters(zone_bars=11), VolumeZoneBreakoutParameters(zone_bars=10)]

    first, other, again = keys_of(sets, FREE)

    assert first == again != other
    assert keys_of(sets, replace(FREE, cash=FREE.cash.normalize())) == [first, other, again]
    assert first not in keys_of(sets, COSTLY)


@pytest.mark.django_db(transaction=True)
def test_forty_counters_at_once_lose_none_and_double_none() -> None:
    candles, together = random_candles(100), threading.Barrier(40)
    new: list[int] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            mine = tried(*([0.1] * 200), start=100 * number)  # half of them are the next counter's, too
            together.wait(timeout=60)
            order = mine if number % 2 else mine[::-1]
            new.append(trials.count(data_set=trials.data_set_of(candles), strategy="x", trials=order))
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert counted_on(candles, strategy="x", judge_from=ALL).tally.count == sum(new) == 41 * 100


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"key": "x" * 64}, "research_trials_key_is_hex"),
        ({"sharpe": float("nan")}, "research_trials_sharpe_is_finite"),
        ({"sharpe": float("inf")}, "research_trials_sharpe_is_finite"),
        ({"seen_to": 0}, "research_trials_see_something"),
        ({"key": "0" * 64}, "research_trials_count_once"),
    ],
)
def test_the_database_refuses_what_is_no_trial(changed: dict[str, object], named: str) -> None:
    data_set = trials.data_set_of(random_candles(100))
    trials.count(data_set=data_set, strategy="x", trials=tried(0.1))

    with pytest.raises(IntegrityError, match=named), transaction.atomic():
        TrialRow.objects.create(**({"data_set": data_set, "strategy": "x", "key": "1" * 64, "sharpe": 0.1, "seen_to": 5} | changed))
