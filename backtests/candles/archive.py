"""Candles on disk: one Parquet file per series as the store, one uncompressed Arrow file beside it to be memory-mapped.

    <root>/upbit/KRW-BTC_1h.parquet     the truth
    <root>/upbit/KRW-BTC_1h.arrow       its hot copy, rebuilt whenever it is missing or tells of other contents
    <root>/upbit/KRW-BTC_1h.none        time for which the exchange confirmed that it has no candles (Parquet)
    <root>/upbit/KRW-BTC_1h.was/        one Parquet file per correction: what stored candles were before, and became

The first two carry the SHA-256 of the contents. A writer finishes a temporary file and renames it, so a crash at any moment
leaves either the old or the new series, and readers that have mapped the old one keep it. A correction is written before the
series that it changes: a crash between leaves a correction that did not happen, never a change without its record.
"""

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import ipc

from backtests.candles.series import COLUMNS, Candles
from backtests.candles.spans import NOTHING, Spans, spans_of, united
from backtests.candles.views import viewed
from dgbot.core.clock import from_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval

SCHEMA = pa.schema([("open_time", pa.int64())] + [(name, pa.float64()) for name in COLUMNS[1:]])
EXCHANGE_NAME = re.compile(r"[a-z0-9_]{1,32}")
CONFIRMED = ".none"
ABANDONED_AFTER_S = 3600.0
SYMBOL_NAME = re.compile(r"[!-~]{1,64}")  # printable, no space


@dataclass(frozen=True)
class Merged:
    """What an import did to a series. Counts are candles.

    differing: candles that the archive holds with other values and that were left as they are.
    correction: where the replaced values are kept, relative to the root; None when nothing was replaced.
    """

    candles: Candles
    added: int
    replaced: int
    unchanged: int
    differing: int = 0
    correction: Path | None = None


class Conflict(StrEnum):
    """What happens to a stored candle when another one comes with other values."""

    REFUSE = "refuse"  # nothing of the import is taken
    KEEP = "keep"  # the stored one stays, the rest is taken
    REPLACE = "replace"  # the new one is taken and the old one recorded as a correction


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
    table = _to_table(candles)
    _write_atomically(path, lambda file: pq.write_table(table, file, compression="zstd"))
    _write_hot_copy(table, path)
    return path


def load(root: Path, exchange: str, symbol: str, interval: Interval) -> Candles:
    """The whole series, memory-mapped without a copy. Raises BadInput when the archive does not hold it or cannot read it."""
    path = root / relative_path(exchange, symbol, interval)
    if not path.exists():
        raise BadInput(f"The archive has no {interval} candles of {symbol} at {exchange}; import them with `manage.py import_candles`.")
    columns: dict[str, Any] = {name: viewed(column) for name, column in zip(COLUMNS, _mapped(path).columns, strict=True)}
    return Candles(exchange=exchange, symbol=symbol, interval=interval, **columns)


def merge(candles: Candles, root: Path, *, conflict: Conflict = Conflict.REFUSE, confirmed: Spans = NOTHING) -> Merged:
    """Add candles to what the archive holds, under a lock, so that two imports at once lose nothing.

    confirmed: time for which the exchange said that it has no candles; it is added to what is known of that kind.
    Raises BadInput naming the first timestamp whose values differ from the archive's when `conflict` is REFUSE; nothing is
    written then.
    """
    path = root / relative_path(candles.exchange, candles.symbol, candles.interval)
    with _locked(path):
        _sweep(path.parent)
        merged = _merged_with_stored(candles, root, conflict=conflict)
        if merged.correction is not None:
            _write_atomically(root / merged.correction, lambda file: pq.write_table(_changes(candles, merged, root), file))
        if merged.added or merged.replaced:
            save(merged.candles, root)
        _add_confirmed(path, confirmed)
        return merged


def confirmed_empty(root: Path, exchange: str, symbol: str, interval: Interval) -> Spans:
    """Time for which the exchange confirmed that it has no candles of this series. Raises BadInput when it cannot be read."""
    return _read_confirmed(root / relative_path(exchange, symbol, interval))


def read_correction(root: Path, correction: Path) -> pa.Table:
    """What a correction changed: open_time (ns since 1970), then `<column>_before` and `<column>_after` of each replaced candle."""
    return pq.read_table(root / correction, memory_map=False)


