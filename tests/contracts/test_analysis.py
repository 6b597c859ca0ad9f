"""Stage 3: the quick filter approves the very strategy that trades, the validator's verdict is kept rule by rule."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from backtests.strategies.registry import STRATEGIES
from dgbot.core.types import Mode
from risk.models import RiskProfile
from tests import factories
from tests.factories import SLOT, World, eager_strategy, world
from trading.models import Decision, Order, StageResult
from trading.selectors.replays import stopped_entries
from trading.services import cycles
from trading.services.stages import quick_filter

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])
D = Decimal


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A strategy that buys at every close is known by name."""
    monkeypatch.setitem(STRATEGIES, "eager", eager_strategy())
    return


def decided(w: World) -> tuple[Decision, dict[str, Any]]:
    """One cycle: its decision, and what stage 3 saw."""
    cycles.run(bot_id=w.bot.pk, slot=SLOT, venue=w.venue)
    return Decision.objects.get(bot=w.bot), StageResult.objects.get(cycle__bot=w.bot, stage="analysis").data


def test_a_strategy_that_has_not_paid_is_stopped_with_every_threshold_told() -> None:
    decision, data = decided(world(strategy="eager", filter_mode="blocks"))

    assert decision.decision == "buy" and decision.verdict["is_valid"] is False and not Order.objects.exists()
    assert decision.verdict["stopped_by"] == ["quick_filter"]
    checks = {check["name"]: check["is_met"] for check in data["quick_filter"]["checks"]}
    assert list(checks) == ["return", "win_rate", "profit_factor", "sharpe", "max_drawdown", "trades"]
    assert checks["max_drawdown"] and not checks["trades"] and not checks["return"]
    assert {"filter_return", "filter_trades"} <= {reason["code"] for reason in decision.verdict["reasons"]}
    assert stopped_entries(Decision.objects.all()) == {"quick_filter": 1}


def test_a_verdict_that_is_only_shown_stops_nothing() -> None:
    decision, data = decided(world(strategy="eager", filter_mode="shows"))

    assert data["quick_filter"]["passed"] is False and decision.verdict["is_valid"] and Order.objects.count() == 1


def test_on_a_simulated_market_the_filter_never_blocks() -> None:
    decision, data = decided(world(strategy="eager", mode=Mode.SIMULATED, filter_mode="blocks"))

    assert data["quick_filter"]["blocks"] is False and decision.verdict["is_valid"]


def test_the_thresholds_are_the_profiles_own() -> None:
    w = world(strategy="eager", filter_mode="blocks")
    RiskProfile.objects.update(filter_return=D("-0.9"), filter_win_rate=0, filter_profit_factor=0, filter_sharpe=-99, filter_trades=0)
    decision, data = decided(w)

    assert data["quick_filter"]["passed"] is True and decision.verdict["is_valid"]


def test_two_bots_that_ask_the_same_are_answered_once() -> None:
    quick_filter._kept.clear()
    for _bot in range(2):
        decided(world(strategy="eager", filter_mode="blocks"))

    assert len(quick_filter._kept) == 1


def test_the_verdict_of_every_rule_is_kept_with_what_it_saw() -> None:
    decision, data = decided(world(strategy="eager"))

    rules = {row["code"]: row for row in decision.verdict["rules"]}
    assert rules["rsi_overbought"]["answer"] == "passed" and rules["rsi_overbought"]["tests"][0]["limit"] == "70.0"
    assert rules["btc_risk"]["answer"] == "not asked" and rules["confidence_low"]["answer"] == "not asked"
    assert rules["flash_crash"]["answer"] == "off" and data["quick_filter"]["passed"] is None


def test_a_rule_that_lacks_its_candles_cannot_decide_and_blocks() -> None:
    w = world(strategy="eager")
    RiskProfile.objects.update(flash_crash_fraction=D("0.03"))
    decision, _data = decided(w)

    assert decision.verdict["stopped_by"] == ["flash_crash_unknown"] and not Order.objects.exists()
    missing = StageResult.objects.get(cycle__bot=w.bot, stage="data_collection").reasons
    assert [reason["code"] for reason in missing] == ["minutes_unknown"]


def test_an_exit_of_the_rules_is_neither_filtered_nor_judged() -> None:
    w = world(strategy="eager", filter_mode="blocks", candles=factories.rising())
    factories.position(w.bot, price=D("1000"))  # held since the newest candle, deep in profit: the target is due
    cycles.run(bot_id=w.bot.pk, slot=SLOT, venue=w.venue)

    assert Order.objects.get().purpose == "exit" and not Decision.objects.exists()
