"""Open times of candle files. A stamp with an offset speaks for itself; a naive one needs a zone from the form or the operator."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from backtests.candles.files import PYUPBIT, RawColumns
from dgbot.core.errors import BadInput

# Korea has had no summer time since 1988, so its offset is a number.
ZONES = {"UTC": 0, "Asia/Seoul": 9 * 3600 * 1_000_000_000}
AWARE = pa.timestamp("ns", tz="UTC")
NAIVE = pa.timestamp("ns")


def read_times(raw: RawColumns, *, timezone: str | None) -> tuple[NDArray[np.int64], str]:
    """Open times, (n,) int64 ns since 1970 UTC, and a word on the zone taken and who said so.

    Raises BadInput for a stamp that cannot be read, for stamps with and without offset mixed, and for naive stamps without a zone.
    """
    column = raw.column(raw.time_column)
    if pa.types.is_timestamp(column.type):
        return _from_timestamps(raw, column, timezone=timezone)
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        raise BadInput(f"{raw.name}: column {raw.time_column} holds {column.type}; ISO 8601 times are read, numbers have an unknown unit.")
    aware = _cast(column, AWARE)
    if aware is not None:
        return _nanoseconds(aware), "UTC offsets written in the file"
    naive = _cast(column, NAIVE)
    if naive is None:
        raise BadInput(_first_unreadable(raw, column))
    return _placed(raw, naive, timezone=timezone)


def _from_timestamps(raw: RawColumns, column: pa.Array, *, timezone: str | None) -> tuple[NDArray[np.int64], str]:
    if column.null_count:
        raise BadInput(f"{raw.name}: {raw.place(int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))))} has no timestamp.")
    if column.type.tz is not None:
        return _nanoseconds(_to_ns(raw, column, AWARE)), "a time zone written in the file"
    return _placed(raw, _to_ns(raw, column, NAIVE), timezone=timezone)


def _placed(raw: RawColumns, naive: pa.Array, *, timezone: str | None) -> tuple[NDArray[np.int64], str]:
    zone, source = (timezone, "--timezone") if timezone else ("Asia/Seoul", "pyupbit's form") if raw.form == PYUPBIT else (None, "")
    if zone is None:
        stamp = naive[0].as_py().isoformat() if len(naive) else ""
        raise BadInput(
            f"{raw.name}: the timestamps have no time zone ({raw.place(0)}: {stamp}); "
            "say which it is with --timezone UTC or --timezone Asia/Seoul."
        )
    return _nanoseconds(naive) - ZONES[zone], f"{zone}, by {source}"


def _first_unreadable(raw: RawColumns, column: pa.Array) -> str:
    has_offset = None
    for index, text in enumerate(column.to_pylist()):
        one = pa.array([text], type=pa.string())
        kind = True if _cast(one, AWARE) is not None else False if _cast(one, NAIVE) is not None else None
        if kind is None:
            return (
                f"{raw.name}: {raw.place(index)}, column {raw.time_column!r}: {text!r} is not an ISO 8601 time of the years 1678 to 2261."
            )
        if has_offset is not None and kind != has_offset:
            return f"{raw.name}: {raw.place(index)}: {text!r} has {'an' if kind else 'no'} offset, unlike the rows before; all must agree."
        has_offset = kind
    return f"{raw.name}: column {raw.time_column!r} cannot be read as times."


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
    if column.null_count:
        return None
    try:
        return pc.cast(column, kind)
    except pa.ArrowInvalid:
        return None


def _to_ns(raw: RawColumns, column: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return pc.cast(column, kind)
    except pa.ArrowInvalid:
        raise BadInput(f"{raw.name}: column {raw.time_column!r} holds a time outside the years 1678 to 2261.") from None


def _nanoseconds(times: pa.Array) -> NDArray[np.int64]:
    nanoseconds: NDArray[np.int64] = pc.cast(times, pa.int64()).to_numpy()
    return nanoseconds
