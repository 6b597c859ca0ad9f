"""Generated markets and parameter sets: the kernels and the slow, obvious loop give the same fills and the same bits."""

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from backtests.candles.series import Candles
from backtests.engine.layout import R, S
from backtests.engine.running import walk
from backtests.engine.setup import Columns, Grid, Setup, columns_of
from backtests.engine.signal_list import SignalList
from backtests.engine.sweeping import sweep_rows
from backtests.strategies.exits import ExitParameters, ExitRules
from dgbot.core.clock import to_nanoseconds
from dgbot.core.interval import Interval
from dgbot.core.types import TradingRules
from risk.domain.sizing import SizingMode, SizingPlan
from risk.domain.trailing import PartialLevel
from tests.candle_factory import START
from tests.engine_twin import Bar, Twin
from tests.scale import scale
from trading.exchanges import upbit_rules

pytestmark = [pytest.mark.properties, pytest.mark.timeout(600)]  # the first run on a machine compiles

D = Decimal
Random = np.random.Generator
CASES = scale(sample=400, full=2000)
DOLLARS = TradingRules(
    symbol="ETH/USDT:USDT", base="ETH", quote="USDT", lot_step=D("0.01"), minimum_total=D(5), tick_bands=((D(0), D("0.01")),)
)


@pytest.mark.parametrize("part", range(10))
def test_kernel_and_twin_give_the_same_bits(part: int) -> None:
    seen = set()
    for case in range(part, CASES, 10):
        candles, columns, entries, row, setup, funding = generate(case)

        result = walk(candles, columns, entries, row, setup=setup, funding=funding)

        twin = twin_of(candles, columns, entries, row, setup=setup, funding=funding)
        fills = list(zip(*(column.tolist() for column in result.fills.arrays()), strict=True))
        assert fills == twin.fills, f"case {case}"
        assert result.equity.tolist() == twin.equity, f"case {case}"
        expected = twin.statistics()
        assert {name: result.statistics[name] for name in expected} == expected, f"case {case}"
        assert_a_sweep_gives_the_same(candles, columns, entries, row, setup=setup, funding=funding, statistics=result.statistics)
        seen |= {reason for _bar, _side, reason, *_rest in fills}
    assert len(seen) >= 8, "markets in which hardly anything happens prove nothing"


def assert_a_sweep_gives_the_same(candles, columns, entries, row, *, setup, funding, statistics) -> None:
    """Without fills and curve the statistics are summed on the way: the same bits again."""
    results = sweep_rows(candles, columns, entries, row.reshape(1, -1), setup=setup, funding=funding)
    assert results[0].tolist() == statistics.tolist()


def twin_of(candles: Candles, columns: Columns, entries: SignalList, row, *, setup: Setup, funding) -> Twin:
    """The twin, run over the same columns as rows."""
    twin = twin_for(columns, row, is_perpetual=setup.is_perpetual)
    twin.run(bars_of(candles, columns, entries, funding=funding), first=columns.first, last=columns.last)
    return twin


def twin_for(columns: Columns, row, *, is_perpetual: bool) -> Twin:
    """A twin that has not run."""
    since, offset, start, num, den = (column.tolist() for column in columns.grid)
    bands = [(at, list(zip(start, num, den, strict=True))[offset[i] : offset[i + 1]]) for i, at in enumerate(since)]
    return Twin(
        settings=row.tolist(),
        bands=bands,
        day_begin=columns.day_begin.tolist(),
        depth=list(zip(*(column.tolist() for column in columns.book), strict=True)),
        is_perpetual=is_perpetual,
    )