def merged_with(old: Candles, new: Candles, *, conflict: Conflict = Conflict.REFUSE) -> Merged:
    """`old` and `new` as one series. Raises BadInput when they contradict each other and `conflict` is REFUSE."""
    in_old, in_new, differs = _differences(old, new)
    count = int(differs.sum())
    if count and conflict is Conflict.REFUSE:
        raise BadInput(_contradiction(old, new, at=from_nanoseconds(old.open_time[in_old][differs][0]).isoformat(), count=count))
    replaced, unchanged, added = (count if conflict is Conflict.REPLACE else 0), len(in_old) - count, len(new) - len(in_old)
    if not added and not replaced:
        return Merged(candles=old, added=0, replaced=0, unchanged=unchanged, differing=count)
    from_old, from_new = np.ones(len(old), dtype=bool), np.ones(len(new), dtype=bool)
    if conflict is Conflict.REPLACE:
        from_old[in_old] = False
    else:
        from_new[in_new] = False
    order = np.argsort(np.concatenate([old.open_time[from_old], new.open_time[from_new]]), kind="stable")
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(old, name)[from_old], getattr(new, name)[from_new]])[order] for name in COLUMNS
    }
    candles = Candles(exchange=old.exchange, symbol=old.symbol, interval=old.interval, **columns)
    return Merged(candles=candles, added=added, replaced=replaced, unchanged=unchanged, differing=count - replaced)


def _differences(old: Candles, new: Candles) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Rows of `old` and of `new` with the same open time, and which of these pairs have other values."""
    _, in_old, in_new = np.intersect1d(old.open_time, new.open_time, assume_unique=True, return_indices=True)
    differs = np.zeros(len(in_old), dtype=bool)
    for name in COLUMNS[1:]:
        differs |= getattr(old, name)[in_old] != getattr(new, name)[in_new]
    return in_old, in_new, differs


def _merged_with_stored(candles: Candles, root: Path, *, conflict: Conflict) -> Merged:
    path = relative_path(candles.exchange, candles.symbol, candles.interval)
    if not (root / path).exists():
        return Merged(candles=candles, added=len(candles), replaced=0, unchanged=0)
    merged = merged_with(load(root, candles.exchange, candles.symbol, candles.interval), candles, conflict=conflict)
    if not merged.replaced:
        return merged
    return replace(merged, correction=path.with_suffix(".was") / f"{content_sha256(merged.candles)[:16]}.parquet")


def _changes(new: Candles, merged: Merged, root: Path) -> pa.Table:
    """open_time, then each value before and after, of the candles that are about to be replaced."""
    old = load(root, new.exchange, new.symbol, new.interval)
    in_old, in_new, differs = _differences(old, new)
    columns = {"open_time": old.open_time[in_old[differs]]}
    for name in COLUMNS[1:]:
        columns |= {f"{name}_before": getattr(old, name)[in_old[differs]], f"{name}_after": getattr(new, name)[in_new[differs]]}
    metadata = {"sha256_before": content_sha256(old), "sha256_after": content_sha256(merged.candles)}
    return pa.table(columns).replace_schema_metadata(metadata)


def _read_confirmed(path: Path) -> Spans:
    kept = path.with_suffix(CONFIRMED)
    if not kept.exists():
        return NOTHING
    try:
        table = pq.read_table(kept, memory_map=False)
        return spans_of(np.stack([table["start"].to_numpy(), table["end"].to_numpy()], axis=1))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise BadInput(
            f"The archive file {kept} cannot be read ({error}); delete it, and the next sync asks the exchange again."
        ) from error


def _add_confirmed(path: Path, confirmed: Spans) -> None:
    known = _read_confirmed(path) if len(confirmed) else NOTHING
    both = united(known, confirmed)
    if not np.array_equal(both, known):
        table = pa.table({"start": both[:, 0], "end": both[:, 1]})
        _write_atomically(path.with_suffix(CONFIRMED), lambda file: pq.write_table(table, file, compression="zstd"))


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
    path.parent.mkdir(parents=True, exist_ok=True)
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


def _sweep(folder: Path) -> None:
    """Remove what killed writers left; a living one finishes within seconds."""
    for left in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):  # another sweep was first
            if time.time() - left.stat().st_mtime > ABANDONED_AFTER_S:
                left.unlink()


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
