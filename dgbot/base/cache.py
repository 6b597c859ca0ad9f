"""What the cache stores: JSON only. Pickle would let whoever reaches Redis run code here."""

import json
from typing import Any


class JsonSerializer:
    """Django's Redis cache calls it. Integers stay bare, so that Redis can count with them."""

    def dumps(self, value: Any) -> int | bytes:
        """The stored form of `value`. Raises TypeError for what JSON cannot say."""
        return value if type(value) is int else json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        """The value stored as `data`."""
        return json.loads(data)