def bars_of(candles: Candles, columns: Columns, entries: SignalList, *, funding) -> list[Bar]:
    """The columns as rows, with all that is said at each bar."""
    bars = [
        Bar(
            at_ns=int(candles.open_time[t]),
            open=float(candles.open[t]),
            high=float(candles.high[t]),
            low=float(candles.low[t]),
            close=float(candles.close[t]),
            day=int(np.searchsorted(columns.day_first, t, side="right")) - 1,
            funding=0.0 if funding is None else float(funding[t]),
            strength=float(entries.strength[t]) if len(entries.strength) else np.nan,
            leaves_long=bool(len(entries.leave_long) and entries.leave_long[t] == 1),
            leaves_short=bool(len(entries.leave_short) and entries.leave_short[t] == 1),
        )
        for t in range(len(candles))
    ]
    names = ("side", "stop", "target", "fakeout", "atr", "strength", "hint")
    columns_said = (entries.side, entries.stop, entries.target, entries.fakeout, entries.atr, entries.strength_at, entries.hint)
    for number, bar in enumerate(entries.bar):
        bars[bar].entry = {name: float(column[number]) for name, column in zip(names, columns_said, strict=True)}
    return bars


def generate(seed: int):
    """A market with gaps, jumps and quiet, entries at random bars, and every rule at random values or off."""
    random = np.random.default_rng(seed)
    is_perpetual = bool(seed % 2)
    candles = market(random, price=3000.0 if is_perpetual else float(random.choice([45.0, 900.0, 31_000.0, 1_900_000.0, 90_000_000.0])))
    setup = setup_of(random, is_perpetual=is_perpetual, candles=candles)
    columns = columns_of(candles, setup)
    entries = entries_of(random, candles)
    row = row_of(random, setup, candles)
    funding = np.where(random.random(len(candles)) < 0.1, random.normal(0, 0.001, len(candles)), np.nan) if seed % 3 else None
    return candles, columns, entries, row, setup, funding


def row_of(random: Random, setup: Setup, candles: Candles):
    """A settings row with exit rules at random values or off."""
    stop_atr, target_atr, fakeout_atr = random.uniform(0.2, 6, 3).tolist()
    parameters = ExitParameters(stop_atr=stop_atr, target_atr=target_atr, fakeout_atr=fakeout_atr)
    rules = ExitRules(
        fakeout_bars=int(random.choice([0, 3, 10])),
        weakening_adx=float(random.choice([0.0, 20.0, 35.0])),
        weakening_ratio=float(random.choice([0.8, 1.0])),
        timeout_bars=int(random.choice([0, 5, 24])),
        timeout_profit=float(random.choice([0.02, 0.0, -0.01])),
        hold_bars=int(random.choice([0, 0, 0, 1, 7])),
    )
    return setup.row(interval_ns=candles.interval.nanoseconds, parameters=parameters, rules=rules)


def market(random: Random, *, price: float) -> Candles:
    count = int(random.integers(30, 400))
    interval = Interval(str(random.choice([Interval.MINUTE_15, Interval.HOUR_1, Interval.HOUR_4, Interval.DAY_1])))
    jumps = np.where(random.random(count) < 0.03, random.normal(0, 0.06, count), 0.0)
    close = price * np.exp(np.cumsum(random.normal(0, float(random.choice([0.002, 0.01, 0.03])), count) + jumps))
    opens = np.concatenate([close[:1], close[:-1]]) * (1 + np.where(random.random(count) < 0.2, random.normal(0, 0.01, count), 0.0))
    digits = 0 if price > 1000 else 2
    opens, close = np.round(opens, digits), np.round(close, digits)
    high = np.round(np.maximum(opens, close) * (1 + random.exponential(0.004, count)), digits)
    low = np.round(np.minimum(opens, close) * (1 - random.exponential(0.004, count)), digits)
    steps = 1 + (random.random(count) < 0.03) * random.integers(1, 60, count)
    return Candles(
        exchange="upbit",
        symbol="KRW-BTC",
        interval=interval,
        open_time=to_nanoseconds(START - timedelta(days=700)) + np.cumsum(steps).astype(np.int64) * interval.nanoseconds,
        open=opens,
        high=np.maximum(high, np.maximum(opens, close)),
        low=np.minimum(low, np.minimum(opens, close)),
        close=close,
        volume=np.ones(count),
    )


