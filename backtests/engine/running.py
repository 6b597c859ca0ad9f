"""One run: candles, a strategy and its parameters, a setup → fills, closed trades, equity, statistics, as columns."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from backtests.engine.layout import AT_OPEN, ENTRY, REASONS, RESULTS, R, S
from backtests.engine.metrics import Metrics, measure
from backtests.engine.setup import Columns, Row, Setup, columns_of
from backtests.engine.signal_list import NO_NUMBERS, SignalList, signal_list
from backtests.strategies.base import Decisions, Parameters, Signals, Strategy
from backtests.strategies.exits import ExitParameters

UNIT_DISTANCES: dict[str, Any] = {"stop_atr": 1.0, "target_atr": 1.0, "fakeout_atr": 1.0}  # the settings row scales them


@dataclass(frozen=True, eq=False)
class Fills:
    """Columns (m,), oldest first. bar: index into the candles. side: 1 buy, -1 sell. reason: index into REASONS.

    where: 0 at the open, 1 on the way to the adverse extreme, 2 to the favourable one. price, fee: quote. lots: whole lot steps.
    """

    bar: NDArray[np.int64]
    side: NDArray[np.int8]
    reason: NDArray[np.int8]
    where: NDArray[np.int8]
    price: NDArray[np.float64]
    lots: NDArray[np.int64]
    fee: NDArray[np.float64]

    @classmethod
    def room(cls, count: int) -> "Fills":
        """Columns for at most `count` fills."""
        return cls(
            bar=np.empty(count, dtype=np.int64),
            side=np.empty(count, dtype=np.int8),
            reason=np.empty(count, dtype=np.int8),
            where=np.empty(count, dtype=np.int8),
            price=np.empty(count),
            lots=np.empty(count, dtype=np.int64),
            fee=np.empty(count),
        )

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """In the kernels' order."""
        return self.bar, self.side, self.reason, self.where, self.price, self.lots, self.fee

    def cut(self, count: int) -> "Fills":
        """The first `count`."""
        return Fills(*(column[:count] for column in self.arrays()))

    def __len__(self) -> int:
        return len(self.bar)


@dataclass(frozen=True, eq=False)
class Trades:
    """Columns (k,), one per closed position. entry_bar, exit_bar: of the first and the last fill. profit: quote, net of fees.

    profit_fraction: of what the entry cost. reason: index into REASONS, of the last exit. Funding is in the equity, not here.
    """

    entry_bar: NDArray[np.int64]
    exit_bar: NDArray[np.int64]
    side: NDArray[np.int8]
    entry_price: NDArray[np.float64]
    exit_price: NDArray[np.float64]
    lots: NDArray[np.int64]
    profit: NDArray[np.float64]
    profit_fraction: NDArray[np.float64]
    reason: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.entry_bar)


@dataclass(frozen=True, eq=False)
class Result:
    """What a run did. equity: quote, at the closes of the bars [first_bar, first_bar + len). hit_rates: per gate, NaN unknown."""

    first_bar: int
    fills: Fills
    trades: Trades
    equity: NDArray[np.float64]
    statistics: Row  # by layout.R
    metrics: Metrics
    hit_rates: dict[str, float]

    @property
    def safe_since(self) -> int | None:
        """Bar at whose close a breaker put the run into safe mode, to its end; None: never."""
        bar = int(self.statistics[R.SAFE_SINCE])
        return None if bar < 0 else bar

    def markers(self, candles: Candles) -> list[dict[str, Any]]:
        """Fills for a chart: time (ms UTC), price, side, reason."""
        return [
            {
                "time": int(candles.open_time[bar]) // 1_000_000,
                "price": float(price),
                "side": "buy" if side > 0 else "sell",
                "reason": REASONS[reason],
                "at_open": bool(where == AT_OPEN),
            }
            for bar, price, side, reason, where in zip(
                self.fills.bar, self.fills.price, self.fills.side, self.fills.reason, self.fills.where, strict=True
            )
        ]


ONE_MEMBER = np.zeros(1, dtype=np.int64)
NO_FILLS = Fills.room(0).arrays()


