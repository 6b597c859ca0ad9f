"""Generated markets on one cash: kernel and twin give the same bits, and one symbol gives those of the single engine."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from backtests.candles.series import Candles
from backtests.engine.layout import R
from backtests.engine.portfolio import Account, Track, walk_together
from backtests.engine.running import walk
from backtests.engine.setup import columns_of, trading_days
from dgbot.core.clock import to_nanoseconds
from dgbot.core.interval import Interval
from tests.candle_factory import START
from tests.portfolio_twin import Desk, PortfolioTwin
from tests.properties.test_engine_equals_its_twin import bars_of, entries_of, generate, market, row_of, setup_of, twin_for
from tests.scale import scale

pytestmark = [pytest.mark.properties, pytest.mark.timeout(600)]  # the first run on a machine compiles

D = Decimal
ORIGIN_NS = to_nanoseconds(START - timedelta(days=700))
Random = np.random.Generator
CASES = scale(sample=60, full=600)
ALONE = scale(sample=60, full=600)


@pytest.mark.parametrize("part", range(4))
def test_kernel_and_twin_give_the_same_bits(part: int) -> None:
    seen: set[int] = set()
    for case in range(part, CASES, 4):
        tracks, account = together(case)

        result = walk_together(tracks, account)

        twin = twin_together(tracks, account)
        for desk, found in zip(twin.desks, result.parts, strict=True):
            fills = list(zip(*(column.tolist() for column in found.fills.arrays()), strict=True))
            assert fills == desk.twin.fills, f"case {case}"
            expected = desk.twin.positions()
            assert {name: found.statistics[name] for name in expected} == expected, f"case {case}"
            seen |= {fill[2] for fill in fills}
        assert result.equity.tolist() == twin.equity, f"case {case}"
        expected = twin.statistics()
        assert {name: result.statistics[name] for name in expected} == expected, f"case {case}"
        total = sum(part.profit for part in result.parts)
        assert total == pytest.approx(result.equity[-1] - float(account.cash), abs=1e-6 * float(account.cash))
    assert len(seen) >= 8, "markets in which hardly anything happens prove nothing"


def test_one_symbol_gives_the_bits_of_the_single_engine() -> None:
    for case in range(ALONE):
        candles, columns, entries, row, setup, funding = generate(case)
        alone = walk(candles, columns, entries, row, setup=setup, funding=funding)

        found = walk_together([Track(candles, columns, entries, row, setup.is_perpetual, funding)], Account.of(setup))

        assert found.equity.tolist() == alone.equity.tolist(), f"case {case}"
        part = found.parts[0]
        for ours, theirs in zip(part.fills.arrays(), alone.fills.arrays(), strict=True):
            assert ours.tolist() == theirs.tolist(), f"case {case}"
        expected = alone.statistics.copy()
        assert part.statistics[R.HELD_LOTS] == expected[R.HELD_LOTS]
        expected[R.HELD_LOTS] = 0.0
        expected[R.SAFE_SINCE] -= columns.first if expected[R.SAFE_SINCE] >= 0 else 0
        assert found.statistics.tolist() == expected.tolist(), f"case {case}"


def together(seed: int) -> tuple[list[Track], Account]:
    """Two to five symbols: bars are missing here and there, some are listed later, some end early, some trade a part of their bars."""
    random = np.random.default_rng([seed, 37])
    is_perpetual = bool(seed % 2)
    interval = Interval(str(random.choice([Interval.MINUTE_15, Interval.HOUR_1, Interval.HOUR_4, Interval.DAY_1])))
    cash, tracks = D(10_000) if is_perpetual else D(1_000_000), []
    for number in range(int(random.integers(2, 6))):
        price = 3000.0 if is_perpetual else float(random.choice([45.0, 900.0, 31_000.0, 1_900_000.0]))
        candles = placed(market(random, price=price), interval, random)
        setup = replace(setup_of(random, is_perpetual=is_perpetual, candles=candles), cash=cash, allocation=None)
        funding = np.where(random.random(len(candles)) < 0.1, random.normal(0, 0.001, len(candles)), np.nan) if number % 2 else None
        row, entries = row_of(random, setup, candles), entries_of(random, candles)
        tracks.append(Track(candles, columns_of(candles, setup), entries, row, is_perpetual, funding))

    def one(*choices: str) -> Decimal:
        return D(choices[int(random.integers(len(choices)))])

    account = Account(
        cash=cash,
        daily_loss_fraction=one("0", "0.01", "0.10"),
        weekly_loss_fraction=one("0", "0.02", "0.15"),
        drawdown_fraction=one("0", "0", "0.03"),
        loss_streak=int(one("0", "0", "5")),
        entries_per_day=int(one("1", "3", "1000")),
        largest_amount=cash / one("1", "9"),
        exposure_fraction=one("0", "0.3", "0.9", "2"),
        zone=one_zone(random),
    )
    return tracks, account


def one_zone(random: Random) -> str:
    return ("Asia/Seoul", "America/New_York")[int(random.integers(2))]


def placed(candles: Candles, interval: Interval, random: Random) -> Candles:
    """The same candles on the common interval, at slots of which some are left empty."""
    slots = np.sort(random.choice(int(len(candles) * 1.3), len(candles), replace=False)) + int(random.integers(0, 40))
    return replace(candles, interval=interval, open_time=ORIGIN_NS + slots.astype(np.int64) * interval.nanoseconds, chain=None)


def twin_together(tracks: list[Track], account: Account) -> PortfolioTwin:
    """The twin after its run over the same markets."""
    desks = []
    for track in tracks:
        bars = bars_of(track.candles, track.columns, track.entries, funding=track.funding)
        traded = {bars[t].at_ns: (t, bars[t]) for t in range(track.columns.first, track.columns.last)}
        desks.append(Desk(twin_for(track.columns, track.row, is_perpetual=track.is_perpetual), traded))
    times = np.unique(np.concatenate([list(desk.bars) for desk in desks]))
    interval_ns = tracks[0].candles.interval.nanoseconds
    _first, begins = trading_days(times, interval_ns=interval_ns, zone=account.zone)
    twin = PortfolioTwin(desks, account.row().tolist(), begins.tolist(), interval_ns)
    twin.run()
    return twin
