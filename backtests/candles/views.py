"""Arrow columns as numpy ones. pyarrow's own way loads pandas first, a third of a second of a command that needs none of it."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def viewed(column: pa.Array) -> NDArray[Any]:
    """A column of int64, of times or of float64 without nulls as a view on its memory."""
    kind = np.float64 if column.type == pa.float64() else np.int64
    return np.frombuffer(column.buffers()[1], dtype=kind, count=len(column), offset=column.offset * 8)


def numbers_of(column: pa.Array) -> NDArray[np.float64]:
    """A column of numbers, (n,) float64; what is missing becomes NaN."""
    floats = pc.cast(column, pa.float64(), safe=False)
    numbers: NDArray[np.float64] = viewed(floats)
    if not floats.null_count:
        return numbers
    is_there = np.unpackbits(np.frombuffer(floats.buffers()[0], dtype=np.uint8), bitorder="little")
    return np.where(is_there[floats.offset : floats.offset + len(floats)], numbers, np.nan)