def setup_of(random: Random, *, is_perpetual: bool, candles: Candles) -> Setup:
    def one(*choices: object) -> object:
        return choices[int(random.integers(len(choices)))]

    cash = D(10_000) if is_perpetual else D(1_000_000)
    korean = tuple(Grid(upbit_rules.rules("KRW-BTC", at), since=at) for at in (START - timedelta(days=4000), upbit_rules.NEWEST))
    return Setup(
        grids=(Grid(DOLLARS),) if is_perpetual else korean,
        cash=cash,
        allocation=one(None, cash / 2),  # type: ignore[arg-type]
        fee_rate=one(D("0.0005"), D("0.002")),  # type: ignore[arg-type]
        slippage=one(D(0), D("0.0002"), D("0.003")),  # type: ignore[arg-type]
        depth=one((), ((D(0), cash / 50), (D("0.001"), cash / 20), (D("0.004"), cash))),  # type: ignore[arg-type]
        quote_grain=D("0.01") if is_perpetual else D(1),
        stop_fraction=one(D("0.02"), D("0.05"), D("0.4")),  # type: ignore[arg-type]
        target_fraction=one(D("0.03"), D("0.10"), D(2)),  # type: ignore[arg-type]
        trail_atr=one(0.0, 1.0, 3.0),  # type: ignore[arg-type]
        levels=one((), (), (PartialLevel(D("0.01"), D("0.5")), PartialLevel(D("0.025"), D("0.3")), PartialLevel(D("0.06"), D(1)))),  # type: ignore[arg-type]
        spacing=timedelta(hours=int(one(0, 1, 4, 48))),  # type: ignore[call-overload]
        entries_per_day=one(1, 2, 5, 1000),  # type: ignore[arg-type]
        daily_loss_fraction=one(D(0), D("0.01"), D("0.10")),  # type: ignore[arg-type]
        weekly_loss_fraction=one(D(0), D("0.02"), D("0.15")),  # type: ignore[arg-type]
        drawdown_fraction=one(D(0), D(0), D("0.03")),  # type: ignore[arg-type]
        loss_streak=one(0, 0, 3),  # type: ignore[arg-type]
        sizing=SizingPlan(mode=list(SizingMode)[int(random.integers(len(SizingMode)))], fixed_amount=cash / 20, risk_fraction=D("0.02")),
        largest_amount=one(cash, cash / 7),  # type: ignore[arg-type]
        position_fraction=one(D("0.3"), D(1), D("2.5")),  # type: ignore[arg-type]
        is_perpetual=is_perpetual,
        leverage=one(D(1), D(5), D(25)) if is_perpetual else D(1),  # type: ignore[arg-type]
        zone=one("Asia/Seoul", "America/New_York"),  # type: ignore[arg-type]
        start=one(None, candles.candle(len(candles) // 4).opened_at),  # type: ignore[arg-type]
    )


def entries_of(random: Random, candles: Candles) -> SignalList:
    count = len(candles)
    bars = np.flatnonzero(random.random(count) < float(random.choice([0.02, 0.1, 0.5])))
    atr = candles.close[bars] * random.uniform(0.002, 0.03, len(bars))

    def distance() -> np.ndarray:
        return np.where(random.random(len(bars)) < 0.2, np.nan, atr)

    strength = random.uniform(5, 60, count)
    strength[random.random(count) < 0.1] = np.nan
    return SignalList(
        bar=bars.astype(np.int64),
        side=random.choice(np.array([-1, 1], dtype=np.int8), len(bars)),
        stop=distance(),
        target=distance(),
        fakeout=distance(),
        atr=atr,
        strength_at=strength[bars],
        hint=np.where(random.random(len(bars)) < 0.3, random.random(len(bars)), 1.0),
        strength=strength,
        leave_long=(random.random(count) < 0.02).astype(np.int8),
        leave_short=(random.random(count) < 0.02).astype(np.int8),
    )


def test_settings_have_one_place_each() -> None:
    assert sorted(S) == list(range(len(S)))
    assert sorted(R) == list(range(len(R)))
