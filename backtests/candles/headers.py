"""Which column of a foreign file is what, told by its name alone; what no name tells is left for the operator to say."""

import re
from dataclasses import dataclass

from dgbot.core.errors import BadInput

OURS, PYUPBIT, UPBIT_REST, KOREAN, OTHER = "ours", "pyupbit", "upbit api", "korean", "other"
NUMBER_COLUMNS = ("open", "high", "low", "close", "volume")
EXPECTED = "timestamp,open,high,low,close,volume[,value]"
INDEX_NAMES = ("", "index", "__index_level_0__", "unnamed: 0")  # how pandas writes an index without a name
MAX_COLUMNS = 64

# The first name that a file has is taken. Volume is of the base coin under every one of these names.
NAMES = {
    "open": ("open", "opening_price", "시가"),
    "high": ("high", "high_price", "고가"),
    "low": ("low", "low_price", "저가"),
    "close": ("close", "trade_price", "종가", "중가"),  # 중가: a typo that collectors have spread
    "volume": ("volume", "candle_acc_trade_volume", "누적거래량", "거래량"),
}
# Upbit's own `timestamp` is that of the last trade, so its candle times go first.
TIME_NAMES = (
    "candle_date_time_utc",
    "candle_date_time_kst",
    "timestamp",
    "open time",
    "open_time",
    "opened_at",
    "datetime",
    "date",
    "time",
    "캔들기준시간",
    "날짜",
    "일시",
    "시간",
)
KOREA, UTC = "Asia/Seoul", "UTC"


@dataclass(frozen=True)
class Layout:
    """Where the six columns stand in a file, by their place from 0.

    zone: the time zone that the header itself names, else an empty text. ignored: names of the columns that are not used.
    """

    form: str
    time: int
    numbers: dict[str, int]
    zone: str
    ignored: tuple[str, ...]

    @property
    def places(self) -> dict[str, int]:
        """The wanted columns, time first."""
        return {"time": self.time, **self.numbers}


def read_header(header: list[str], *, name: str) -> Layout:
    """Which column is what. Raises BadInput naming the column that is missing, or that stands twice."""
    if len(header) > MAX_COLUMNS:
        raise BadInput(f"{name}: {len(header)} columns are over the limit of {MAX_COLUMNS}; expected {EXPECTED}.")
    keys = [_key(column) for column in header]
    numbers = {column: _place(names, keys, header, name=name) for column, names in NAMES.items()}
    time = _time_place(keys, header, name=name)
    absent = [column for column, place in [("timestamp", time), *numbers.items()] if place is None]
    if absent:
        raise BadInput(_told_absent(absent[0], header, name=name))
    found = {column: place for column, place in numbers.items() if place is not None}
    used = {time, *found.values()}
    ignored = tuple(column or f"column {place + 1}" for place, column in enumerate(header) if place not in used and keys[place] != "value")
    form = _form(keys, time=time or 0, numbers=found, ignored=ignored)
    return Layout(form=form, time=time or 0, numbers=found, zone=_zone(header[time or 0]), ignored=ignored)


def _key(column: str) -> str:
    return re.sub(r"\s*\(.*\)\s*$", "", column).strip().lower()  # 캔들기준시간(KST 기준) is 캔들기준시간, and says its zone


def _place(names: tuple[str, ...], keys: list[str], header: list[str], *, name: str) -> int | None:
    for wanted in names:
        places = [place for place, key in enumerate(keys) if key == wanted]
        if len(places) > 1:
            raise BadInput(f"{name}: column {header[places[0]]!r} stands twice in the header.")
        if places:
            return places[0]
    return None


def _time_place(keys: list[str], header: list[str], *, name: str) -> int | None:
    named = _place(TIME_NAMES, keys, header, name=name)
    return named if named is not None else _place(INDEX_NAMES, keys, header, name=name)


def _form(keys: list[str], *, time: int, numbers: dict[str, int], ignored: tuple[str, ...]) -> str:
    # pyupbit always writes `value`; an unnamed index without it may be anybody's, so its zone is asked for.
    if keys[time] in INDEX_NAMES:
        return PYUPBIT if "value" in keys and not ignored else OTHER
    if keys[time].startswith("candle_date_time"):
        return UPBIT_REST
    if keys[numbers["open"]] == "시가":
        return KOREAN
    return OURS if keys[time] == "timestamp" and not ignored else OTHER


def _zone(time_header: str) -> str:
    words = time_header.lower()
    if "kst" in words or "한국" in words:
        return KOREA
    return UTC if "utc" in words else ""


def _told_absent(column: str, header: list[str], *, name: str) -> str:
    known = " or ".join(NAMES.get(column, ("timestamp", "date", "날짜")))
    shown = ", ".join(repr(found) for found in header[:12])
    return f"{name}: column {column!r} is missing (known as {known}); the header has {shown}."
