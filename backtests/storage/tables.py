"""A result as Parquet tables and back. Pure: bytes and arrays, no storage, no database.

Three files make a run. Times are ns since 1970 UTC, the open times of bars; money is quote currency, quantities are base.

    equity   time, equity                                                   one row per traded bar, at its close
    trades   symbol, entry_at, exit_at, side (1 long, -1 short), entry_price, exit_price, quantity, profit, profit_fraction, reason
    fills    symbol, time, side (1 buy, -1 sell), price, quantity, fee, reason, where (0 open, 1 adverse, 2 favourable)

Numbers keep every bit. Columns are written so that they compress: times as differences, floats byte by byte.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from backtests.candles.series import Candles
from backtests.engine import Part, PortfolioResult, Result
from backtests.engine.layout import REASONS
from dgbot.core.errors import BadInput

TIMES = frozenset(("time", "entry_at", "exit_at"))
WORDS = frozenset(("symbol", "reason"))
COMPRESSION_LEVEL = 15  # a result is written once and read for a month


@dataclass(frozen=True, eq=False)
class Curve:
    """Equity at the close of each traded bar. time: (n,) int64 ns, the bar's open time. equity: (n,) float64, quote."""

    time: NDArray[np.int64]
    equity: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, eq=False)
class TradeTable:
    """Closed positions, oldest exit first: (k,) columns as the module says."""

    symbol: NDArray[np.str_]
    entry_at: NDArray[np.int64]
    exit_at: NDArray[np.int64]
    side: NDArray[np.int8]
    entry_price: NDArray[np.float64]
    exit_price: NDArray[np.float64]
    quantity: NDArray[np.float64]
    profit: NDArray[np.float64]
    profit_fraction: NDArray[np.float64]
    reason: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.entry_at)


@dataclass(frozen=True, eq=False)
class FillTable:
    """Every fill, oldest first: (m,) columns as the module says."""

    symbol: NDArray[np.str_]
    time: NDArray[np.int64]
    side: NDArray[np.int8]
    price: NDArray[np.float64]
    quantity: NDArray[np.float64]
    fee: NDArray[np.float64]
    reason: NDArray[np.str_]
    where: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, eq=False)
class Tables:
    """The arrays of a run."""

    equity: Curve
    trades: TradeTable
    fills: FillTable


@dataclass(frozen=True, eq=False)
class Traded:
    """One market of a run, for its table rows. lot_step: base currency of one lot."""

    candles: Candles
    part: Result | Part
    lot_step: float = field(kw_only=True)


def tables_of(result: Result | PortfolioResult, markets: Sequence[Traded]) -> Tables:
    """markets: one per symbol, in the run's order."""
    if isinstance(result, PortfolioResult):
        time = result.times
    else:
        time = markets[0].candles.open_time[result.first_bar : result.first_bar + len(result.equity)]
    trades, fills = [_trades(one) for one in markets], [_fills(one) for one in markets]
    return Tables(
        equity=Curve(np.asarray(time, dtype=np.int64), result.equity),
        trades=TradeTable(**_joined(trades, order="exit_at")),
        fills=FillTable(**_joined(fills, order="time")),
    )


def encode(table: Curve | TradeTable | FillTable) -> bytes:
    """The table as a Parquet file."""
    return encode_columns(vars(table))


def encode_columns(columns: dict[str, NDArray[Any]], *, level: int = COMPRESSION_LEVEL) -> bytes:
    """Columns of equal length as a Parquet file. level: of the compression, 1 is fast."""
    encodings = {}
    for name, column in columns.items():
        if name in TIMES and column.dtype == np.int64:
            encodings[name] = "DELTA_BINARY_PACKED"
        elif column.dtype == np.float64:
            encodings[name] = "BYTE_STREAM_SPLIT"
    packed = {name: column.astype(object) if column.dtype.kind in "US" else column for name, column in columns.items()}
    arrays = {name: pa.array(column, type=pa.string()) if column.dtype == object else pa.array(column) for name, column in packed.items()}
    buffer = io.BytesIO()
    pq.write_table(
        pa.table(arrays),
        buffer,
        compression="zstd",
        compression_level=level,
        use_dictionary=[name for name in columns if name not in encodings],
        column_encoding=encodings or None,
    )
    return buffer.getvalue()


def decode_curve(content: bytes) -> Curve:
    """Raises BadInput when the file is no equity table."""
    return Curve(**_columns(content, Curve))


def decode_trades(content: bytes) -> TradeTable:
    """Raises BadInput when the file is no table of trades."""
    return TradeTable(**_columns(content, TradeTable))


def decode_fills(content: bytes) -> FillTable:
    """Raises BadInput when the file is no table of fills."""
    return FillTable(**_columns(content, FillTable))


def decode_columns(content: bytes) -> dict[str, NDArray[Any]]:
    """Every column of a Parquet file. Raises BadInput when it is none."""
    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"A result file is no Parquet file ({error}); run the backtest again.") from error
    return {name: _array(table[name]) for name in table.column_names}


def _columns(content: bytes, kind: type[Any]) -> dict[str, NDArray[Any]]:
    columns, wanted = decode_columns(content), list(kind.__dataclass_fields__)
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise BadInput(f"A result file has no column {missing[0]!r}; run the backtest again.")
    return {name: columns[name] for name in wanted}


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=np.str_)
    array: NDArray[Any] = column.to_numpy()
    return array


def _trades(one: Traded) -> dict[str, NDArray[Any]]:
    trades, opened = one.part.trades, one.candles.open_time
    return {
        "symbol": _repeated(one.candles.symbol, len(trades)),
        "entry_at": opened[trades.entry_bar],
        "exit_at": opened[trades.exit_bar],
        "side": trades.side,
        "entry_price": trades.entry_price,
        "exit_price": trades.exit_price,
        "quantity": _quantity(trades.lots, one.lot_step),
        "profit": trades.profit,
        "profit_fraction": trades.profit_fraction,
        "reason": _reasons(trades.reason),
    }


def _fills(one: Traded) -> dict[str, NDArray[Any]]:
    fills = one.part.fills
    return {
        "symbol": _repeated(one.candles.symbol, len(fills)),
        "time": one.candles.open_time[fills.bar],
        "side": fills.side,
        "price": fills.price,
        "quantity": _quantity(fills.lots, one.lot_step),
        "fee": fills.fee,
        "reason": _reasons(fills.reason),
        "where": fills.where,
    }


def _joined(parts: list[dict[str, NDArray[Any]]], *, order: str) -> dict[str, NDArray[Any]]:
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if len(parts) == 1:
        return columns
    sorted_by = np.argsort(columns[order], kind="stable")
    return {name: column[sorted_by] for name, column in columns.items()}


def _repeated(symbol: str, count: int) -> NDArray[np.str_]:
    return np.full(count, symbol, dtype=f"<U{len(symbol)}")


def _quantity(lots: NDArray[np.int64], lot_step: float) -> NDArray[np.float64]:
    return np.round(lots * lot_step, 12)


def _reasons(codes: NDArray[np.int8]) -> NDArray[np.str_]:
    return np.array(REASONS)[codes] if len(codes) else np.empty(0, dtype=np.str_)
