"""Reports of finished backtests: the numbers are those of the result, and nobody reads another owner's."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from django.test import Client
from django.urls import reverse

from backtests import reporting
from backtests.models import BacktestRun, ResultFile
from backtests.services import reports, results, runs
from backtests.storage import places
from dgbot.core.errors import BadInput
from tests import face_rows as rows
from tests.candle_factory import random_candles
from tests.run_factory import archive, run_spec

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def finished(user: Any = None, **changes: Any) -> BacktestRun:
    return runs.run_now(spec=run_spec(**changes), user=user)


def test_a_report_adds_up_to_its_result() -> None:
    candles = archive()
    run = finished()
    stored, told = results.read(run), reports.of(run)

    assert told["trade_count"] == len(stored.trades) == told["wins"] + told["losses"] == sum(one["count"] for one in told["reasons"])
    assert sum(one["count"] for one in told["histogram"]["bins"]) == len(stored.trades)
    growth = np.prod([1 + value for row in told["months"] for value in row["months"] if value is not None])
    assert growth == pytest.approx(told["final_equity"] / told["cash"])
    assert told["hold"]["final"] == pytest.approx(told["cash"] / 1.0005 / candles.open[0] * candles.close[-1])
    lowest = min(point["value"] for point in told["chart"]["drawdown"])
    assert -lowest / 100 == pytest.approx(told["metrics"]["max_drawdown"])
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_candles_that_changed_since_are_not_drawn_beside_it() -> None:
    archive(seed=1)
    run = finished()
    archive(seed=2)

    told = reports.of(run)
    assert told["hold"] is None
    assert "have changed since" in told["hold_unknown"]
    with pytest.raises(BadInput, match="have changed since"):
        reports.candles(run, symbol="KRW-BTC")


def test_a_thinned_line_keeps_its_extremes_and_ends() -> None:
    walk = random_candles(9000).close
    kept = reporting.thinned(walk, most=500)
    assert len(kept) <= 500
    assert {0, len(walk) - 1, int(walk.argmin()), int(walk.argmax())} <= set(kept.tolist())


def test_drawn_bars_hold_every_candle_once() -> None:
    candles = random_candles(1000)
    drawn, step = reporting.bars(candles, first=3, last=1000, most=100)
    assert (len(drawn), step) == (100, 10)
    assert max(one["high"] for one in drawn) == candles.high[3:].max()
    assert (drawn[0]["open"], drawn[-1]["close"]) == (candles.open[3], candles.close[-1])


def test_a_comparison_names_the_assumptions_in_which_runs_differ() -> None:
    archive()
    told = reports.compare([finished(), finished(parameters={"stop": 0.03})])
    assert [row["name"] for row in told["differing"]] == ["parameter: stop"]
    with pytest.raises(BadInput, match="2 to 5"):
        reports.compare([finished()])


def test_pages_and_downloads_are_their_owners(client: Client) -> None:
    archive()
    owner, stranger = rows.user(), rows.user()
    run, other = finished(owner), finished(owner, parameters={"stop": 0.03})
    addresses = [
        reverse("backtest_report", args=[run.pk]),
        reverse("backtest_candles", args=[run.pk]),
        *(reverse("backtest_download", args=[run.pk, name, kind]) for name in ("trades", "equity") for kind in ("csv", "parquet", "json")),
        reverse("backtest_download", args=[run.pk, "report", "json"]),
        f"{reverse('backtest_compare')}?run={run.pk}&run={other.pk}",
    ]
    client.force_login(stranger)
    assert {client.get(address).status_code for address in addresses} == {404}
    client.force_login(owner)
    assert {client.get(address).status_code for address in addresses} == {200}

    stored = results.read(run)
    parquet = client.get(reverse("backtest_download", args=[run.pk, "trades", "parquet"])).content
    assert pq.read_table(io.BytesIO(parquet)).num_rows == len(stored.trades)
    lines = client.get(reverse("backtest_download", args=[run.pk, "equity", "csv"])).content.decode().splitlines()
    assert lines[0] == "time,equity"
    assert float(lines[-1].split(",")[1]) == stored.equity.equity[-1]


def test_a_damaged_result_is_reported_and_never_shown(client: Client) -> None:
    archive()
    owner = rows.user()
    run = finished(owner)
    file = ResultFile.objects.get(run=run, kind="trades")
    path = places.local_folder() / file.name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))

    client.force_login(owner)
    answer = client.get(reverse("backtest_report", args=[run.pk]))
    assert answer.status_code == 409
    assert "equity" not in answer.content.decode().partition("<main")[2].lower().replace("</main>", "")
