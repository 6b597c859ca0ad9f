"""Portfolios of shipped strategies: what cannot share cash is refused, limits hold, parts add up."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from backtests.candles.series import Candles
from backtests.engine import Account, Grid, Member, PortfolioResult, Setup, run, run_portfolio
from backtests.engine.layout import R
from backtests.strategies.registry import strategy_named
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from dgbot.core.types import TradingRules
from risk.domain.sizing import SizingPlan
from tests.benchmarks.engine import market

D = Decimal
STRATEGY = strategy_named("volume_zone_breakout")
PARAMETERS = STRATEGY.parameters()


def member(symbol: str, candles: Candles, **changes: object) -> Member:
    base = symbol.removeprefix("KRW-")
    rules = TradingRules(symbol, base, "KRW", lot_step=D("0.00000001"), minimum_total=D(5000), tick_bands=((D(0), D(1)),))
    setup = Setup(grids=(Grid(rules),), sizing=SizingPlan(fixed_amount=D(400_000)), position_fraction=D(1))
    return Member(replace(candles, symbol=symbol, chain=None), STRATEGY, PARAMETERS, replace(setup, **changes))  # type: ignore[arg-type]


def three(**changes: object) -> list[Member]:
    candles = [market(2000, interval=Interval.HOUR_1, seed=seed) for seed in (1, 2, 3)]
    return [member(f"KRW-{name}", one, **changes) for name, one in zip(("AAA", "BBB", "CCC"), candles, strict=True)]


def entries_by_day(result: PortfolioResult, members: list[Member]) -> np.ndarray:
    opened = [one.candles.open_time[part.fills.bar[part.fills.reason == 0]] for one, part in zip(members, result.parts, strict=True)]
    days = (np.concatenate(opened) + 9 * 3600 * 10**9) // (86_400 * 10**9)  # Seoul
    return np.unique(days, return_counts=True)[1]


def test_one_symbol_alone_is_a_single_run() -> None:
    one = three()[0]

    alone = run(one.candles, STRATEGY, PARAMETERS, one.setup)
    found = run_portfolio([one], Account.of(one.setup))

    assert len(alone.trades) > 10
    assert found.equity.tolist() == alone.equity.tolist()
    assert found.metrics == alone.metrics


def test_parts_add_up_to_the_whole() -> None:
    members = three()

    found = run_portfolio(members, Account(cash=D(1_000_000)))

    assert [part.symbol for part in found.parts] == ["KRW-AAA", "KRW-BBB", "KRW-CCC"]
    assert sum(part.profit for part in found.parts) == pytest.approx(found.equity[-1] - 1_000_000, abs=0.01)
    assert found.statistics[R.POSITIONS] == sum(len(part.trades) for part in found.parts) > 30


def test_cash_is_spent_once() -> None:
    rich, poor = (run_portfolio(three(), Account(cash=D(cash))) for cash in (10_000_000, 500_000))

    def smallest(result: PortfolioResult) -> float:
        entered = [(part.fills, part.fills.reason == 0) for part in result.parts]
        return min(float((fills.price[at] * fills.lots[at]).min()) / 1e8 for fills, at in entered)

    assert smallest(rich) == pytest.approx(400_000, abs=1)
    assert smallest(poor) < 390_000, "the second symbol gets what the first has left"
    assert poor.statistics[R.ENTRIES] < rich.statistics[R.ENTRIES], "and the third nothing"


def test_entries_a_day_are_counted_over_all_symbols() -> None:
    members = three(entries_per_day=100)

    free, limited = (run_portfolio(members, Account(cash=D(10_000_000), entries_per_day=most)) for most in (100, 2))

    assert entries_by_day(free, members).max() > 2
    assert entries_by_day(limited, members).max() == 2


def test_a_largest_amount_caps_every_entry() -> None:
    members = three()

    found = run_portfolio(members, Account(cash=D(10_000_000), largest_amount=D(50_000)))

    for part in found.parts:
        entered = part.fills.reason == 0
        assert (part.fills.price[entered] * part.fills.lots[entered] / 1e8).max() <= 50_000


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda members: [], "A portfolio needs at least one symbol; none was given."),
        (lambda members: [members[0], members[0]], "KRW-AAA was given twice; a portfolio holds one position in a symbol."),
        (
            lambda members: [members[0], replace(members[1], candles=market(500, interval=Interval.HOUR_4))],
            "Symbols that share cash must have the same interval; these have 1h, 4h.",
        ),
        (
            lambda members: [members[0], replace(members[1], setup=replace(members[1].setup, is_perpetual=True))],
            "Symbols that share cash must have the same kind of market; these have perpetual, spot.",
        ),
    ],
)
def test_what_cannot_share_cash_is_refused_in_one_sentence(spoil, told: str) -> None:
    with pytest.raises(BadInput) as refused:
        run_portfolio(spoil(three()), Account(cash=D(1_000_000)))

    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cash": D(0)}, "The account's cash is 0; it must be above zero."),
        ({"daily_loss_fraction": D(1)}, "The account's daily_loss_fraction is 1; it must lie in 0…1, 1 left out."),
        ({"exposure_fraction": D(-1)}, "The account's exposure_fraction is -1; it must not be negative."),
    ],
)
def test_an_account_without_meaning_is_refused(changes: dict[str, Decimal], told: str) -> None:
    with pytest.raises(BadInput) as refused:
        Account(**{"cash": D(1), **changes})

    assert str(refused.value) == told
