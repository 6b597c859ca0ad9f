"""Filters of lists, made from the model's own columns. What is not a filter is refused: a mistyped name would show everything."""

from collections.abc import Iterable
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError as Invalid

from dgbot.base.rest.fields import Instant

LARGEST_ID = 2**63 - 1


class _WholeNumber(forms.IntegerField):
    """Digits only."""

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        if not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20):
            raise ValidationError(gettext_lazy("Write a whole number."))
        return int(value)


class _InstantField(forms.CharField):
    """As the API writes times."""

    def clean(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        try:
            return Instant().to_internal_value(value)
        except Invalid as error:
            raise ValidationError([str(one) for one in error.detail]) from None


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": LARGEST_ID})
class IdFilter(django_filters.Filter):
    """The id of a row this one belongs to. Ids of others' rows find nothing, as unknown ones do."""

    field_class = _WholeNumber

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=LARGEST_ID, **options)


@extend_schema_field(OpenApiTypes.DATETIME)
class InstantFilter(django_filters.Filter):
    """A bound in time."""

    field_class = _InstantField


class _TrueFalse(forms.Field):
    """`true` or `false`."""

    def clean(self, value: Any) -> bool | None:
        if value in self.empty_values:
            return None
        if value not in ("true", "false"):
            raise ValidationError(gettext_lazy("Write true or false."))
        return bool(value == "true")


@extend_schema_field(OpenApiTypes.BOOL)
class TruthFilter(django_filters.Filter):
    """A switch."""

    field_class = _TrueFalse


def filters(model: type[models.Model], *, exact: Iterable[str] = (), ids: Iterable[str] = (), times: Iterable[str] = ()) -> Any:
    """A filter set. exact: columns compared for equality. ids: foreign keys. times: columns, each as `…_from` (at or after) and
    `…_to` (before).
    """
    found: dict[str, Any] = {name: _exact(model._meta.get_field(name)) for name in exact}
    for name in ids:
        field: Any = model._meta.get_field(name)
        found[name] = IdFilter(field_name=field.attname, label=str(field.verbose_name))
    for name in times:
        found[f"{name}_from"] = InstantFilter(field_name=name, lookup_expr="gte", label="At or after.")
        found[f"{name}_to"] = InstantFilter(field_name=name, lookup_expr="lt", label="Before.")
    meta = type("Meta", (), {"model": model, "fields": []})
    return type(f"{model.__name__}Filters", (django_filters.FilterSet,), {**found, "Meta": meta})


def _exact(field: Any) -> django_filters.Filter:
    if isinstance(field, models.BooleanField):
        return TruthFilter(field_name=field.name, label=str(field.verbose_name))
    if field.choices:
        return django_filters.ChoiceFilter(field_name=field.name, choices=field.choices, label=str(field.verbose_name))
    return django_filters.CharFilter(field_name=field.name, max_length=field.max_length, label=str(field.verbose_name), strip=False)


def refuse_unknown(given: Iterable[str], *, known: set[str]) -> None:
    """Raise ValidationError naming the first query parameter that means nothing here."""
    for name in given:
        if name not in known:
            told = _("There is no such parameter here; known are %(known)s.") % {"known": ", ".join(sorted(known)) or _("none")}
            raise Invalid({name[:60]: [told]})
