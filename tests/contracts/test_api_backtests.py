"""Backtests and sweeps over REST: small ones at once, others as jobs; absurd ones refused with one sentence and nothing queued."""

from pathlib import Path
from typing import Any

import pytest

from backtests import tasks
from backtests.models import BacktestRun, Sweep
from backtests.services import jobs, runs, sweeps
from backtests.services.slices import Next
from dgbot.accounts import roles
from tests import face_rows
from tests.api_client import Api
from tests.run_factory import archive, run_spec

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]
ASKED = {"strategy": "volatility_breakout", "symbols": ["KRW-BTC"]}


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    archive(count=4000)
    roles.create_missing()


@pytest.fixture
def api() -> Api:
    return Api(face_rows.user("kim"))


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What would have gone to the broker: no worker runs in this test."""
    sent: list[int] = []
    for task in (tasks.run_backtest, tasks.work_on_sweep):
        monkeypatch.setattr(task, "delay", sent.append)
    return sent


def test_a_small_backtest_is_answered_with_its_numbers(api: Api) -> None:
    status, told = api.post("backtests", ASKED | {"parameters": {"stop_atr": 1.5}, "cash": "2000000"})

    assert status == 201, told
    assert (told["status"], told["progress"], told["symbols"]) == ("finished", 1.0, ["KRW-BTC"])
    assert told["metrics"] == BacktestRun.objects.get().metrics

    status, result = api.get(f"backtests/{told['id']}/result")
    assert status == 200
    assert result["summary"]["cash"] == "2000000"
    assert len(result["equity"]) == 2000
    assert {"entry_at", "profit", "reason"} <= set(result["trades"][0])


def test_a_large_one_is_referred_to_the_queue_and_says_the_limit(api: Api) -> None:
    status, told = api.post("backtests", ASKED | {"permutations": 10})

    assert status in (400, 409)
    assert "at most 200,000" in told["message"]
    assert "/backtests/async" in told["message"]


def test_a_queued_backtest_tells_its_state_until_it_is_cancelled(
    api: Api, queued: list[int], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        status, told = api.post("backtests/async", ASKED | {"permutations": 96}, key="once-and-only-once")
    assert (status, told["status"]) == (202, "queued")
    assert queued == [told["id"]]

    held = jobs.claim(BacktestRun, told["id"])
    assert held is not None
    held.renew(done=50)
    assert api.get(f"backtests/{told['id']}/status")[1]["progress"] == 0.5
    assert api.get(f"backtests/{told['id']}/result")[0] == 409
    status, after = api.post(f"backtests/{told['id']}/cancel")
    assert (status, after["status"]) == (200, "cancelling")


ABSURD = {
    "10⁹ bars": ({"candle_size": "1s", "start_date": "1990-01-01T00:00:00Z", "end_date": "2026-01-01T00:00:00Z"}, "bars are asked for"),
    "end before start": ({"start_date": "2026-01-02T00:00:00Z", "end_date": "2026-01-01T00:00:00Z"}, "give a later end"),
    "unknown symbol": ({"symbols": ["KRW-NOPE"]}, "The archive has no 1h candles of KRW-NOPE"),
    "NaN": ({"cash": "NaN"}, "Not a decimal number"),
    "a parameter out of bounds": ({"parameters": {"stop_atr": 1e9}}, "must lie in"),
}


@pytest.mark.parametrize(("changes", "words"), ABSURD.values(), ids=ABSURD.keys())
def test_absurd_requests_get_a_clear_4xx_and_nothing_is_queued(api: Api, queued: list[int], changes: dict[str, Any], words: str) -> None:
    status, told = api.post("backtests/async", ASKED | changes)

    assert status in (400, 409)
    assert words in str(told)
    assert not queued
    assert not BacktestRun.objects.exists()


def test_ten_million_sets_are_refused(api: Api, queued: list[int]) -> None:
    status, told = api.post("sweeps", {"strategy": "volatility_breakout", "symbol": "KRW-BTC", "sets": 10**7})

    assert status in (400, 409)
    assert "1 to 1,000,000 parameter sets; 10,000,000 were asked for" in told["message"]
    assert not Sweep.objects.exists()


def test_a_sweep_is_queued_and_its_best_sets_are_told_while_it_runs(
    api: Api, queued: list[int], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        status, told = api.post("sweeps", {"strategy": "ultra_aggressive_momentum", "symbol": "KRW-BTC", "sets": 64, "folds": 0})
    assert (status, queued) == (202, [told["id"]])

    while sweeps.work(sweep_pk=told["id"]).next is Next.AGAIN:
        pass

    status, result = api.get(f"sweeps/{told['id']}/result")
    assert status == 200
    assert len(result["best"]) == 64
    assert result["judged"]["sets"] == 64


def test_others_do_not_see_it_and_a_viewer_may_not_start_one(api: Api) -> None:
    run = runs.submit(spec=run_spec(), user=api.user)

    assert Api(face_rows.user("lee")).get(f"backtests/{run.pk}")[0] == 404
    assert Api(face_rows.user("park", role=roles.VIEWER)).post("backtests/async", ASKED)[0] == 403
    assert [row["id"] for row in api.get("backtests", status="queued")[1]["results"]] == [run.pk]
