"""Candle files as columns of text or numbers: CSV (plain, gzip or alone in a zip) and Parquet, told apart by their first bytes."""

import csv
import gzip
import io
import zipfile
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

from backtests.candles import numbers
from backtests.candles.headers import Layout, read_header
from backtests.candles.views import numbers_of
from dgbot.core.errors import BadInput

MAX_ROWS = 20_000_000  # 38 years of minutes
MAX_BYTES = MAX_ROWS * 120  # unpacked text; a row of ours takes about 60
MAX_LINE_BYTES = 65_536
MAX_BLOCK_BYTES = 1 << 30
CHUNK_BYTES = 4 * 1024 * 1024
UTF8, CP949 = "utf-8", "cp949"
ENCODINGS = (UTF8, CP949)  # cp949: what Korean spreadsheets write
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DELIMITERS = (",", ";", "\t")

Unpacked = IO[bytes] | gzip.GzipFile


@dataclass(frozen=True)
class RawColumns:
    """The columns of a file before anything is believed. `first_row` is what people call the first row of data."""

    name: str
    layout: Layout
    columns: dict[str, pa.Array]  # time, open, high, low, close, volume
    labels: dict[str, str]  # what the file calls them
    row_word: str  # line, row
    first_row: int

    @property
    def form(self) -> str:
        """Whose form it is."""
        return self.layout.form

    @property
    def times(self) -> pa.Array:
        """The column of open times as it was read."""
        return self.columns["time"]

    def place(self, index: int) -> str:
        """Where row `index` (from 0) stands in the file: `line 17`."""
        return f"{self.row_word} {index + self.first_row}"

    def numbers(self, name: str, *, thousands: str | None = None) -> NDArray[np.float64]:
        """(n,) float64. Raises BadInput naming the first cell that is no number; NaN and infinity pass, to be counted.

        thousands: what a comma means, `comma` or `none`; None asks for it unless the file proves it.
        """
        column = self.columns[name]
        if not _can_be_number(column.type):
            raise BadInput(f"{self.name}: column {self.labels[name]!r} holds {column.type}, not numbers.")
        try:
            return _filled(pc.cast(column, pa.float64()))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return self._as_people_write(name, thousands=thousands)

    def is_shortened(self, name: str) -> bool:
        """Whether the column has numbers like `4.96K`, whose last digits are lost."""
        column = self.columns[name]
        return _is_text(column.type) and numbers.has_suffix(column)

    def _as_people_write(self, name: str, *, thousands: str | None) -> NDArray[np.float64]:
        column = pc.utf8_trim_whitespace(self.columns[name])
        strange = numbers.written_otherwise(column)
        comma = numbers.first_with_comma(column)
        if strange is None and comma is not None and thousands is None and not self._proves_thousands():
            raise BadInput(
                f"{self.name}: {self.place(comma)}, column {self.labels[name]!r}: whether the comma of {column[comma].as_py()!r} separates "
                "thousands cannot be told; if it does, say so with --thousands comma."
            )
        if strange is None and comma is not None and thousands == numbers.NO_COMMA:
            strange = comma
        if strange is not None:
            text = column[strange].as_py()
            found = f"{text!r} is not a number like 1234.5" if text else "the cell is empty"
            raise BadInput(f"{self.name}: {self.place(strange)}, column {self.labels[name]!r}: {found}.")
        return numbers.parse(column)

    def _proves_thousands(self) -> bool:
        return any(_is_text(column.type) and numbers.is_proof_of_thousands(column) for key, column in self.columns.items() if key != "time")


