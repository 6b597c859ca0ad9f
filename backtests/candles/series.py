"""A candle series: six columns of one market, oldest first, that know where they start and what they hash to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.chain import DIGEST_BYTES, HashChain
from dgbot.core.clock import from_nanoseconds, to_nanoseconds
from dgbot.core.interval import Interval
from dgbot.core.types import Candle

PRICE_COLUMNS = ("open", "high", "low", "close")
COLUMNS = ("open_time", *PRICE_COLUMNS, "volume")

Times = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Candles:
    """Closed candles in ascending order; candles nobody traded in are absent.

    open_time: (n,) int64, ns since 1970 UTC. open, high, low, close: (n,) float64, quote. volume: (n,) float64, base.
    The columns are contiguous and read-only; slices of a series are views on it, never copies.
    Raises ValueError when a column has another type or length.
    """

    exchange: str
    symbol: str
    interval: Interval
    open_time: Times = field(repr=False)
    open: Numbers = field(repr=False)
    high: Numbers = field(repr=False)
    low: Numbers = field(repr=False)
    close: Numbers = field(repr=False)
    volume: Numbers = field(repr=False)
    chain: HashChain | None = field(default=None, repr=False)  # shared by a series and its prefixes

    def __post_init__(self) -> None:
        for name in COLUMNS:
            object.__setattr__(self, name, _read_only(getattr(self, name), name=name, length=len(self.open_time)))
        if self.chain is None:
            object.__setattr__(self, "chain", HashChain(self._header()))

    def __len__(self) -> int:
        return len(self.open_time)

    def __iter__(self) -> Iterator[Candle]:
        return (self.candle(index) for index in range(len(self)))

    @property
    def first_opened_at(self) -> datetime | None:
        """Open time of the first candle: the anchor when the signals start here. None when empty."""
        return from_nanoseconds(self.open_time[0]) if len(self) else None

    @property
    def last_opened_at(self) -> datetime | None:
        """Open time of the last candle, None when empty."""
        return from_nanoseconds(self.open_time[-1]) if len(self) else None

    @property
    def last_closed_at(self) -> datetime | None:
        """The instant from which the last candle is known, None when empty."""
        return from_nanoseconds(self.open_time[-1] + self.interval.nanoseconds) if len(self) else None

    def candle(self, index: int) -> Candle:
        """One candle as a value in Decimal, with the digits its floats print."""
        open_, high, low, close, volume = (Decimal(repr(float(getattr(self, name)[index]))) for name in COLUMNS[1:])
        return Candle(opened_at=from_nanoseconds(self.open_time[index]), open=open_, high=high, low=low, close=close, volume=volume)

    def prefix(self, count: int) -> "Candles":
        """The first `count` candles as views that share this series' hash chain."""
        return self if count >= len(self) else self._cut(slice(0, count), chain=self.chain)

    def followed_by(self, candles: Sequence[Candle]) -> "Candles":
        """This series with newer closed candles behind it, sharing the hash chain.

        Raises ValueError when one of them does not open later than the one before it.
        """
        if not candles:
            return self
        opened = np.array([to_nanoseconds(candle.opened_at) for candle in candles], dtype=np.int64)
        if np.any(np.diff(opened, prepend=self.open_time[-1:]) <= 0):
            raise ValueError(f"{self.symbol} {self.interval}: a candle must open later than the one before it")
        columns = {name: np.array([float(getattr(candle, name)) for candle in candles]) for name in COLUMNS[1:]}
        joined: dict[str, Any] = {name: np.append(getattr(self, name), column) for name, column in {"open_time": opened, **columns}.items()}
        return replace(self, **joined, chain=self.chain if len(self) else None)

    def closed_at(self, instant: datetime) -> "Candles":
        """The candles closed at `instant` (aware): what a decision taken then may know."""
        newest = to_nanoseconds(instant) - self.interval.nanoseconds
        return self.prefix(int(np.searchsorted(self.open_time, newest, side="right")))

    def from_anchor(self, anchor_open_time: datetime) -> "Candles":
        """The candles from the one opened at `anchor_open_time` (aware) on, with a hash chain of their own.

        Do this once per load and take prefixes of the result: each call starts a new chain.
        Raises ValueError when no candle opens there: another start would give other recursive indicators.
        """
        wanted = to_nanoseconds(anchor_open_time)
        start = int(np.searchsorted(self.open_time, wanted))
        if start == len(self) or self.open_time[start] != wanted:
            raise ValueError(f"{self.symbol} {self.interval} has no candle opened at the anchor {anchor_open_time.isoformat()}")
        return self if start == 0 else self._cut(slice(start, None), chain=None)

    def opened_within(self, start: datetime, end: datetime) -> "Candles":
        """The candles opened in [start, end), both aware, with a hash chain of their own."""
        first, last = np.searchsorted(self.open_time, [to_nanoseconds(start), to_nanoseconds(end)])
        return self._cut(slice(int(first), int(last)), chain=None)

    def hash_chain(self) -> NDArray[np.uint8]:
        """(n + 1, 32) uint8, read-only: the digest after 0, 1, … n candles, computed once for a series and all its prefixes."""
        digests = self._chain().digests(self._rows, start=0, stop=len(self) + 1)
        return np.frombuffer(digests, dtype=np.uint8).reshape(-1, DIGEST_BYTES)

    def hash_at(self, count: int) -> str:
        """The digest (hex) after the first `count` candles: what a decision stores to prove its input.

        Raises ValueError for a count outside [0, n].
        """
        if not 0 <= count <= len(self):
            raise ValueError(f"count must lie in 0…{len(self)}, was {count}")
        return self._chain().digest(self._rows, count=count).hex()

    def _chain(self) -> HashChain:
        assert self.chain is not None  # set in __post_init__
        return self.chain

    def _rows(self, start: int, stop: int) -> bytes:
        packed = np.empty(stop - start, dtype=[(name, "<i8" if name == "open_time" else "<f8") for name in COLUMNS])
        for name in COLUMNS:
            packed[name] = getattr(self, name)[start:stop]
        return packed.tobytes()

    def _header(self) -> bytes:
        anchor = int(self.open_time[0]) if len(self) else 0
        return f"dgbot candles 1\n{self.exchange}\n{self.symbol}\n{self.interval}\n{anchor}\n".encode()

    def _cut(self, part: slice, *, chain: HashChain | None) -> "Candles":
        return replace(self, **{name: getattr(self, name)[part] for name in COLUMNS}, chain=chain)


def _read_only(column: NDArray[np.generic], *, name: str, length: int) -> NDArray[np.generic]:
    expected = np.int64 if name == "open_time" else np.float64
    if column.dtype != expected or column.shape != (length,):
        raise ValueError(f"{name} must be {expected.__name__} of shape ({length},), was {column.dtype} of shape {column.shape}")
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view
