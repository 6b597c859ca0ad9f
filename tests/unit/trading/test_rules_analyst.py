"""The rules analyst says live, bar by bar, what the strategy says of the whole series."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from backtests.candles.series import Candles
from backtests.strategies.base import UNKNOWN, YES, Strategy
from backtests.strategies.registry import STRATEGIES, strategy_named
from tests.candle_factory import make_candles, random_candles
from trading.analyst import rules
from trading.domain.stages import DecisionKind, Proposal

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)


def entry_at(strategy: Strategy[Any], candles: Candles) -> Proposal:
    return rules.propose_entry(candles=candles, strategy=strategy, parameters=strategy.parameters())


def exit_at(strategy: Strategy[Any], candles: Candles, *, fill_bar: int, plan: dict[str, str | None] | None = None) -> Proposal:
    return rules.propose_exit(
        candles=candles,
        strategy=strategy,
        parameters=strategy.parameters(),
        entry_price=Decimal(repr(float(candles.open[fill_bar]))),
        opened_at_ns=int(candles.open_time[fill_bar]),
        plan=plan or {},
    )


@every_strategy
def test_live_proposals_are_the_batch_signals_bar_by_bar(strategy: Strategy[Any]) -> None:
    candles = random_candles(strategy.warm_up(strategy.parameters()) + 60)
    entry = strategy.signals(candles, strategy.parameters()).entry
    words = {YES: DecisionKind.BUY, UNKNOWN: DecisionKind.ABSTAIN}

    for count in range(1, len(candles) + 1):
        proposal = entry_at(strategy, candles.prefix(count))
        assert proposal.decision == words.get(int(entry[count - 1]), DecisionKind.HOLD)


def test_a_strategy_without_distances_leaves_the_plan_to_the_profile() -> None:
    strategy, candles = strategy_named("volume_zone_breakout"), random_candles(200)
    entry = strategy.signals(candles, strategy.parameters()).entry

    proposal = entry_at(strategy, candles.prefix(int(np.argmax(entry == YES)) + 1))

    assert proposal.decision is DecisionKind.BUY
    assert proposal.plan == {"stop_distance": None, "target_distance": None, "fakeout_distance": None, "strength": None}


def test_too_few_candles_and_silent_candles_are_told_apart() -> None:
    strategy = strategy_named("volume_zone_breakout")

    young = entry_at(strategy, random_candles(5))
    silent = entry_at(strategy, make_candles(random_candles(50).close, volume=np.zeros(50)))

    assert young.reason.endswith("it needs 11 candles, there are 5.")
    assert silent.reason.endswith("the prices or volumes give no answer.")


def test_the_replaying_strategy_says_that_its_analyst_must_propose() -> None:
    assert entry_at(strategy_named("ai"), random_candles(50)).reason == (
        "ai cannot tell at this close: it replays stored decisions and has none of its own; let its analyst propose."
    )


def test_a_short_is_told_and_not_proposed() -> None:
    proposal = entry_at(strategy_named("ultra_aggressive_momentum"), make_candles(np.linspace(110, 100, 20)))

    assert proposal.decision is DecisionKind.HOLD
    assert proposal.reason.endswith("It would open a short, which rules do not propose.")


def test_a_held_bar_is_left_at_its_close() -> None:
    candles = random_candles(50)

    assert exit_at(strategy_named("volume_zone_breakout"), candles, fill_bar=49).exit_reason == "hold"


def test_the_strategys_own_exit_is_a_reason() -> None:
    strategy = strategy_named("ultra_aggressive_momentum")

    falls = exit_at(strategy, make_candles(np.linspace(110, 100, 20)), fill_bar=15)
    rises = exit_at(strategy, make_candles(np.linspace(100, 110, 20)), fill_bar=15)

    assert (falls.decision, falls.exit_reason) == (DecisionKind.SELL, "signal")
    assert rises.decision is DecisionKind.HOLD