def read_columns(path: Path, *, encoding: str = UTF8, name: str = "") -> RawColumns:
    """The columns of a candle file. Raises BadInput for anything that is not one, before reading more of it than needed.

    encoding: of text, one of ENCODINGS. name: what to call the file, by default its own name.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            columns = _read_by_magic(file, magic, name=name or path.name, encoding=encoding)
    except OSError as error:
        raise BadInput(f"{name or path.name} cannot be read: {error.strerror or error}.") from error
    if len(columns.times) == 0:
        raise BadInput(f"{name or path.name}: there is a header but no row.")
    return columns


def _read_by_magic(file: IO[bytes], magic: bytes, *, name: str, encoding: str) -> RawColumns:
    if magic == b"":
        raise BadInput(f"{name}: the file is empty.")
    if magic == b"PAR1":
        return _read_parquet(file, name=name)
    if magic.startswith(b"\x1f\x8b"):
        with gzip.open(file) as unpacked:
            return _read_csv(unpacked, name=name, encoding=encoding)
    if magic == b"PK\x03\x04":
        return _read_zip(file, name=name, encoding=encoding)
    return _read_csv(file, name=name, encoding=encoding)


def _read_zip(file: IO[bytes], *, name: str, encoding: str) -> RawColumns:
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.namelist() if not member.endswith("/")]
            if "[Content_Types].xml" in members:
                raise BadInput(f"{name}: this is a spreadsheet; save it as CSV first.")
            if len(members) != 1:
                raise BadInput(f"{name}: the zip archive holds {len(members)} files; import them one by one.")
            with archive.open(members[0]) as unpacked:
                return _read_csv(unpacked, name=name, encoding=encoding)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # RuntimeError: it asks for a password
        raise BadInput(f"{name}: the zip archive is damaged or cannot be opened ({error}).") from error


def _read_csv(file: Unpacked, *, name: str, encoding: str) -> RawColumns:
    text = _read_text(file, name=name, encoding=encoding)
    end_of_header = text.index(b"\n")
    delimiter, header = _header(text[:end_of_header], name=name, encoding=UTF8)
    layout = read_header(header, name=name)
    labels = {key: header[place] for key, place in layout.places.items()}
    if end_of_header == len(text) - 1:
        empty = {key: pa.array([], type=pa.string()) for key in layout.places}
        return RawColumns(name=name, layout=layout, columns=empty, labels=labels, row_word="line", first_row=2)
    table = _parsed(text, layout, width=len(header), delimiter=delimiter, name=name)
    columns = dict(zip(layout.places, (_joined(column) for column in table.columns), strict=True))
    return RawColumns(name=name, layout=layout, columns=columns, labels=labels, row_word="line", first_row=2)


def _parsed(text: bytes, layout: Layout, *, width: int, delimiter: str, name: str) -> pa.Table:
    """Numbers as numbers where all are plain; else every cell as text, so that the first strange one can be named."""
    for number_type in (pa.float64(), pa.string()):
        try:
            return _read_table(text, layout, width=width, delimiter=delimiter, number_type=number_type)
        except pa.ArrowInvalid as error:
            if number_type == pa.string():
                raise BadInput(f"{name}: {_told(error)}.") from None
    raise AssertionError  # the loop returns or raises


def _read_table(text: bytes, layout: Layout, *, width: int, delimiter: str, number_type: pa.DataType) -> pa.Table:
    wanted = [f"f{place}" for place in layout.places.values()]
    types = {f"f{place}": number_type for place in layout.numbers.values()} | {f"f{layout.time}": pa.string()}
    return pacsv.read_csv(
        pa.BufferReader(text),
        # One thread, so that a malformed line is named by its number.
        read_options=pacsv.ReadOptions(
            use_threads=False,
            block_size=min(len(text), MAX_BLOCK_BYTES),  # in one piece: joining pieces would copy every column
            skip_rows=1,
            column_names=[f"f{index}" for index in range(width)],
        ),
        parse_options=pacsv.ParseOptions(ignore_empty_lines=False, delimiter=delimiter),
        convert_options=pacsv.ConvertOptions(include_columns=wanted, column_types=types, null_values=[], strings_can_be_null=False),
    )


def _read_text(file: Unpacked, *, name: str, encoding: str) -> bytes:
    """The whole text in UTF-8 without byte order mark and trailing blank lines, refused as soon as it cannot be a candle file."""
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
                read_header(_header(chunk.partition(b"\n")[0], name=name, encoding=encoding)[1], name=name)
                chunk = chunk.removeprefix(BYTE_ORDER_MARK)
            chunks.append(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"{name}: the packed data is damaged or cut off ({error}).") from error
    while chunks and not (stripped := chunks.pop().rstrip(b"\r\n")):
        pass  # blank lines at the end
    text = b"".join([*chunks, stripped, b"\n"])
    return text if encoding == UTF8 else _recoded(text, encoding=encoding, name=name)


def _recoded(text: bytes, *, encoding: str, name: str) -> bytes:
    try:
        return text.decode(encoding).encode()
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise BadInput(f"{name}: line {line} is not {encoding} text; --encoding is wrong.") from None


def _header(line: bytes, *, name: str, encoding: str) -> tuple[str, list[str]]:
    """The delimiter and the names."""
    try:
        text = line.removeprefix(BYTE_ORDER_MARK).decode(encoding).rstrip("\r")
    except UnicodeDecodeError:
        remedy = "say --encoding cp949 if a Korean spreadsheet wrote it" if encoding == UTF8 else "--encoding is wrong"
        raise BadInput(f"{name}: line 1 is not {encoding.upper()} text; {remedy}.") from None
    rows = {delimiter: next(csv.reader(io.StringIO(text), delimiter=delimiter), []) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda each: len(rows[each]))
    return delimiter, rows[delimiter]


def _read_parquet(file: IO[bytes], *, name: str) -> RawColumns:
    try:
        parquet = pq.ParquetFile(file)
        header = parquet.schema_arrow.names
        layout = read_header(header, name=name)
        if parquet.metadata.num_rows > MAX_ROWS:
            raise BadInput(f"{name}: {parquet.metadata.num_rows:,} rows are over the limit of {MAX_ROWS:,}; split the file.")
        labels = {key: header[place] for key, place in layout.places.items()}
        table = parquet.read(columns=list(labels.values()))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(f"{name}: the Parquet file is damaged or cannot be read ({_told(error)}).") from error
    columns = {key: _joined(table.column(label)) for key, label in labels.items()}
    return RawColumns(name=name, layout=layout, columns=columns, labels=labels, row_word="row", first_row=1)


def _joined(column: pa.ChunkedArray) -> pa.Array:
    joined = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return joined.dictionary_decode() if pa.types.is_dictionary(joined.type) else joined


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _can_be_number(kind: pa.DataType) -> bool:
    return bool(_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _filled(column: pa.Array) -> NDArray[np.float64]:
    if pa.types.is_decimal(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)  # the nearest floats, which a cast does not give
    return numbers_of(column)


def _told(error: Exception) -> str:
    return " ".join(str(error).removeprefix("CSV parse error: ").replace("Row #", "line ").split())[:200].rstrip(".")
