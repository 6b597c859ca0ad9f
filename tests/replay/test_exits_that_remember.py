"""Trailing stop and partial levels: live replays sell what the engine sells, slot by slot, lot by lot."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from backtests.candles.series import Candles
from backtests.engine.layout import REASONS
from backtests.engine.running import Result, run
from backtests.engine.setup import Grid, Setup
from backtests.strategies.registry import strategy_named
from dgbot.core.clock import from_nanoseconds
from dgbot.core.interval import Interval
from dgbot.core.money import plain
from risk.domain.sizing import SizingPlan
from risk.domain.trailing import PartialLevel
from risk.models import RiskProfile
from tests.replay.conftest import CASH
from tests.scale import scale
from trading.exchanges import upbit_rules
from trading.exchanges.simulated_market import SimulatedMarket
from trading.models import Order, Position
from trading.selectors.replays import Summary, summarise
from trading.services import replaying

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

D = Decimal
ORIGIN = datetime(2023, 6, 1, tzinfo=UTC)
SLOTS = scale(sample=300, full=2000)
AMOUNT = D(50_000)  # KRW, one entry
LEVELS = {
    "half, then the rest": (PartialLevel(D("0.004"), D("0.5")), PartialLevel(D("0.009"), D(1))),
    "a tenth is too small to be sold": (PartialLevel(D("0.003"), D("0.09")), PartialLevel(D("0.006"), D(1))),
    "what is left would be too small": (PartialLevel(D("0.004"), D("0.95")), PartialLevel(D("0.03"), D(1))),
}


@pytest.mark.parametrize(
    ("name", "trail"), [("half, then the rest", "0.8"), ("a tenth is too small to be sold", "1.5")][: scale(sample=1, full=2)]
)
@pytest.mark.parametrize("seed", range(1, 1 + scale(sample=1, full=4)))
def test_a_replay_sells_what_the_engine_sells(name: str, trail: str, seed: int, ready: None) -> None:
    levels = LEVELS[name]
    profile = RiskProfile.objects.create(
        name="remembers",
        takes_partial_profit=True,
        trailing_atr_multiple=D(trail),
        first_gain_fraction=levels[0].profit_fraction,
        first_share=levels[0].share,
        second_gain_fraction=levels[1].profit_fraction,
    )
    end = ORIGIN + timedelta(hours=SLOTS)
    candles = SimulatedMarket("KRW-BTC", seed, ORIGIN).closed_candles(Interval.HOUR_1, end)

    summary, bot_id = replayed(candles, profile=profile, end=end)

    strategy = strategy_named("volatility_breakout")
    setup = Setup(
        grids=tuple(Grid(rules, since=since) for since, rules in upbit_rules.history("KRW-BTC")),
        cash=CASH,
        sizing=SizingPlan(fixed_amount=AMOUNT),
        drawdown_fraction=D("0.30"),
        trail_atr=float(trail),
        levels=levels,
        start=ORIGIN,
        end=end,
    )
    result = run(candles, strategy, strategy.parameters(), setup)
    assert told(summary) == fills_of(result, candles)
    assert abs(D(summary.final_equity or "0") - D(repr(float(result.equity[-1])))) <= 1
    reasons = {fill["reason"] for fill in summary.fills}
    assert {"partial", "trailing"} <= reasons, f"a market that tries no such exit proves nothing: {reasons}"
    assert_each_level_sold_once(bot_id)


def test_a_part_that_would_leave_too_little_takes_all(ready: None) -> None:
    first, second = LEVELS["what is left would be too small"]
    profile = RiskProfile.objects.create(
        name="all at once",
        takes_partial_profit=True,
        first_gain_fraction=first.profit_fraction,
        first_share=first.share,
        second_gain_fraction=second.profit_fraction,
    )
    end = ORIGIN + timedelta(hours=150)
    candles = SimulatedMarket("KRW-BTC", 1, ORIGIN).closed_candles(Interval.HOUR_1, end)

    summary, bot_id = replayed(candles, profile=profile, end=end)

    partial = [fill for fill in summary.fills if fill["reason"] == "partial"]
    assert partial
    closed = Position.objects.filter(bot=bot_id, exit_reason="partial")
    assert len(partial) == closed.count() and all(position.levels_taken == 1 for position in closed)


def replayed(candles: Candles, *, profile: RiskProfile, end: datetime) -> tuple[Summary, int]:
    """The live path over these candles, from ORIGIN on."""
    order = replaying.Order(
        recording=candles, strategy="volatility_breakout", parameters={}, cash=CASH, start=ORIGIN, end=end, profile=profile.name
    )
    replay = replaying.prepare(order)
    for _slot in replay.run():
        pass
    return summarise(replay.bot), replay.bot.pk


def told(summary: Summary) -> list[tuple[str, ...]]:
    """Slot, side, price, lots and reason of each fill."""
    return [(fill["slot"], fill["side"], fill["price"], fill["lots"], fill["reason"]) for fill in summary.fills]


def fills_of(result: Result, candles: Candles) -> list[tuple[str, ...]]:
    """The same of a run of the engine."""
    fills = result.fills
    columns = zip(fills.bar, fills.side, fills.price, fills.lots, fills.reason, strict=True)
    return [
        (
            from_nanoseconds(int(np.int64(candles.open_time[bar]))).isoformat(),
            "buy" if side > 0 else "sell",
            plain(D(repr(float(price)))),
            str(int(lots)),
            str(REASONS[reason]),
        )
        for bar, side, price, lots, reason in columns
    ]


def assert_each_level_sold_once(bot_id: int) -> None:
    """No position has two filled orders of one level."""
    sold = [
        (order.position_id, order.plan["level"]) for order in Order.objects.filter(bot=bot_id, exit_reason="partial", filled_amount__gt=0)
    ]
    assert sold and len(sold) == len(set(sold))
