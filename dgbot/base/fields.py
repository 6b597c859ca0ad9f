"""Columns with one meaning everywhere: money is NUMERIC(38,18), machine time is PostgreSQL's clock."""

from typing import Any

from django.db import models
from django.db.models import Func, Q

from dgbot.core.money import DECIMAL_PLACES, LARGEST, MAX_DIGITS


class MoneyField(models.DecimalField):
    """A price, an amount or a sum of money. Bounds stand in the model's constraints, see `bounded`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["max_digits"] = MAX_DIGITS
        options["decimal_places"] = DECIMAL_PLACES
        super().__init__(*args, **options)

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        name, path, args, options = super().deconstruct()
        del options["max_digits"], options["decimal_places"]
        return name, path, args, options


class ClockTimestamp(Func):
    """PostgreSQL's wall clock at this very statement. `now()` would be the transaction's start."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()


def bounded(table: str, /, **fields: str) -> list[models.BaseConstraint]:
    """One CHECK for each field: 'positive', 'not_negative' or 'signed', always below LARGEST.

    The upper bound also refuses NaN, which PostgreSQL sorts above every number. NULL passes; presence is another rule.
    """
    return [_bound(table, name, kind) for name, kind in fields.items()]


def _bound(table: str, name: str, kind: str) -> models.CheckConstraint:
    lower = {"positive": Q(**{f"{name}__gt": 0}), "not_negative": Q(**{f"{name}__gte": 0}), "signed": Q(**{f"{name}__gt": -LARGEST})}[kind]
    return models.CheckConstraint(condition=lower & Q(**{f"{name}__lt": LARGEST}), name=f"{table}_{name}_{kind}")
