"""Candle files as columns of text or numbers: CSV (plain or gzip) and Parquet, told apart by their first bytes."""

import csv
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dgbot.core.errors import BadInput

OURS = "ours"
PYUPBIT = "pyupbit"

MAX_ROWS = 20_000_000  # 38 years of minutes
MAX_COLUMNS = 64
MAX_BYTES = MAX_ROWS * 120  # unpacked text; a row of ours takes about 60
MAX_LINE_BYTES = 65_536
CHUNK_BYTES = 4 * 1024 * 1024

NUMBER_COLUMNS = ("open", "high", "low", "close", "volume")
EXPECTED = "timestamp,open,high,low,close,volume[,value]"
INDEX_NAMES = ("", "index", "__index_level_0__")  # how pandas writes an index without a name


@dataclass(frozen=True)
class RawColumns:
    """The columns of a file before anything is believed. `first_row` is what people call the first row of data."""

    name: str
    form: str
    time_column: str
    columns: dict[str, pa.Array]
    row_word: str  # line, row
    first_row: int

    def column(self, name: str) -> pa.Array:
        """One column as it was read."""
        return self.columns[name]

    def place(self, index: int) -> str:
        """Where row `index` (from 0) stands in the file: `line 17`."""
        return f"{self.row_word} {index + self.first_row}"

    def numbers(self, name: str) -> NDArray[np.float64]:
        """(n,) float64. Raises BadInput naming the first cell that is not a plain number; NaN and infinity pass, to be counted."""
        column = self.columns[name]
        if not _can_be_number(column.type):
            raise BadInput(f"{self.name}: column {name!r} holds {column.type}, not numbers.")
        try:
            return _filled(pc.cast(column, pa.float64()))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            index, text = _first_non_number(column)
            found = f"{text!r} is not a plain number like 1234.5" if text else "the cell is empty"
            raise BadInput(f"{self.name}: {self.place(index)}, column {name!r}: {found}.") from None


