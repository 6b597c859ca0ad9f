"""`manage.py optimize`: what it finds, what it counts, what it does not look at, and that an interruption loses nothing."""

import json
import threading
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from backtests.candles.archive import save
from backtests.management import market_options
from backtests.models import Search, SearchBatch, Trial
from backtests.research.proposing import Proposer
from backtests.research.sampling import sobol_sets, space_of
from backtests.selectors import archive_root
from backtests.services import searches
from backtests.services.searches import SOBOL, Wanted, Work
from backtests.strategies.registry import strategy_named
from dgbot.core.errors import BadInput
from tests.contracts.test_backtest_command import archived, market

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

ZONE = strategy_named("volume_zone_breakout")
MARKET = ("volume_zone_breakout", "--symbol", "KRW-BTC", "--bound", "zone_bars=5..40", "--bound", "hold_bars=1..12", "--fix", "bins=20")
NARROWED = {"zone_bars": (5.0, 40.0), "hold_bars": (1.0, 12.0), "bins": (20.0, 20.0)}


@pytest.fixture(autouse=True)
def data(tmp_path: Path, settings) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def optimize(*options: str) -> str:
    out = StringIO()
    call_command("optimize", *options, stdout=out)
    return out.getvalue()


def found(*options: str) -> dict:
    return json.loads(optimize(*options, "--json"))


def begun(*, sets: int = 64, sampler: str = SOBOL, folds: int = 0) -> Work:
    candles = market()
    options = {"is_perpetual": False, "funding": None, "no_limits": False, "start": None, "end": None, "leverage": "1"}
    options |= dict.fromkeys(("cash", "fee", "slippage", "amount", "fraction", "stop", "target", "tick", "lot"))
    setup, _ = market_options.setup_from(options, candles)
    wanted = Wanted(sets=sets, seed=1, objective="sharpe", hold_out=0.3, folds=folds, sampler=sampler, permutations=0)
    return searches.start(candles, ZONE, setup, space_of(ZONE, NARROWED), wanted)


def test_a_search_finds_judges_and_counts_every_set_once() -> None:
    archived()

    told = found(*MARKET, "--sets", "64", "--permutations", "2")

    neighbours, hold_out_runs = told["stability"]["neighbours"], 1
    assert told["trials"] == Trial.objects.count() == 64 + neighbours + hold_out_runs
    assert told["looks"] == 1
    assert told["chosen"]["score"] == max(one["score"] for one in told["best"] if one["score"] is not None)
    assert told["searched"]["sharpe"] == pytest.approx(told["chosen"]["score"])
    assert told["walk_forward"]["folds"] == 4 == len(told["walk_forward"]["each"])
    assert 0 < told["permutation"]["p_value"] <= 1
    assert not told["promotion"]["allowed"], "a random walk"
    assert 0 <= told["best"][0]["deflated_sharpe"] <= 1
    assert Search.objects.get().status == "done"


def test_searching_again_counts_nothing_twice_and_every_look_once_more() -> None:
    archived()
    first = found(*MARKET, "--sets", "32", "--folds", "0")
    again = found(*MARKET, "--sets", "32", "--folds", "0")
    other = found(*MARKET, "--sets", "32", "--folds", "0", "--seed", "2")

    assert again["trials"] == first["trials"]
    assert again["chosen"] == {**first["chosen"], "deflated_sharpe": again["chosen"]["deflated_sharpe"]}
    assert other["trials"] > first["trials"] + 32
    assert (first["looks"], again["looks"], other["looks"]) == (1, 1, 2)


def test_the_hold_out_cannot_change_what_is_chosen() -> None:
    candles = market()
    save(candles, archive_root())
    told = found(*MARKET, "--sets", "32")
    first = told["split"]["judge"]["first"]
    factors = {"open": 3, "high": 3, "low": 2, "close": 2}
    wild = {
        name: np.where(np.arange(len(candles)) < first, getattr(candles, name), getattr(candles, name) * factor)
        for name, factor in factors.items()
    }
    save(replace(candles, **wild, chain=None), archive_root())

    other = found(*MARKET, "--sets", "32")

    assert other["searched"] == told["searched"]
    assert other["walk_forward"] == told["walk_forward"]
    assert other["held_out"] != told["held_out"]
    assert other["trials"] == told["trials"], "other candles are other data, with a count of their own"


