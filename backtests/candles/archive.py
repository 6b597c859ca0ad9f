"""Candles on disk: one Parquet file per series as the store, one uncompressed Arrow file beside it to be memory-mapped.

    <root>/upbit/KRW-BTC_1h.parquet     the truth
    <root>/upbit/KRW-BTC_1h.arrow       its hot copy, rebuilt whenever it is missing or tells of other contents

Both carry the SHA-256 of the contents. A writer finishes a temporary file and renames it, so a crash at any moment leaves
either the old or the new series, and readers that have mapped the old one keep it.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from backtests.candles.series import COLUMNS, Candles
from dgbot.core.clock import from_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval

SCHEMA = pa.schema([("open_time", pa.int64())] + [(name, pa.float64()) for name in COLUMNS[1:]])
EXCHANGE_NAME = re.compile(r"[a-z0-9_]{1,32}")
SYMBOL_NAME = re.compile(r"[!-~]{1,64}")  # printable, no space


@dataclass(frozen=True)
class Merged:
    """What an import did to a series."""

    candles: Candles
    added: int
    replaced: int
    unchanged: int


def relative_path(exchange: str, symbol: str, interval: Interval) -> Path:
    """Where a series lies below the root; `ETH/USDT:USDT` becomes `ETH%2FUSDT%3AUSDT`. Raises BadInput for unsafe names."""
    if not EXCHANGE_NAME.fullmatch(exchange):
        raise BadInput(f"An exchange is named by 1 to 32 of a-z, 0-9 and _, was {exchange!r}.")
    if not SYMBOL_NAME.fullmatch(symbol):
        raise BadInput(f"A symbol is 1 to 64 printable characters without spaces, was {symbol!r}.")
    return Path(exchange) / f"{quote(symbol, safe='')}_{interval}.parquet"


def save(candles: Candles, root: Path) -> Path:
    """Store a series, replacing what was there. Returns the Parquet file's path."""
    path = root / relative_path(candles.exchange, candles.symbol, candles.interval)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = _to_table(candles)
    _write_atomically(path, lambda file: pq.write_table(table, file, compression="zstd"))
    _write_hot_copy(table, path)
    return path


def load(root: Path, exchange: str, symbol: str, interval: Interval) -> Candles:
    """The whole series, memory-mapped without a copy. Raises BadInput when the archive does not hold it or cannot read it."""
    path = root / relative_path(exchange, symbol, interval)
    if not path.exists():
        raise BadInput(f"The archive has no {interval} candles of {symbol} at {exchange}; import them with `manage.py import_candles`.")
    columns: dict[str, Any] = {name: column.to_numpy() for name, column in zip(COLUMNS, _mapped(path).columns, strict=True)}
    return Candles(exchange=exchange, symbol=symbol, interval=interval, **columns)


def merge(candles: Candles, root: Path, *, replace: bool = False) -> Merged:
    """Add candles to what the archive holds, under a lock, so that two imports at once lose nothing.

    Raises BadInput naming the first timestamp whose values differ from the archive's, unless `replace`; nothing is written then.
    """
    path = root / relative_path(candles.exchange, candles.symbol, candles.interval)
    with _locked(path):
        if not path.exists():
            save(candles, root)
            return Merged(candles=candles, added=len(candles), replaced=0, unchanged=0)
        merged = merged_with(load(root, candles.exchange, candles.symbol, candles.interval), candles, replace=replace)
        if merged.added or merged.replaced:
            save(merged.candles, root)
        return merged


def merged_with(old: Candles, new: Candles, *, replace: bool) -> Merged:
    """`old` and `new` as one series. Raises BadInput when they contradict each other and `replace` is not given."""
    _, in_old, in_new = np.intersect1d(old.open_time, new.open_time, assume_unique=True, return_indices=True)
    differs = np.zeros(len(in_old), dtype=bool)
    for name in COLUMNS[1:]:
        differs |= getattr(old, name)[in_old] != getattr(new, name)[in_new]
    if differs.any() and not replace:
        raise BadInput(
            _contradiction(old, new, at=from_nanoseconds(old.open_time[in_old][differs][0]).isoformat(), count=int(differs.sum()))
        )
    kept = np.ones(len(old), dtype=bool)
    kept[in_old] = False
    order = np.argsort(np.concatenate([old.open_time[kept], new.open_time]), kind="stable")
    columns: dict[str, Any] = {name: np.concatenate([getattr(old, name)[kept], getattr(new, name)])[order] for name in COLUMNS}
    candles = Candles(exchange=old.exchange, symbol=old.symbol, interval=old.interval, **columns)
    replaced = int(differs.sum())
    return Merged(candles=candles, added=len(new) - len(in_old), replaced=replaced, unchanged=len(in_old) - replaced)


def content_sha256(candles: Candles) -> str:
    """SHA-256 (hex) over the six columns, little-endian, one behind the other: equal contents, equal name."""
    digest = sha256()
    for name in COLUMNS:
        digest.update(getattr(candles, name).astype("<i8" if name == "open_time" else "<f8", copy=False))
    return digest.hexdigest()


def _contradiction(old: Candles, new: Candles, *, at: str, count: int) -> str:
    return (
        f"Nothing imported: {count} of {len(new)} candles of {old.symbol} {old.interval} differ from the archive's, "
        f"the first opened at {at}; import with --replace to overwrite."
    )


def _to_table(candles: Candles) -> pa.Table:
    metadata = {"sha256": content_sha256(candles)}
    return pa.table([pa.array(getattr(candles, name)) for name in COLUMNS], schema=SCHEMA.with_metadata(metadata))


def _mapped(path: Path) -> pa.RecordBatch:
    try:
        wanted = pq.read_schema(path).metadata[b"sha256"]
        batch = _read_hot_copy(path)
        if batch is None or batch.schema.metadata[b"sha256"] != wanted:
            _write_hot_copy(pq.read_table(path), path)
            batch = _read_hot_copy(path)
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise BadInput(f"The archive file {path} cannot be read ({error}); restore it from a backup or import the series again.") from error
    if batch is None or not batch.schema.equals(SCHEMA):
        raise BadInput(f"The archive file {path} is not a candle series; import the series again.")
    return batch


def _read_hot_copy(path: Path) -> pa.RecordBatch | None:
    try:
        reader = ipc.open_file(pa.memory_map(str(path.with_suffix(".arrow"))))
        return reader.get_batch(0) if reader.num_record_batches == 1 else None
    except (pa.ArrowInvalid, OSError):
        return None  # missing or torn: it is made again from the Parquet file


def _write_hot_copy(table: pa.Table, path: Path) -> None:
    # One batch: a column in several pieces could not be mapped as one array.
    batch = pa.record_batch([column.combine_chunks() for column in table.columns], schema=table.schema)

    def write(file: IO[bytes]) -> None:
        with ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)

    _write_atomically(path.with_suffix(".arrow"), write)


def _write_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    with NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
        try:
            write(file)
            os.fchmod(file.fileno(), 0o644)  # temporary files are private, an archive is shared by our processes
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)  # the rename itself must survive a power cut
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # closing the file releases it
        yield
