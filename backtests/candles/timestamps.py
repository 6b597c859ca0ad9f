"""Open times of candle files. A stamp with an offset speaks for itself; a naive one needs a zone from the form or the operator,
a number a unit."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from backtests.candles.files import RawColumns
from backtests.candles.headers import PYUPBIT
from backtests.candles.views import viewed
from dgbot.core.errors import BadInput

# Korea has had no summer time since 1988, so its offset is a number.
ZONES = {"UTC": 0, "Asia/Seoul": 9 * 3600 * 1_000_000_000}
UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}  # of numbers that count since 1970
FARTHEST_NS = 9_223_372_036_854_775_807
AWARE = pa.timestamp("ns", tz="UTC")
NAIVE = pa.timestamp("ns")


def read_times(raw: RawColumns, *, timezone: str | None, time_unit: str | None = None) -> tuple[NDArray[np.int64], str]:
    """Open times, (n,) int64 ns since 1970 UTC, and a word on the zone taken and who said so.

    timezone: the zone of naive stamps, one of ZONES. time_unit: what numbers count since 1970, one of UNITS.
    Raises BadInput for a stamp that cannot be read, for stamps with and without offset mixed, for naive stamps without a zone,
    for numbers without a unit, and for a zone that contradicts the file's own.
    """
    column = raw.times
    if pa.types.is_timestamp(column.type):
        return _from_timestamps(raw, column, timezone=timezone)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return _from_numbers(raw, column, unit=time_unit)
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        raise BadInput(f"{raw.name}: column {raw.labels['time']} holds {column.type}; times or numbers are read.")
    aware = _cast(column, AWARE)
    if aware is not None:
        return _nanoseconds(aware), "UTC offsets written in the file"
    if pc.all(pc.match_substring_regex(column, r"^\d{9,19}(\.0*)?$")).as_py():
        return _from_numbers(raw, pc.cast(pc.replace_substring_regex(column, r"\.0*$", ""), pa.int64()), unit=time_unit)
    naive = _cast(column, NAIVE)
    if naive is None:
        naive = _cast(_respelled(column), NAIVE)
    if naive is None:
        raise BadInput(_first_unreadable(raw, column))
    return _placed(raw, naive, timezone=timezone)


def _from_numbers(raw: RawColumns, column: pa.Array, *, unit: str | None) -> tuple[NDArray[np.int64], str]:
    if column.null_count:
        raise BadInput(f"{raw.name}: {raw.place(int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))))} has no timestamp.")
    if unit is None:
        raise BadInput(
            f"{raw.name}: column {raw.labels['time']!r} holds numbers ({raw.place(0)}: {column[0].as_py():.0f}) whose unit the file does "
            f"not say; say it with --time-unit: {', '.join(UNITS)}."
        )
    numbers = viewed(column) if column.type in (pa.int64(), pa.float64()) else column.to_numpy(zero_copy_only=False)
    if np.any(np.abs(numbers) >= FARTHEST_NS // UNITS[unit]):
        raise BadInput(f"{raw.name}: as {unit} since 1970 the timestamps lie outside the years 1678 to 2261; --time-unit is wrong.")
    return numbers.astype(np.int64) * UNITS[unit], f"UTC, {unit} since 1970"


def _respelled(column: pa.Array) -> pa.Array:
    """Dates that begin with the year in the spellings of vendors: `2021- 12- 31`, `2021/12/31 09:00`, `2021년 1월 3일`."""
    one = pc.replace_substring_regex(column, r"^(\d{4})\s*[-./년]\s*(\d{1,2})\s*[-./월]\s*(\d{1,2})[일.]?", r"\1-0\2-0\3")
    # Two digits each: the zero put before is taken away where there were two already.
    two = pc.replace_substring_regex(one, r"^(\d{4})-0(\d\d)-", r"\1-\2-")
    three = pc.replace_substring_regex(two, r"^(\d{4}-\d\d)-0(\d\d)", r"\1-\2")
    return pc.replace_substring_regex(three, r"^(\d{4}-\d\d-\d\d)\s+(\d):", r"\1 0\2:")


def _from_timestamps(raw: RawColumns, column: pa.Array, *, timezone: str | None) -> tuple[NDArray[np.int64], str]:
    if column.null_count:
        raise BadInput(f"{raw.name}: {raw.place(int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))))} has no timestamp.")
    if column.type.tz is not None:
        return _nanoseconds(_to_ns(raw, column, AWARE)), "a time zone written in the file"
    return _placed(raw, _to_ns(raw, column, NAIVE), timezone=timezone)


def _placed(raw: RawColumns, naive: pa.Array, *, timezone: str | None) -> tuple[NDArray[np.int64], str]:
    said = raw.layout.zone
    if said and timezone and said != timezone:
        raise BadInput(f"{raw.name}: the header {raw.labels['time']!r} says {said}, --timezone says {timezone}; leave the option out.")
    zone, source = _zone_of(raw, timezone=timezone)
    if not zone:
        stamp = naive[0].as_py().isoformat() if len(naive) else ""
        raise BadInput(
            f"{raw.name}: the timestamps have no time zone ({raw.place(0)}: {stamp}); "
            "say which it is with --timezone UTC or --timezone Asia/Seoul."
        )
    return _nanoseconds(naive) - ZONES[zone], f"{zone}, by {source}"


def _zone_of(raw: RawColumns, *, timezone: str | None) -> tuple[str, str]:
    """The zone of naive stamps and who said so; both empty when nobody did."""
    if raw.layout.zone:
        return raw.layout.zone, "the header"
    if timezone:
        return timezone, "--timezone"
    return ("Asia/Seoul", "pyupbit's form") if raw.form == PYUPBIT else ("", "")


def _first_unreadable(raw: RawColumns, column: pa.Array) -> str:
    has_offset = None
    for index, text in enumerate(column.to_pylist()):
        one = pa.array([text], type=pa.string())
        kind = True if _cast(one, AWARE) is not None else False if _cast(_respelled(one), NAIVE) is not None else None
        if kind is None:
            where = f"{raw.place(index)}, column {raw.labels['time']!r}"
            return f"{raw.name}: {where}: {text!r} is not an ISO 8601 time of the years 1678 to 2261."
        if has_offset is not None and kind != has_offset:
            return f"{raw.name}: {raw.place(index)}: {text!r} has {'an' if kind else 'no'} offset, unlike the rows before; all must agree."
        has_offset = kind
    return f"{raw.name}: column {raw.labels['time']!r} cannot be read as times."


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
        raise BadInput(f"{raw.name}: column {raw.labels['time']!r} holds a time outside the years 1678 to 2261.") from None


def _nanoseconds(times: pa.Array) -> NDArray[np.int64]:
    nanoseconds: NDArray[np.int64] = viewed(times)
    return nanoseconds