def test_an_interrupted_search_goes_on_and_ends_like_one_that_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    archived()
    monkeypatch.setattr(searches, "BATCH", 16)
    whole = found(*MARKET, "--sets", "64")
    Search.objects.filter(pk=whole["search"]).update(status="running", finished_at=None, result={})
    SearchBatch.objects.filter(first_set__gte=32).delete()  # what a process that died after two batches leaves

    resumed = found("--resume")

    assert resumed == whole
    assert found("--resume", str(resumed["search"])) == whole, "a finished search is told again"
    with pytest.raises(CommandError, match="no search that has not ended"):
        optimize("--resume")


def test_a_search_goes_on_on_the_candles_it_began_with() -> None:
    work = begun()

    grown = market(2100)
    assert searches.same_candles(work.row, work.candles) is work.candles
    with pytest.raises(BadInput, match=r"The candles have changed since search \d+ began"):
        searches.same_candles(work.row, grown)


@pytest.mark.django_db(transaction=True)
def test_of_processes_that_store_the_same_batch_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "BATCH", 16)
    work, together = begun(sets=160), threading.Barrier(6)
    done: list[int] = []
    refusals: list[str] = []

    def go_on() -> None:
        try:
            together.wait(timeout=60)
            done.append(searches.step(work))
        except BadInput as refusal:
            refusals.append(str(refusal))
        finally:
            connection.close()

    threads = [threading.Thread(target=go_on) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(done) + len(refusals) == 6
    assert sorted(done) == [16 * number for number in range(1, len(done) + 1)] == [batch.first_set + 16 for batch in work.row.batches.all()]
    assert all("is being run by another process" in refusal for refusal in refusals)
    assert Trial.objects.count() == searches.sets_done(work.row)


def test_proposed_sets_are_legal_and_what_was_learnt_survives() -> None:
    work = begun(sets=96, sampler="optuna")
    proposer = searches.proposer_of(work)
    assert proposer is not None

    while searches.step(work, proposer) < 80:
        pass
    again = searches.proposer_of(work)
    assert again is not None
    searches.step(work, again)

    assert searches.sets_done(work.row) == 88
    assert Trial.objects.count() > 70
    for batch in work.row.batches.all():
        for one in batch.best:
            assert 5 <= one["parameters"]["zone_bars"] <= 40
            assert one["parameters"]["bins"] == 20


def test_proposals_beat_even_sets_where_there_is_something_to_learn() -> None:
    space = space_of(ZONE, NARROWED)
    proposer = Proposer(ZONE, space, seed=1)

    def score(one) -> float:
        return -abs(one.zone_bars - 31) - 40 * abs(one.buffer - 0.21)

    starts = sobol_sets(ZONE, space, seed=1, start=0, count=64)
    proposer.learn(starts, [score(one) for one in starts])
    proposed = []
    for _ in range(8):
        sets = proposer.propose(8)
        proposer.learn(sets, [score(one) for one in sets])
        proposed += sets
    even = sobol_sets(ZONE, space, seed=1, start=64, count=64)

    assert np.mean([score(one) for one in proposed]) > np.mean([score(one) for one in even])


def test_the_table_for_people_says_what_was_searched_purged_and_held_out() -> None:
    archived()

    text = optimize(*MARKET, "--sets", "32")

    for expected in (
        "searched",
        "purged",
        "held out",
        "Best where it was searched",
        "Walk forward over 4 blocks",
        "Stability",
        "Promotion",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "Say which strategy to search"),
        (("--resume", "99"), "There is no search 99."),
        (("ai", "--symbol", "KRW-BTC"), "there is nothing to search"),
        ((*MARKET, "--bound", "buffer=0"), "--bound takes name=low..high"),
        ((*MARKET, "--bound", "buffer=a..b"), "must be two numbers"),
        ((*MARKET, "--bound", "top_share=0..0.5"), "top_share cannot be searched in 0…0.5; it must lie in 0.01…0.99"),
        ((*MARKET, "--fix", "top_share=7"), "it must lie in 0.01…0.99"),
        ((*MARKET, "--sets", "0"), "At least one parameter set"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--hold-out", "0.6"), "bound the parameters to shorter look-backs"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_sentence_and_leaves_nothing(options: tuple[str, ...], sentence: str) -> None:
    archived(1200)

    with pytest.raises(CommandError) as refused:
        optimize(*options)

    assert sentence in str(refused.value)
    assert not Search.objects.exists() and not Trial.objects.exists()


def test_must_pass_exits_with_three() -> None:
    archived()

    with pytest.raises(CommandError, match="Not promoted") as refused:
        optimize(*MARKET, "--sets", "16", "--folds", "0", "--must-pass", "--json")

    assert refused.value.returncode == 3
