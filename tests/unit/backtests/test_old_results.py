"""Results of the older platforms, by their own names, become columns that read back as they were."""

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from backtests.storage import old_results, tables
from dgbot.core.clock import to_nanoseconds
from dgbot.core.errors import BadInput

AT = datetime(2023, 1, 1, tzinfo=UTC)
ONE_MARKET = {
    "initial_capital": 1_000_000,
    "metrics": {"sharpe": 1.2},
    "trades": [
        {"symbol": "KRW-BTC", "entry_time": "2023-01-01T00:00:00", "pnl": 12.5, "side": "buy"},
        {"entry_time": "2023-01-02", "pnl": None},
    ],
    "equity_curve": [1_000_000, 1_000_012.5],
}
SEVERAL = {
    "run_id": "r1",
    "symbols": [
        {
            "symbol": name,
            "win_rate": 0.5,
            "signals": [{"type": "buy", "timestamp": 1672531200000, "return_pct": 1.0}],
            "performance_curve": [{"timestamp": "2023-01-01T00:00:00Z", "equity": 1.0, "drawdown": None}],
        }
        for name in ("KRW-BTC", "KRW-ETH")
    ],
}


def test_one_market_keeps_trades_curve_and_the_rest() -> None:
    found = old_results.read(ONE_MARKET)

    assert list(found.equity["equity"]) == [1_000_000, 1_000_012.5]
    assert found.trades["entry_time"][0] == to_nanoseconds(AT)
    assert list(found.trades["side"]) == ["buy", ""]
    assert found.rest == {"initial_capital": 1_000_000, "metrics": {"sharpe": 1.2}}


def test_several_markets_are_told_apart() -> None:
    found = old_results.read(SEVERAL)

    assert list(found.trades["symbol"]) == ["KRW-BTC", "KRW-ETH"]
    assert set(found.trades["timestamp"]) == set(found.equity["time"]) == {to_nanoseconds(AT)}
    assert found.rest["symbols"] == [{"symbol": "KRW-BTC", "win_rate": 0.5}, {"symbol": "KRW-ETH", "win_rate": 0.5}]


@pytest.mark.parametrize("data", [[], {}, {"trades": []}, {"equity_curve": [{"drawdown": 1}]}, 7, None])
def test_what_is_no_result_is_refused(data: object) -> None:
    with pytest.raises(BadInput):
        old_results.read(data)


def test_the_command_converts_what_it_can_and_names_the_rest(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(ONE_MARKET))
    (tmp_path / "broken.json").write_text("{")
    out = StringIO()

    with pytest.raises(CommandError, match=r"broken\.json is no JSON"):
        call_command("convert_results", str(tmp_path / "result.json"), str(tmp_path / "broken.json"), "--json", stdout=out)

    [told] = json.loads(out.getvalue())["converted"]
    assert (told["trades"], told["points"]) == (2, 2)
    columns = tables.decode_columns((tmp_path / "result.equity.parquet").read_bytes())
    assert list(columns["equity"]) == [1_000_000, 1_000_012.5]
    meta = json.loads((tmp_path / "result.meta.json").read_text())
    assert meta["sha256"] == told["sha256"]
    assert meta["metrics"] == {"sharpe": 1.2}
