"""Query parameters as Upbit reads them: repeated keys, keys with brackets, comma lists, times."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from urllib.parse import unquote

from tests.fakes.upbit.errors import UpbitRefusal


class Parameters:
    """A parsed query."""

    def __init__(self, raw_query: str) -> None:
        self._pairs = [pair.partition("=")[::2] for pair in raw_query.split("&") if pair]

    def one(self, name: str) -> str | None:
        """The last value of a key, or None."""
        values = self._values({name})
        return values[-1] if values else None

    def many(self, name: str) -> list[str]:
        """Every value of `name` and `name[]`, commas split."""
        return [part for value in self._values({name, f"{name}[]"}) for part in value.split(",") if part]

    def number(self, name: str, *, default: int, maximum: int) -> int:
        """A positive whole number. Raises UpbitRefusal."""
        given = self.one(name)
        if given is None:
            return default
        if not given.isdigit() or not 1 <= int(given) <= maximum:
            raise UpbitRefusal(400, 400, "Invalid parameter. Check the given value!")
        return int(given)

    def _values(self, names: Iterable[str]) -> list[str]:
        return [unquote(value) for name, value in self._pairs if unquote(name) in names]


def instant(given: str) -> datetime:
    """ISO 8601 (without a zone it is UTC) or milliseconds since 1970. Raises UpbitRefusal."""
    if given.isdigit():
        return datetime.fromtimestamp(int(given) / 1000, tz=UTC)
    try:
        parsed = datetime.fromisoformat(given)
    except ValueError:
        raise UpbitRefusal(400, 400, "Type mismatch error. Check the parameters type!") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def amount(body: dict[str, object], name: str) -> Decimal | None:
    """A number sent as a string in plain digits. Raises UpbitRefusal for numbers, exponents and nonsense."""
    given = body.get(name)
    if given is None:
        return None
    if not isinstance(given, str) or not set(given) <= set("0123456789."):
        raise UpbitRefusal(400, "validation_error")
    try:
        return Decimal(given)
    except InvalidOperation:
        raise UpbitRefusal(400, "validation_error") from None
