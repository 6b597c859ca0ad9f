"""Backtests and sweeps from the admin: asked for with typed fields, refused in one sentence, watched, cancelled, retried, pinned."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from backtests import tasks
from backtests.admin.run_forms import searched
from backtests.models import BacktestRun, CandleSeries, Sweep
from backtests.services import jobs, runs, sweeps
from backtests.services.slices import Next
from dgbot.accounts import roles
from dgbot.core.errors import BadInput
from tests import face_rows
from tests.run_factory import archive, run_spec, sweep_spec

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]
RUN, SWEEP = "admin:backtests_backtestrun", "admin:backtests_sweep"


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    archive(count=4000)


@pytest.fixture
def user() -> Any:
    roles.create_missing()
    return face_rows.user("kim")


@pytest.fixture
def client(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What would have gone to the broker: no worker runs in this test."""
    sent: list[int] = []
    for task in (tasks.run_backtest, tasks.work_on_sweep):
        monkeypatch.setattr(task, "delay", sent.append)
    return sent


def asked(**changes: Any) -> dict[str, Any]:
    names = {"strategy": "volatility_breakout", "shown_strategy": "volatility_breakout", "series": CandleSeries.objects.get().pk}
    return {**names, "has_limits": "on", **changes}


def test_a_backtest_is_asked_for_with_typed_fields_and_queued(
    client: Client, user: Any, queued: list[int], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(reverse(f"{RUN}_add"), asked(parameter_stop_atr="1.5", cash="2000000", start="2026-01-10"))

    row = BacktestRun.objects.get()
    assert answer.url == reverse(f"{RUN}_change", args=[row.pk])
    assert (row.user, row.spec["parameters"], queued) == (user, {"stop_atr": 1.5}, [row.pk])
    setup = row.spec["markets"][0]["setup"]
    assert (setup["cash"], setup["start"]) == ("2000000", "2026-01-10T00:00:00+00:00")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": "2026-02-01", "end": "2026-01-01"}, "give a later end"),
        ({"start": "1990-01-01", "end": "1990-02-01"}, "the period asked for lies outside"),
        ({"parameter_stop_atr": "NaN"}, "Enter a number"),
        ({"parameter_stop_atr": "99"}, "99 is outside"),
        ({"cash": "-1"}, "greater than or equal to 0"),
        ({"permutations": "1000000000"}, "Permuted markets must be 0 to 10,000"),
        ({"hold_out": "2"}, "share between 0 and 1"),
        ({"series": "999"}, "Select a valid choice"),
    ],
)
def test_what_cannot_be_is_refused_on_the_page_and_nothing_is_queued(
    client: Client, queued: list[int], changes: dict[str, str], words: str
) -> None:
    answer = client.post(reverse(f"{RUN}_add"), asked(**changes))

    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not BacktestRun.objects.exists()
    assert not queued


def test_choosing_another_strategy_shows_its_fields_and_starts_nothing(client: Client) -> None:
    answer = client.post(reverse(f"{RUN}_add"), asked(strategy="conservative_ema", parameter_stop_atr="1.5"))

    page = answer.content.decode()
    assert "parameter_fast_bars" in page
    assert "parameter_stop_atr" not in page
    assert not BacktestRun.objects.exists()


def test_a_finished_backtest_shows_its_numbers_and_others_see_nothing_of_it(client: Client, user: Any) -> None:
    row = runs.run_now(spec=run_spec(hold_out=0.3), user=user)
    other = Client()
    other.force_login(face_rows.user("lee"))

    page = client.get(reverse(f"{RUN}_change", args=[row.pk])).content.decode()
    listed = client.get(reverse(f"{RUN}_changelist")).content.decode()

    assert "Sharpe ratio" in page
    assert f"run-{row.pk}-" in page
    assert f"{row.metrics['total_return'] * 100:+.2f} %" in listed
    assert other.get(reverse(f"{RUN}_change", args=[row.pk])).status_code == 404
    assert other.get(reverse(f"{RUN}_news"), {"id": row.pk}).json() == {"jobs": []}


