"""`manage.py backtest` down to its report, its files, its exit codes and the trials it counts."""

import csv
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from django.core.management import CommandError, call_command, load_command_class

from backtests.candles.archive import save
from backtests.candles.exporting import write_csv
from backtests.candles.series import Candles
from backtests.engine import run
from backtests.management import market_options
from backtests.models import Trial
from backtests.selectors import archive_root
from backtests.strategies.registry import strategy_named
from tests.candle_factory import random_candles

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, settings) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def market(count: int = 2000) -> Candles:
    """A walk at prices of whole won, so that the grid is that of Upbit."""
    drawn = random_candles(count)
    whole = {name: np.round(getattr(drawn, name) * 500_000) for name in ("open", "high", "low", "close")}
    return replace(drawn, **whole, chain=None)


def archived(count: int = 2000) -> Candles:
    candles = market(count)
    save(candles, archive_root())
    return candles


def backtest(*options: str) -> str:
    out = StringIO()
    call_command("backtest", *options, stdout=out)
    return out.getvalue()


def told(*options: str) -> dict:
    return json.loads(backtest(*options, "--json"))


def test_the_report_is_what_the_engine_says_from_archive_and_file_alike(tmp_path: Path) -> None:
    candles = archived()
    write_csv(candles, tmp_path / "KRW-BTC_minute60.csv.gz")

    found = told("volume_zone_breakout", "--symbol", "KRW-BTC", "--param", "zone_bars=20", "--param", "include_wicks=false")
    from_file = told(
        "volume_zone_breakout", str(tmp_path / "KRW-BTC_minute60.csv.gz"), "--param", "zone_bars=20", "--param", "include_wicks=false"
    )

    options = {"is_perpetual": False, "funding": None, "no_limits": False, "start": None, "end": None, "leverage": "1"}
    options |= dict.fromkeys(("cash", "fee", "slippage", "amount", "fraction", "stop", "target", "tick", "lot"))
    setup, is_assumed = market_options.setup_from(options, candles)
    strategy = strategy_named("volume_zone_breakout")
    result = run(candles, strategy, strategy.parameters(zone_bars=20, include_wicks=False), setup)
    assert found["metrics"] == result.metrics.as_row()
    assert found["metrics"]["trades"] > 50
    assert found["trades"][-1]["profit"] == pytest.approx(result.trades.profit[-1])
    assert found["changed"] == {"zone_bars": 20, "include_wicks": False}
    assert not is_assumed and not found["setup"]["grid_is_assumed"]
    assert found["metrics"] == from_file["metrics"]
    assert found["trials"]["count"] == from_file["trials"]["count"] == Trial.objects.count() == 1, "the same question is one trial"


def test_each_other_question_is_a_trial_and_deflates_what_is_shown() -> None:
    archived()
    shown = [told("volume_zone_breakout", "--symbol", "KRW-BTC", "--param", f"zone_bars={bars}")["trials"] for bars in (10, 20, 40, 10)]

    assert [one["count"] for one in shown] == [1, 2, 3, 3]
    assert shown[3]["deflated_sharpe"] < shown[0]["deflated_sharpe"]
    assert told("volume_zone_breakout", "--symbol", "KRW-BTC", "--fee", "0.001")["trials"]["count"] == 4
    assert told("volume_long_candle", "--symbol", "KRW-BTC")["trials"]["count"] == 1


def test_the_report_for_people_names_every_gate_the_filter_and_the_trials() -> None:
    archived()

    text = backtest("volatility_breakout", "--symbol", "KRW-BTC", "--from", "2026-01-10", "--hold-out", "0.4", "--permutations", "3")

    for expected in (
        "Volatility breakout",
        "2026-01-10 00:00",
        "squeeze",
        "Quick filter",
        "after 1 trial on",
        "Promotion",
        "Permutation test",
    ):
        assert expected in text, text
    assert "The number of closed trades on the hold-out" in " ".join(text.split())