def run(
    candles: Candles,
    strategy: Strategy[Any],
    parameters: Parameters,
    setup: Setup,
    *,
    allowed: NDArray[np.bool_] | None = None,
    funding: NDArray[np.float64] | None = None,
    decisions: Decisions | None = None,
) -> Result:
    """Trade the whole series once. allowed: (n,) bool, the filter gate's word per bar. decisions: for a strategy that replays them.

    funding: (n,) float64, the rate due at each bar's open (fraction of the notional, longs pay a positive one; NaN or 0: none),
    perpetuals only. Raises BadInput for parameters out of bounds and for a series without a bar to trade.
    """
    parameters.validate()
    signals = unit_signals(candles, strategy, parameters, decisions=decisions)
    columns = columns_of(candles, setup)
    entries = signal_list(candles, signals, setup=setup, allowed=allowed)
    row = setup.row(interval_ns=candles.interval.nanoseconds, parameters=parameters, rules=strategy.exit_rules(parameters))
    return walk(candles, columns, entries, row, setup=setup, funding=funding, hit_rates=signals.hit_rates())


def unit_signals(candles: Candles, strategy: Strategy[Any], parameters: Parameters, *, decisions: Decisions | None = None) -> Signals:
    """The strategy's signals; distances of an ATR exit in single ATRs, so that sets which differ in them alone share one list."""
    if isinstance(parameters, ExitParameters):
        parameters = replace(parameters, **UNIT_DISTANCES)
    if strategy.needs_decisions:
        return strategy.signals(candles, parameters, Decisions.none() if decisions is None else decisions)
    return strategy.signals(candles, parameters)


def walk(
    candles: Candles,
    columns: Columns,
    entries: SignalList,
    row: Row,
    *,
    setup: Setup,
    funding: NDArray[np.float64] | None = None,
    hit_rates: dict[str, float] | None = None,
) -> Result:
    """Walk prepared columns once, keeping fills and equity."""
    from backtests.engine.kernel import measure_curve

    fills = Fills.room(min(len(entries.bar), columns.last - columns.first) * (2 + int(row[S.LEVELS])) + 2)
    equity, results = np.empty(columns.last - columns.first), np.zeros(RESULTS)
    said = shared(candles, columns, entries, setup=setup, funding=funding)
    rows = row.reshape(1, -1), results.reshape(1, -1)
    count = kernel_of(setup)(columns.first, columns.last, *said, ONE_MEMBER, rows[0], *fills.arrays(), equity, rows[1])
    measure_curve(columns.first, columns.last, equity, float(row[S.CASH]), results)
    fills = fills.cut(count)
    return Result(
        first_bar=columns.first,
        fills=fills,
        trades=closed_trades(fills, lots_per_unit=float(row[S.LOTS_PER_UNIT])),
        equity=equity,
        statistics=results,
        metrics=measure(results, cash=float(row[S.CASH]), interval_ns=candles.interval.nanoseconds),
        hit_rates=hit_rates or {},
    )


def kernel_of(setup: Setup) -> Any:
    """The compiled kernel; numba is loaded here and nowhere earlier."""
    from backtests.engine import kernel

    return kernel.walk_perpetual if setup.is_perpetual else kernel.walk_spot


def shared(
    candles: Candles, columns: Columns, entries: SignalList, *, setup: Setup, funding: NDArray[np.float64] | None
) -> tuple[NDArray[Any], ...]:
    """The kernel's columns between the span and the settings row."""
    rates = NO_NUMBERS if funding is None or not setup.is_perpetual else np.ascontiguousarray(funding, dtype=np.float64)
    if len(rates) not in (0, len(candles)):
        raise ValueError(f"funding must have one rate per candle, {len(candles)}; had {len(rates)}")
    return (
        candles.open_time,
        candles.open,
        candles.high,
        candles.low,
        candles.close,
        rates,
        *entries.arrays(),
        columns.day_first,
        columns.day_begin,
        *columns.grid,
        *columns.book,
    )


def closed_trades(fills: Fills, *, lots_per_unit: float) -> Trades:
    """Fold fills into positions; one that is still open is left out."""
    starts = np.flatnonzero(fills.reason == ENTRY)
    ends = np.append(starts[1:], len(fills))
    signed = fills.side * fills.lots
    is_closed = np.add.reduceat(signed, starts) == 0 if len(starts) else np.empty(0, dtype=np.bool_)
    cash_flow = -fills.side * fills.price * (fills.lots / lots_per_unit) - fills.fee
    profit = np.add.reduceat(cash_flow, starts)[is_closed] if len(starts) else np.empty(0)
    starts, last = starts[is_closed], (ends - 1)[is_closed]
    cost = fills.price[starts] * (fills.lots[starts] / lots_per_unit)
    return Trades(
        entry_bar=fills.bar[starts],
        exit_bar=fills.bar[last],
        side=fills.side[starts],
        entry_price=fills.price[starts],
        exit_price=fills.price[last],
        lots=fills.lots[starts],
        profit=profit,
        profit_fraction=profit / cost,
        reason=fills.reason[last],
    )
