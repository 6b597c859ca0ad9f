"""How values travel: decimals as text without exponent, instants in UTC with their offset."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from dgbot.core.money import parse_decimal, plain

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
DECIMAL_PATTERN = r"^-?[0-9]{1,20}(\.[0-9]{1,18})?$"


@extend_schema_field({"type": "string", "format": "decimal", "pattern": DECIMAL_PATTERN, "example": "50000.5"})
class DecimalText(serializers.Field[Decimal, Any, str, Any]):
    """Text such as `0.0005`. Numbers of JSON are refused: most programs read them as floats, whose digits are guesses already."""

    default_error_messages = {
        "not_text": _('Write it as text, such as "50000.5"; numbers of JSON lose digits on their way.'),
        "not_decimal": _("Not a decimal number of at most 20 digits before and 18 after the point."),
        "too_small": _("It must be at least {least}."),
        "too_large": _("It must be at most {most}."),
    }

    def __init__(self, *, least: Decimal | None = None, most: Decimal | None = None, **options: Any) -> None:
        for unused in ("max_digits", "decimal_places", "min_value", "max_value"):
            options.pop(unused, None)
        super().__init__(**options)
        self.least, self.most = least, most

    def to_internal_value(self, data: Any) -> Decimal:
        """The number written."""
        if not isinstance(data, str):
            self.fail("not_text")
        if not re.match(DECIMAL_PATTERN, data) or data.endswith("\n"):
            self.fail("not_decimal")
        value = parse_decimal(data, name="value")
        if self.least is not None and value < self.least:
            self.fail("too_small", least=plain(self.least))
        if self.most is not None and value > self.most:
            self.fail("too_large", most=plain(self.most))
        return value

    def to_representation(self, value: Any) -> str:
        """Without trailing zeros."""
        return plain(value if isinstance(value, Decimal) else Decimal(value))


@extend_schema_field(OpenApiTypes.DATETIME)
class Instant(serializers.Field[datetime, Any, str, Any]):
    """ISO 8601 with an offset, such as `2026-01-05T03:00:00+00:00`. A time without one is refused: nobody could tell which it is."""

    default_error_messages = {
        "not_instant": _("Not an instant such as 2026-01-05T03:00:00+00:00."),
        "no_offset": _("The offset is missing: write +00:00 or Z for UTC, +09:00 for Seoul."),
        "out_of_range": _("It must lie between 1970 and 9999."),
    }

    def __init__(self, **options: Any) -> None:
        options.pop("format", None)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> datetime:
        """Aware, in UTC."""
        if not isinstance(data, str) or len(data) > 40:
            self.fail("not_instant")
        try:
            value = datetime.fromisoformat(data)
        except ValueError:
            self.fail("not_instant")
        if value.tzinfo is None:
            self.fail("no_offset")
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            self.fail("out_of_range")
        if not EARLIEST <= value <= LATEST:
            self.fail("out_of_range")
        return value

    def to_representation(self, value: datetime) -> str:
        """In UTC."""
        return value.astimezone(UTC).isoformat()


class RowSerializer(serializers.ModelSerializer[Any]):
    """A row as it travels. List the columns in `Meta.fields`; foreign keys travel as ids."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DecimalField: DecimalText,
        models.DateTimeField: Instant,
    }
