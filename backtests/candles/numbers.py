"""Numbers as people and vendors write them: `57,195,000`, `4.96K`. What may mean two things is not read without being told."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from backtests.candles.views import numbers_of

COMMA, NO_COMMA = "comma", "none"
THOUSANDS = (COMMA, NO_COMMA)

_GROUPED = r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?"
_PLAIN = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_WRITTEN = rf"^({_GROUPED}|{_PLAIN})[KMBkmb]?$|^[+-]?(nan|inf|infinity)$"
_PROOF = re.compile(r"\d,\d{3},\d{3}|\d,\d{3}\.\d")  # only thousands separators look like this
_EXPONENTS = {"K": "e3", "M": "e6", "B": "e9"}


def is_proof_of_thousands(column: pa.Array) -> bool:
    """Whether some cell can only be read with the comma as separator of thousands: two commas, or a comma and then a point."""
    return bool(pc.any(pc.match_substring_regex(column, _PROOF.pattern)).as_py())


def written_otherwise(column: pa.Array) -> int | None:
    """The first row (from 0) of a text column that is no number in any of the known spellings; None when all are."""
    strange = pc.invert(pc.match_substring_regex(column, _WRITTEN, ignore_case=True))
    at = pc.index(strange, True).as_py()
    return None if at < 0 else at


def first_with_comma(column: pa.Array) -> int | None:
    """The first row (from 0) with a comma, None without one."""
    at = pc.index(pc.match_substring(column, ","), True).as_py()
    return None if at < 0 else at


def has_suffix(column: pa.Array) -> bool:
    """Whether some cell is shortened: `4.96K` has three digits of what was more."""
    return bool(pc.any(pc.match_substring_regex(column, r"[KMBkmb]$")).as_py())


def parse(column: pa.Array) -> NDArray[np.float64]:
    """(n,) float64 of a text column in the known spellings, each correctly rounded: `4.96K` is read as 4.96e3."""
    text = pc.replace_substring(column, ",", "")
    for suffix, exponent in _EXPONENTS.items():
        text = pc.replace_substring_regex(text, f"[{suffix}{suffix.lower()}]$", exponent)
    return numbers_of(text).copy()
