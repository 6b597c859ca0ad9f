"""A hash chained candle by candle, so that any prefix of a series has a name that costs nothing to look up."""

from collections.abc import Callable
from hashlib import sha256
from threading import Lock

ROW_BYTES = 48  # open_time as <i8, then open, high, low, close and volume as <f8
DIGEST_BYTES = 32

PackRows = Callable[[int, int], bytes]


class HashChain:
    """h(0) = sha256(header), h(i) = sha256(h(i − 1) ‖ row i). Grows on demand and never computes a digest twice."""

    def __init__(self, header: bytes) -> None:
        self._digests = bytearray(sha256(header).digest())
        self._lock = Lock()

    def digest(self, rows: PackRows, *, count: int) -> bytes:
        """The digest after `count` candles. `rows(start, stop)` packs candles start…stop − 1, ROW_BYTES each."""
        return self.digests(rows, start=count, stop=count + 1)

    def digests(self, rows: PackRows, *, start: int, stop: int) -> bytes:
        """The digests after start…stop − 1 candles, one behind the other."""
        with self._lock:
            self._grow(rows, count=stop - 1)
            return bytes(self._digests[start * DIGEST_BYTES : stop * DIGEST_BYTES])

    def _grow(self, rows: PackRows, *, count: int) -> None:
        known = len(self._digests) // DIGEST_BYTES - 1
        if known >= count:
            return
        digest, packed = bytes(self._digests[-DIGEST_BYTES:]), rows(known, count)
        for at in range(0, len(packed), ROW_BYTES):
            digest = sha256(digest + packed[at : at + ROW_BYTES]).digest()
            self._digests += digest
