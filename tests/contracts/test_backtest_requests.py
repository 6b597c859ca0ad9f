"""Absurd requests get one clear sentence before anything is queued or computed; sensible ones become what the engine runs."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backtests.models import BacktestRun, JobStatus
from backtests.services import runs
from backtests.specs import SYNCHRONOUS_BARS
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from risk.models import RiskProfile
from risk.seeds import create_profiles
from tests.candle_factory import START
from tests.run_factory import archive
from trading.services import backtesting
from trading.services.backtesting import Wanted, WantedSweep

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]
NAN = Decimal("NaN")


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    archive(count=2000)


def wanted(**changes: Any) -> Wanted:
    return Wanted(**{"strategy": "volatility_breakout", "symbols": ["KRW-BTC"], **changes})


ABSURD = {
    "10⁹ bars": (
        {"interval": "1s", "start": datetime(1990, 1, 1, tzinfo=UTC), "end": datetime(2026, 1, 1, tzinfo=UTC)},
        "bars are asked for; at most 20,000,000",
    ),
    "end before start": ({"start": START, "end": START - timedelta(days=1)}, "before it begins at"),
    "a period without candles": ({"start": START + timedelta(days=9000)}, "the period asked for lies outside"),
    "an unknown symbol": ({"symbols": ["KRW-NOPE"]}, "The archive has no 1h candles of KRW-NOPE at upbit"),
    "no symbol": ({"symbols": []}, "Say at least one symbol"),
    "a symbol twice": ({"symbols": ["KRW-BTC", "KRW-BTC"]}, "given twice"),
    "an unknown strategy": ({"strategy": "luck"}, "There is no strategy 'luck'"),
    "decisions nobody has": ({"strategy": "ai"}, "replays an analyst's stored decisions"),
    "an unknown parameter": ({"parameters": {"luck": 1}}, "Parameter 'luck' is not known"),
    "a parameter out of bounds": ({"parameters": {"stop_atr": 1e9}}, "must lie in"),
    "a parameter that is no number": ({"parameters": {"stop_atr": float("nan")}}, "must be a number"),
    "cash that is no number": ({"cash": NAN}, "Cash must be a number, was NaN"),
    "cash below zero": ({"cash": Decimal(-1)}, "cash is -1"),
    "a fee of all": ({"fee_rate": Decimal(1)}, "fee_rate is 1"),
    "leverage at a spot market": ({"leverage": Decimal(3)}, "A spot market lends nothing"),
    "funding at a spot market": ({"funding_rate": Decimal("0.0001")}, "A spot market has no funding"),
    "an amount below zero": ({"amount": Decimal(-1)}, "must be above zero"),
    "two sizes": ({"amount": Decimal(1), "fraction": Decimal("0.5")}, "not both"),
    "a hold-out of all": ({"hold_out": 1.0}, "share between 0 and 1"),
    "a hold-out that is no number": ({"hold_out": float("nan")}, "must be a number"),
    "too many permutations": ({"permutations": 10**9}, "Permuted markets must be 0 to 10,000"),
    "a seed below zero": ({"seed": -1}, "A seed is"),
}


@pytest.mark.parametrize(("changes", "words"), ABSURD.values(), ids=ABSURD.keys())
def test_an_absurd_backtest_is_refused_in_one_sentence(changes: dict[str, Any], words: str) -> None:
    if "interval" in changes:
        changes = changes | {"interval": Interval(changes["interval"])}
    with pytest.raises(BadInput) as refusal:
        backtesting.prepare(wanted(**changes))

    assert words in str(refusal.value)
    assert str(refusal.value).endswith(".")
    assert not BacktestRun.objects.exists()


ABSURD_SWEEPS = {
    "10⁷ sets": ({"sets": 10**7}, "A sweep tries 1 to 1,000,000 parameter sets; 10,000,000 were asked for"),
    "no set": ({"sets": 0}, "A sweep tries 1 to"),
    "an empty grid": ({"sampler": "grid"}, "A sweep tries 1 to"),
    "a grid without end": (
        {"sampler": "grid", "grid": {"stop_atr": [1.0] * 5000, "target_atr": [1.0] * 5000}},
        "25,000,000 were asked for",
    ),
    "a grid outside the bounds": ({"sampler": "grid", "grid": {"stop_atr": [1.0, 1e9]}}, "must lie in"),
    "an unknown sampler": ({"sampler": "luck"}, "There is no sampler"),
    "an unknown objective": ({"objective": "luck"}, "There is no objective"),
    "a range turned round": ({"ranges": {"stop_atr": (3.0, 2.0)}}, "cannot be searched"),
    "a range that is no number": ({"ranges": {"stop_atr": (float("nan"), 2.0)}}, "cannot be searched"),
    "a parameter nobody has": ({"ranges": {"luck": (1.0, 2.0)}}, "is not known"),
    "too many folds": ({"folds": 1000}, "0 to 20 folds"),
}


@pytest.mark.parametrize(("changes", "words"), ABSURD_SWEEPS.values(), ids=ABSURD_SWEEPS.keys())
def test_an_absurd_sweep_is_refused_in_one_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as refusal:
        backtesting.prepare_sweep(WantedSweep(run=wanted(), **changes))

    assert words in str(refusal.value)


def test_a_profile_gives_its_stops_limits_and_sizing() -> None:
    create_profiles()
    profile = RiskProfile.objects.get(name="conservative", user=None)

    setup = backtesting.prepare(wanted(profile=profile)).spec.markets[0].setup

    assert (setup.stop_fraction, setup.target_fraction) == (Decimal("0.03"), Decimal("0.06"))
    assert (setup.daily_loss_fraction, setup.position_fraction) == (Decimal("0.05"), Decimal("0.20"))
    assert setup.drawdown_fraction == profile.drawdown_fraction


def test_what_was_prepared_runs_and_says_how_large_it_is() -> None:
    prepared = backtesting.prepare(wanted(start=START, end=START + timedelta(days=50), parameters={"stop_atr": 2.0}))

    row = runs.run_now(spec=prepared.spec)

    assert row.status == JobStatus.FINISHED
    assert prepared.bars == row.summary["bars"] == 1200
    assert prepared.is_small
    assert prepared.spec.parameters == {}  # as designed
    assert prepared.bars < SYNCHRONOUS_BARS