def test_drawings_are_valid_and_every_trade_is_exported(tmp_path: Path) -> None:
    archived()
    folder, exported = tmp_path / "drawings", tmp_path / "trades.csv"

    found = told("volume_zone_breakout", "--symbol", "KRW-BTC", "--plot", str(folder), "--export", str(exported))

    names = {"equity", "drawdown", "trade_returns", "cumulative", "monthly_returns", "win_loss"}
    assert {path.stem for path in folder.glob("*.svg")} == names
    for path in folder.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert "nan" not in path.read_text()
    rows = list(csv.DictReader(exported.open()))
    assert len(rows) == found["metrics"]["trades"]
    assert sum(float(row["profit"]) for row in rows) == pytest.approx(found["final_equity"] - 1_000_000, rel=0.05, abs=2000)
    assert len(found["files"]) == 7


def test_a_perpetual_trades_shorts_with_leverage_and_pays_funding() -> None:
    archived()

    asked = (
        "conservative_ema",
        "--symbol",
        "KRW-BTC",
        "--perp",
        "--cash",
        "100000000",
        "--no-limits",
        "--fraction",
        "0.5",
        "--leverage",
        "3",
    )
    asked += ("--param", "fast_bars=5", "--param", "volume_factor=0.5", "--tick", "1000", "--lot", "0.0001")
    free, paying = told(*asked), told(*asked, "--funding", "0.001")

    assert {trade["side"] for trade in free["trades"]} == {"long", "short"}
    assert free["metrics"]["funding"] == 0 != paying["metrics"]["funding"]
    assert free["setup"]["leverage"] == "3"
    assert told("volume_zone_breakout", "--symbol", "KRW-BTC", "--perp")["setup"]["grid_is_assumed"]


def two_markets(folder: Path) -> list[Candles]:
    """KRW-BTC, and a KRW-ETH that lacks bars and is listed later, in the archive and as files."""
    bitcoin, drawn = market(), market(2400)
    kept = np.flatnonzero(np.random.default_rng(1).random(2400) < 0.9)
    kept = kept[kept > 300]
    ether = Candles(
        drawn.exchange,
        "KRW-ETH",
        drawn.interval,
        *(getattr(drawn, name)[kept] for name in ("open_time", "open", "high", "low", "close", "volume")),
    )
    for candles in (bitcoin, ether):
        save(candles, archive_root())
        write_csv(candles, folder / f"{candles.symbol}_minute60.csv.gz")
    return [bitcoin, ether]


def test_several_markets_share_one_cash_from_archive_and_files_alike(tmp_path: Path) -> None:
    markets = two_markets(tmp_path)

    found = told(
        "volume_zone_breakout", "--symbols", "KRW-BTC,KRW-ETH", "--fraction", "0.6", "--exposure", "0.9", "--plot", str(tmp_path / "p")
    )
    from_files = told(
        "volume_zone_breakout",
        *(str(tmp_path / f"{one.symbol}_minute60.csv.gz") for one in markets),
        *("--fraction", "0.6", "--exposure", "0.9"),
    )

    assert [one["symbol"] for one in found["markets"]] == ["KRW-BTC", "KRW-ETH"]
    assert sum(one["profit"] for one in found["markets"]) == pytest.approx(found["final_equity"] - 1_000_000, abs=0.01)
    assert found["metrics"]["trades"] == sum(one["trades"] for one in found["markets"]) > 50
    assert {trade["symbol"] for trade in found["trades"]} <= {"KRW-BTC", "KRW-ETH"}
    assert found["metrics"] == from_files["metrics"]
    assert Trial.objects.count() == 2, "one question, a trial on each series"
    assert {path.stem for path in (tmp_path / "p").glob("*.svg")} >= {"equity", "contributions"}