def test_news_tell_how_open_jobs_stand(client: Client, user: Any) -> None:
    row = runs.submit(spec=run_spec(permutations=96), user=user)
    held = jobs.claim(BacktestRun, row.pk)
    assert held is not None
    held.renew(done=50)

    [told] = client.get(reverse(f"{RUN}_news"), {"id": row.pk}).json()["jobs"]

    assert told["open"] is True
    assert 'value="50" max="100"' in told["html"]


def test_the_dead_are_retried_and_the_waiting_cancelled_by_who_may(
    client: Client, user: Any, queued: list[int], django_capture_on_commit_callbacks: Any
) -> None:
    dead, waiting = runs.submit(spec=run_spec(), user=user), runs.submit(spec=run_spec(), user=user)
    held = jobs.claim(BacktestRun, dead.pk)
    assert held is not None
    held.die("its worker was lost")
    viewer = Client()
    viewer.force_login(face_rows.user("park", role=roles.VIEWER))

    assert "its worker was lost" in client.get(reverse(f"{RUN}_changelist"), {"status__exact": "dead"}).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse(f"{RUN}_changelist"), {"action": "retry_selected", "_selected_action": [dead.pk]})
    client.post(reverse(f"{RUN}_changelist"), {"action": "cancel_selected", "_selected_action": [waiting.pk, dead.pk]})

    assert queued == [dead.pk]
    assert set(BacktestRun.objects.values_list("status", flat=True)) == {"cancelled"}
    assert viewer.get(reverse(f"{RUN}_add")).status_code == 403


def test_a_pinned_result_says_so(client: Client, user: Any) -> None:
    row = runs.run_now(spec=run_spec(), user=user)

    client.post(reverse(f"{RUN}_changelist"), {"action": "pin_selected", "_selected_action": [row.pk]})

    row.refresh_from_db()
    assert row.is_pinned


def test_a_sweep_is_asked_for_and_its_page_fills_while_it_runs(
    client: Client, user: Any, queued: list[int], django_capture_on_commit_callbacks: Any
) -> None:
    form = asked(sampler="sobol", sets="64", objective="sharpe", hold_out="0.3", folds="2")
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse(f"{SWEEP}_add"), form | {"range_trend_bars": "20..60", "range_timeout_bars": "24"})
    sweep = Sweep.objects.get()
    assert queued == [sweep.pk]
    assert sweep.spec["ranges"] == {"trend_bars": [20.0, 60.0], "timeout_bars": [24.0, 24.0]}

    sweep = sweeps.submit(spec=sweep_spec(sets=64), user=user)
    live = reverse("admin:backtests_sweep_live", args=[sweep.pk])
    assert "Nothing is evaluated yet" in client.get(live).content.decode()
    sweeps.work(sweep_pk=sweep.pk)
    sweeps.work(sweep_pk=sweep.pk)
    assert "dg-heat" in client.get(live).content.decode()
    while sweeps.work(sweep_pk=sweep.pk).next is Next.AGAIN:
        pass

    page = client.get(reverse(f"{SWEEP}_change", args=[sweep.pk]), {"x": "stop", "y": "target"}).content.decode()
    assert "What matters" in page
    assert "Walk forward" in page
    assert 'aria-current="true">Stop</a>' in page


def test_what_is_typed_of_a_parameter_is_a_range_a_value_or_a_grid() -> None:
    assert searched({"a": "5..60", "b": "10", "c": ""}, is_grid=False) == ({"a": (5.0, 60.0), "b": (10.0, 10.0)}, {})
    assert searched({"a": "5, 10, 20", "b": "true"}, is_grid=True) == ({}, {"a": [5.0, 10.0, 20.0], "b": [1.0]})
    for text, is_grid in (("5, 10", False), ("5..10", True), ("many", False), ("..", False)):
        with pytest.raises(BadInput, match="a "):
            searched({"a": text}, is_grid=is_grid)
