"""Several symbols that share cash and one set of limits: each its own strategy, costs and grid, one equity curve.

With one symbol it is `run` to the bit. Sizes and limits in quote currency refer to the account: fractions to its equity, not to a
symbol's share of it. docs/decisions/0037-several-symbols-one-cash.md
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from backtests.engine.layout import RESULTS, A, R, S
from backtests.engine.metrics import Metrics, measure
from backtests.engine.running import Fills, Trades, closed_trades, unit_signals
from backtests.engine.setup import Columns, Row, Setup, columns_of, trading_days
from backtests.engine.signal_list import SignalList, signal_list
from backtests.strategies.base import Decisions, Parameters, Strategy
from dgbot.core.errors import BadInput

NO_AMOUNT = Decimal(10) ** 18


@dataclass(frozen=True)
class Account:
    """What all symbols share. Fractions: 0.01 is 1 %; 0 is off. allocation: what limits refer to, None: the cash.

    entries_per_day: of all symbols together. largest_amount: of one entry, quote. exposure_fraction: of the account's equity, at
    most so much at stake: positions at cost and ordered entries, fees included. zone: of the trading day.
    Raises BadInput for what has no meaning.
    """

    cash: Decimal
    allocation: Decimal | None = None
    daily_loss_fraction: Decimal = Decimal("0.10")
    weekly_loss_fraction: Decimal = Decimal("0.15")
    drawdown_fraction: Decimal = Decimal(0)
    loss_streak: int = 0
    entries_per_day: int = 10**9
    largest_amount: Decimal = NO_AMOUNT
    exposure_fraction: Decimal = Decimal(0)
    zone: str = "Asia/Seoul"

    def __post_init__(self) -> None:
        for name in ("cash", "largest_amount"):
            if not getattr(self, name) > 0:
                raise BadInput(f"The account's {name} is {getattr(self, name)}; it must be above zero.")
        for name in ("daily_loss_fraction", "weekly_loss_fraction", "drawdown_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise BadInput(f"The account's {name} is {getattr(self, name)}; it must lie in 0…1, 1 left out.")
        if not self.exposure_fraction >= 0:
            raise BadInput(f"The account's exposure_fraction is {self.exposure_fraction}; it must not be negative.")

    @classmethod
    def of(cls, setup: Setup) -> "Account":
        """The account of a single run: its money and breakers."""
        return cls(
            cash=setup.cash,
            allocation=setup.allocation,
            daily_loss_fraction=setup.daily_loss_fraction,
            weekly_loss_fraction=setup.weekly_loss_fraction,
            drawdown_fraction=setup.drawdown_fraction,
            loss_streak=setup.loss_streak,
            zone=setup.zone,
        )

    def row(self) -> Row:
        """As the kernel reads it, by `layout.A`."""
        values: dict[A, Any] = {
            A.CASH: self.cash,
            A.ALLOCATION: self.cash if self.allocation is None else self.allocation,
            A.DAILY_LOSS: self.daily_loss_fraction,
            A.WEEKLY_LOSS: self.weekly_loss_fraction,
            A.DRAWDOWN: self.drawdown_fraction,
            A.LOSS_STREAK: self.loss_streak,
            A.ENTRIES_PER_DAY: self.entries_per_day,
            A.LARGEST_AMOUNT: self.largest_amount,
            A.EXPOSURE: self.exposure_fraction,
        }
        return np.array([float(values[name]) for name in A])


@dataclass(frozen=True, eq=False)
class Member:
    """One symbol of a portfolio. Of its setup everything counts but cash, allocation and breakers: those are the account's.

    funding, allowed, decisions: as in `run`.
    """

    candles: Candles
    strategy: Strategy[Any]
    parameters: Parameters
    setup: Setup
    funding: NDArray[np.float64] | None = None
    allowed: NDArray[np.bool_] | None = None
    decisions: Decisions | None = None


@dataclass(frozen=True, eq=False)
class Track:
    """A member ready to be walked: its columns, its signals and its settings row."""

    candles: Candles
    columns: Columns
    entries: SignalList
    row: Row
    is_perpetual: bool
    funding: NDArray[np.float64] | None = None
    hit_rates: dict[str, float] | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """What one symbol did. profit: quote, closed and open positions at the last close, net of fees and funding; parts add up.

    fills and trades count bars in the symbol's own candles. statistics: by layout.R, those of positions and fills.
    """

    symbol: str
    fills: Fills
    trades: Trades
    statistics: Row
    profit: float
    hit_rates: dict[str, float]

    @property
    def win_rate(self) -> float | None:
        """Share of its closed positions with a profit after costs; None without one."""
        closed = self.statistics[R.POSITIONS]
        return float(self.statistics[R.WINS] / closed) if closed else None


@dataclass(frozen=True, eq=False)
class PortfolioResult:
    """What a portfolio did. times: (t,) ns UTC, open times of any symbol. equity: (t,) quote, at their closes, every symbol at its last."""

    times: NDArray[np.int64]
    equity: NDArray[np.float64]
    statistics: Row  # by layout.R; HELD_LOTS stays 0, lots of several symbols are no number
    metrics: Metrics
    parts: tuple[Part, ...]

    @property
    def safe_since(self) -> int | None:
        """Place in `times` at whose close a breaker ended all entries; None: never."""
        at = int(self.statistics[R.SAFE_SINCE])
        return None if at < 0 else at


def run_portfolio(members: Sequence[Member], account: Account) -> PortfolioResult:
    """Trade all members on the account's cash, in their order where it matters.

    Raises BadInput for parameters out of bounds, for a member without a bar to trade, and for members that cannot share cash:
    another interval, quote currency or kind of market, or the same symbol twice.
    """
    _check_together(members)
    return walk_together([_track(member, account) for member in members], account)


def walk_together(tracks: Sequence[Track], account: Account) -> PortfolioResult:
    """Walk prepared members once."""
    from backtests.engine import portfolio_kernel
    from backtests.engine.kernel import measure_curve

    times = _union([_cut(track, track.candles.open_time) for track in tracks])
    interval_ns, limits = tracks[0].candles.interval.nanoseconds, account.row()
    room = sum(_most_fills(track) for track in tracks)
    fills, symbols = Fills.room(room), np.empty(room, dtype=np.int64)
    equity, results = np.empty(len(times)), np.zeros((len(tracks), RESULTS))
    states, told = np.zeros(len(tracks), dtype=portfolio_kernel.STATE), np.zeros(1, dtype=portfolio_kernel.ACCOUNT)
    walk: Any = portfolio_kernel.walk_portfolio
    walk(
        times,
        tracks[0].is_perpetual,
        limits,
        np.array([track.row for track in tracks]),
        *_side_by_side(tracks),
        trading_days(times, interval_ns=interval_ns, zone=account.zone),
        _joined(track.columns.grid for track in tracks),
        _joined(track.columns.book for track in tracks),
        states,
        told,
        (symbols, *fills.arrays()),
        equity,
        results,
    )
    count = int(told["fills"][0])
    parts = _parts(tracks, fills.cut(count), symbols[:count], results, last_closes=states["close"])
    statistics = _whole(results, told[0], bars=len(times), equity=equity)
    measure_curve(0, len(times), equity, float(account.cash), statistics)
    return PortfolioResult(
        times=times,
        equity=equity,
        statistics=statistics,
        metrics=measure(statistics, cash=float(account.cash), interval_ns=interval_ns),
        parts=parts,
    )


def _check_together(members: Sequence[Member]) -> None:
    if not members:
        raise BadInput("A portfolio needs at least one symbol; none was given.")
    for what, values in {
        "interval": {str(member.candles.interval) for member in members},
        "quote currency": {member.setup.grids[-1].rules.quote for member in members},
        "kind of market": {"perpetual" if member.setup.is_perpetual else "spot" for member in members},
    }.items():
        if len(values) > 1:
            raise BadInput(f"Symbols that share cash must have the same {what}; these have {', '.join(sorted(values))}.")
    symbols = [(member.candles.exchange, member.candles.symbol) for member in members]
    twice = next((symbol for number, symbol in enumerate(symbols) if symbol in symbols[:number]), None)
    if twice is not None:
        raise BadInput(f"{twice[1]} was given twice; a portfolio holds one position in a symbol.")


def _track(member: Member, account: Account) -> Track:
    candles, setup = member.candles, replace(member.setup, cash=account.cash, allocation=account.allocation)
    member.parameters.validate()
    signals = unit_signals(candles, member.strategy, member.parameters, decisions=member.decisions)
    rules = member.strategy.exit_rules(member.parameters)
    return Track(
        candles=candles,
        columns=columns_of(candles, setup),
        entries=signal_list(candles, signals, setup=setup, allowed=member.allowed),
        row=setup.row(interval_ns=candles.interval.nanoseconds, parameters=member.parameters, rules=rules),
        is_perpetual=setup.is_perpetual,
        funding=member.funding,
        hit_rates=signals.hit_rates(),
    )


def _union(columns: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """All times of sorted columns, once each; most symbols have the same ones, and then nothing is sorted."""
    times = columns[0]
    for column in columns[1:]:
        if not np.array_equal(times, column):
            times = np.union1d(times, column)
    return times


def _cut(track: Track, column: NDArray[Any]) -> NDArray[Any]:
    return column[track.columns.first : track.columns.last]


def _most_fills(track: Track) -> int:
    bars = track.columns.last - track.columns.first
    return min(len(track.entries.bar), bars) * (2 + int(track.row[S.LEVELS])) + 2


def _joined(columns: Any) -> tuple[NDArray[Any], ...]:
    """Column for column, one symbol's behind the other's."""
    return tuple(np.concatenate(parts) for parts in zip(*columns, strict=True))


def _side_by_side(tracks: Sequence[Track]) -> tuple[Any, ...]:
    """Places, bars, entry bars and what is said there, as the kernel takes them: bars count in the joined columns."""
    from backtests.engine.portfolio_kernel import PLACE

    places = np.zeros(len(tracks), dtype=PLACE)
    bars, entry_bars, said = [], [], []
    for number, track in enumerate(tracks):
        candles, entries, columns = track.candles, track.entries, track.columns
        silent, count = np.zeros(len(candles), dtype=np.int8), columns.last - columns.first
        start = places["bars"][number - 1][1] if number else 0
        is_inside = (entries.bar >= columns.first) & (entries.bar < columns.last)
        for name, length in (
            ("bars", count),
            ("entries", int(is_inside.sum())),
            ("grids", len(columns.grid[0])),
            ("bands", len(columns.grid[2])),
            ("depth", len(columns.book[0])),
        ):
            before = places[name][number - 1][1] if number else 0
            places[name][number] = before, before + length
        bars.append(
            (
                *(_cut(track, column) for column in (candles.open_time, candles.open, candles.high, candles.low, candles.close)),
                _cut(track, _funding(track)),
                _cut(track, entries.strength if len(entries.strength) else np.full(len(candles), np.nan)),
                *(_cut(track, one if len(one) else silent) for one in (entries.leave_long, entries.leave_short)),
            )
        )
        entry_bars.append(entries.bar[is_inside] - columns.first + start)
        told = (entries.side, entries.stop, entries.target, entries.fakeout, entries.atr, entries.strength_at, entries.hint)
        said.append(tuple(column[is_inside] for column in told))
    return places, _joined(bars), np.concatenate(entry_bars), _joined(said)


def _funding(track: Track) -> NDArray[np.float64]:
    if track.funding is None or not track.is_perpetual:
        return np.full(len(track.candles), np.nan)
    if len(track.funding) != len(track.candles):
        raise BadInput(f"Funding must have one rate per candle of {track.candles.symbol}, {len(track.candles)}; had {len(track.funding)}.")
    return track.funding


def _parts(
    tracks: Sequence[Track], fills: Fills, symbols: NDArray[np.int64], results: NDArray[np.float64], *, last_closes: NDArray[np.float64]
) -> tuple[Part, ...]:
    parts, start = [], 0
    for number, track in enumerate(tracks):
        own = Fills(*(column[symbols == number] for column in fills.arrays()))
        own = replace(own, bar=own.bar - start + track.columns.first)
        start += track.columns.last - track.columns.first
        row, lots_per_unit = results[number], float(track.row[S.LOTS_PER_UNIT])
        paid = float(np.sum(own.side * own.price * (own.lots / lots_per_unit)) + np.sum(own.fee))
        parts.append(
            Part(
                symbol=track.candles.symbol,
                fills=own,
                trades=closed_trades(own, lots_per_unit=lots_per_unit),
                statistics=row,
                profit=float(row[R.HELD_LOTS]) / lots_per_unit * float(last_closes[number]) - paid - float(row[R.FUNDING]),
                hit_rates=track.hit_rates or {},
            )
        )
    return tuple(parts)


def _whole(results: NDArray[np.float64], told: Any, *, bars: int, equity: NDArray[np.float64]) -> Row:
    """The account's row: positions and fills of all symbols together, streaks and times held of the account."""
    row: Row = results.sum(axis=0)
    row[R.HELD_LOTS] = 0.0
    row[R.FINAL_EQUITY], row[R.BARS] = equity[-1], bars
    row[R.MOST_WINS], row[R.MOST_LOSSES] = told["most_wins"], told["most_losses"]
    row[R.BARS_HELD], row[R.SAFE_SINCE] = told["times_held"], told["safe_since"]
    return row