def test_a_portfolio_tells_people_what_each_market_brought_in(tmp_path: Path) -> None:
    two_markets(tmp_path)

    text = backtest("volume_zone_breakout", "--symbols", "KRW-ETH,KRW-BTC", "--export", str(tmp_path / "trades.csv"))

    for expected in ("KRW-ETH, KRW-BTC", "one cash of 1,000,000 KRW", "By symbol", "Quick filter", "Market", "after 1 trial on"):
        assert expected in text, text
    assert {row["symbol"] for row in csv.DictReader((tmp_path / "trades.csv").open())} == {"KRW-BTC", "KRW-ETH"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--symbols", "KRW-BTC,KRW-ETH", "--symbol", "KRW-BTC"), "--symbols names markets of the archive"),
        (("a.csv", "b.csv", "--symbol", "KRW-BTC"), "--symbol names one market and 2 files were given"),
        (("--symbols", "KRW-BTC,KRW-BTC"), "KRW-BTC was given twice"),
        (("--symbols", "KRW-BTC,KRW-ETH", "--must-pass"), "--must-pass judges one market"),
        (("--symbols", "KRW-BTC,KRW-ETH", "--entries-per-day", "0"), "--entries-per-day must be at least 1, was 0"),
        (("--symbol", "KRW-BTC", "--exposure", "0.5"), "--exposure limits an account that several markets share"),
    ],
)
def test_what_several_markets_cannot_be_asked_is_refused(options: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    two_markets(tmp_path)

    with pytest.raises(CommandError) as refused:
        backtest("volume_zone_breakout", *options)

    assert sentence in str(refused.value)
    assert Trial.objects.count() == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("nothing", "--symbol", "KRW-BTC"), "There is no strategy 'nothing'; known are volatility_breakout"),
        (("ai", "--symbol", "KRW-BTC"), "replays an analyst's stored decisions"),
        (("volume_zone_breakout",), "Say which market: --symbol KRW-BTC"),
        (("volume_zone_breakout", "--symbol", "KRW-ETH"), "The archive has no 1h candles of KRW-ETH"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--param", "zone=2"), "Parameter 'zone' is not known"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--param", "zone_bars"), "--param takes name=value"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--param", "zone_bars=1"), "it must lie in 2…1000"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--param", "zone_bars=many"), "must be a whole number, was 'many'"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--cash", "much"), "--cash"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--cash", "0"), "cash is 0"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--from", "soon"), "--from must be a date"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--from", "2030-01-01"), "no candle of KRW-BTC to trade in"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--funding", "0.1"), "A spot market has no funding"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--leverage", "2"), "leverage must be 1, was 2"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--hold-out", "0.99"), "candles are too few to search"),
        (("volume_zone_breakout", "--symbol", "KRW-BTC", "--export", "trades.xls"), "--export writes .csv or .json"),
        (("volume_zone_breakout", "missing.csv"), "does not say which market it holds; say --symbol"),
        (("volume_zone_breakout", "KRW-BTC_missing.csv"), "KRW-BTC_missing.csv"),
    ],
)
def test_a_refusal_is_one_sentence_and_nothing_is_counted(options: tuple[str, ...], sentence: str) -> None:
    archived(1000)

    with pytest.raises(CommandError) as refused:
        backtest(*options)

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert Trial.objects.count() == ("xls" in " ".join(options))


def test_must_pass_exits_with_three_and_every_reason() -> None:
    archived()

    with pytest.raises(CommandError) as refused:
        backtest("volume_zone_breakout", "--symbol", "KRW-BTC", "--must-pass", "--json")

    assert refused.value.returncode == 3
    assert str(refused.value).startswith("Not promoted: The return on the hold-out")


@pytest.mark.parametrize("name", ["backtest", "optimize"])
def test_help_shows_examples_and_exit_codes(name: str) -> None:
    command = load_command_class("backtests", name)

    text = command.create_parser("manage.py", name).format_help()

    assert f"manage.py {name} volatility_breakout --symbol KRW-BTC" in text
    assert "exit codes: 0 done" in text