def read_columns(path: Path) -> RawColumns:
    """The columns of a candle file. Raises BadInput for anything that is not one, before reading more of it than needed."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            columns = _read_by_magic(file, magic, name=path.name)
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if len(columns.columns[columns.time_column]) == 0:
        raise BadInput(f"{path.name}: there is a header but no row.")
    return columns


def _read_by_magic(file: IO[bytes], magic: bytes, *, name: str) -> RawColumns:
    if magic == b"":
        raise BadInput(f"{name}: the file is empty.")
    if magic == b"PAR1":
        return _read_parquet(file, name=name)
    if magic.startswith(b"\x1f\x8b"):
        with gzip.open(file) as unpacked:
            return _read_csv(unpacked, name=name)
    if magic == b"PK\x03\x04":
        raise BadInput(f"{name}: this is a zip archive or a spreadsheet; unpack it or save it as CSV first.")
    return _read_csv(file, name=name)


def _read_csv(file: IO[bytes] | gzip.GzipFile, *, name: str) -> RawColumns:
    text = _read_text(file, name=name)
    head, _, body = text.partition(b"\n")
    header = _header(head, name=name)
    form, time_column = _form_of(header, name=name)
    wanted = [f"f{header.index(column)}" for column in (time_column, *NUMBER_COLUMNS)]
    if not body:
        empty = {column: pa.array([], type=pa.string()) for column in (time_column, *NUMBER_COLUMNS)}
        return RawColumns(name=name, form=form, time_column=time_column, columns=empty, row_word="line", first_row=2)
    try:
        table = pacsv.read_csv(
            pa.BufferReader(text),
            # One thread, so that a malformed line is named by its number.
            read_options=pacsv.ReadOptions(use_threads=False, skip_rows=1, column_names=[f"f{index}" for index in range(len(header))]),
            parse_options=pacsv.ParseOptions(ignore_empty_lines=False),
            convert_options=pacsv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), null_values=[], strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise BadInput(f"{name}: {_told(error)}.") from None
    columns = dict(zip((time_column, *NUMBER_COLUMNS), (_joined(column) for column in table.columns), strict=True))
    return RawColumns(name=name, form=form, time_column=time_column, columns=columns, row_word="line", first_row=2)


def _read_text(file: IO[bytes] | gzip.GzipFile, *, name: str) -> bytes:
    """The whole text without byte order mark and trailing blank lines, refused as soon as it cannot be a candle file."""
    chunks: list[bytes] = []
    size = lines = 0
    try:
        while chunk := file.read(CHUNK_BYTES):
            size, lines = size + len(chunk), lines + chunk.count(b"\n")
            if b"\0" in chunk:
                line = lines - chunk[chunk.index(b"\0") :].count(b"\n") + 1
                raise BadInput(f"{name}: line {line} holds a NUL byte; save the file as UTF-8 text.")
            if len(chunk) > MAX_LINE_BYTES and b"\n" not in chunk[:MAX_LINE_BYTES]:
                raise BadInput(f"{name}: a line is longer than {MAX_LINE_BYTES} bytes, so this is not a candle file.")
            if lines > MAX_ROWS + 1 or size > MAX_BYTES:
                raise BadInput(f"{name}: over {MAX_ROWS:,} rows or {MAX_BYTES:,} bytes of text; split the file.")
            if not chunks:
                _form_of(_header(chunk.partition(b"\n")[0], name=name), name=name)
            chunks.append(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"{name}: the gzip data is damaged or cut off ({error}).") from error
    return b"".join(chunks).removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n") + b"\n"


def _header(line: bytes, *, name: str) -> list[str]:
    try:
        text = line.removeprefix(b"\xef\xbb\xbf").decode().rstrip("\r")
    except UnicodeDecodeError:
        raise BadInput(f"{name}: line 1 is not UTF-8 text.") from None
    return next(csv.reader([text]), [])


def _read_parquet(file: IO[bytes], *, name: str) -> RawColumns:
    try:
        parquet = pq.ParquetFile(file)
        header = parquet.schema_arrow.names
        form, time_column = _form_of(header, name=name)
        if parquet.metadata.num_rows > MAX_ROWS:
            raise BadInput(f"{name}: {parquet.metadata.num_rows:,} rows are over the limit of {MAX_ROWS:,}; split the file.")
        wanted = (time_column, *NUMBER_COLUMNS)
        table = parquet.read(columns=list(wanted))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(f"{name}: the Parquet file is damaged or cannot be read ({_told(error)}).") from error
    columns = {column: _joined(table.column(column)) for column in wanted}
    return RawColumns(name=name, form=form, time_column=time_column, columns=columns, row_word="row", first_row=1)


def _form_of(header: list[str], *, name: str) -> tuple[str, str]:
    """The form and the name of its time column. Raises BadInput naming the column that does not belong."""
    if len(header) > MAX_COLUMNS:
        raise BadInput(f"{name}: {len(header)} columns are over the limit of {MAX_COLUMNS}; expected {EXPECTED}.")
    twice = next((column for index, column in enumerate(header) if column in header[:index]), None)
    if twice is not None:
        raise BadInput(f"{name}: column {twice!r} stands twice in the header.")
    # pyupbit always writes `value`; an unnamed index without it may be anybody's, so its zone is asked for.
    index_name = next((column for column in INDEX_NAMES if column in header), None)
    form = PYUPBIT if index_name is not None and "timestamp" not in header and "value" in header else OURS
    time_column = "timestamp" if "timestamp" in header or index_name is None else index_name
    allowed = (time_column, *NUMBER_COLUMNS, "value")
    unknown = next((index for index, column in enumerate(header) if column not in allowed), None)
    if unknown is not None:
        raise BadInput(f"{name}: column {unknown + 1} is named {header[unknown]!r}; expected {EXPECTED} or pyupbit's form.")
    absent = next((column for column in (time_column, *NUMBER_COLUMNS) if column not in header), None)
    if absent is not None:
        raise BadInput(f"{name}: column {absent!r} is missing; expected {EXPECTED} or pyupbit's form.")
    return form, time_column


def _joined(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return joined.dictionary_decode() if pa.types.is_dictionary(joined.type) else joined


def _can_be_number(kind: pa.DataType) -> bool:
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(is_text or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _filled(column: pa.Array) -> NDArray[np.float64]:
    return np.array(column.to_numpy(zero_copy_only=False), dtype=np.float64)  # a missing value becomes NaN


def _first_non_number(column: pa.Array) -> tuple[int, str]:
    for index, value in enumerate(column):
        try:
            pc.cast(pa.array([value.as_py()], type=column.type), pa.float64())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return index, str(value.as_py())
    return 0, str(column[0].as_py())


def _told(error: Exception) -> str:
    return " ".join(str(error).removeprefix("CSV parse error: ").replace("Row #", "line ").split())[:200].rstrip(".")
