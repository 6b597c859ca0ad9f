"""Stored decisions become data for the strategy that replays them."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from backtests.strategies import ai
from backtests.strategies.base import NO, UNKNOWN, YES
from tests import face_rows as rows
from tests.candle_factory import make_candles
from trading.models import Bot, Decision
from trading.selectors.decisions import stored_decisions

pytestmark = pytest.mark.django_db(databases=["default", "venue"])
HOUR = timedelta(hours=1)


@pytest.fixture
def bot() -> Bot:
    return rows.bot(rows.user())


def decide(bot: Bot, kind: str, *, at: float, **columns: Any) -> None:
    """A decision `at` hours after T0; rows are never changed, so it is written whole."""
    made = rows.cycle(bot, slot=rows.T0 + at * HOUR, stages=0)
    common = {"account": bot.account, "user": bot.user, "mode": bot.mode, "symbol": bot.symbol, "reason": "told", "market_data": {}}
    Decision.objects.create(cycle=made, bot=bot, decision=kind, analyst="model", hash="0" * 64, created_at=made.slot, **common, **columns)


def test_nothing_stored_is_no_decision(bot: Bot) -> None:
    assert len(stored_decisions(bot=bot).decided_at) == 0


def test_the_replaying_strategy_says_at_each_close_what_was_decided_after_it(bot: Bot) -> None:
    plan = {"stop_distance": "2.5", "target_distance": "5"}
    decide(bot, "buy", at=1, confidence=80, proposal={"plan": plan}, verdict={"is_valid": True})
    decide(bot, "buy", at=2, confidence=40, verdict={"is_valid": True})  # too unsure
    decide(bot, "buy", at=3, confidence=80, verdict={"is_valid": False})  # refused by the validator
    decide(bot, "sell", at=4.1, confidence=90)
    decide(bot, "hold", at=5.5)  # half an hour late: could not have been filled at the open
    decide(bot, "abstain", at=6)
    decide(bot, "buy", at=7)  # of rules: no confidence, so no such rule
    candles = make_candles(np.full(8, 100.0), start=rows.T0)

    found = ai.STRATEGY.signals(candles, ai.AiParameters(), stored_decisions(bot=bot))

    assert found.entry.tolist() == [YES, NO, NO, NO, UNKNOWN, UNKNOWN, YES, UNKNOWN]
    assert found.exit.tolist() == [NO, NO, NO, YES, UNKNOWN, UNKNOWN, NO, UNKNOWN]
    assert (found.stop_distance[0], found.target_distance[0]) == (2.5, 5)
    assert np.isnan(found.stop_distance[1:]).all()


def test_only_this_bots_decisions_up_to_an_instant_are_read(bot: Bot) -> None:
    decide(bot, "buy", at=1)
    decide(bot, "sell", at=2)
    decide(rows.bot(bot.user), "sell", at=1.5)

    assert stored_decisions(bot=bot, until=rows.T0 + 2 * HOUR).entry.tolist() == [YES]
