"""What every room's admin shares: whose rows are shown, facts that cannot be edited, badges, cheap paging."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.admin import ShowFacets
from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.db import connection, models
from django.http import Http404, HttpRequest
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminDecimalFieldWidget

from dgbot.base.fields import MoneyField
from dgbot.base.keyset import KeysetChangeList, columns_of
from dgbot.base.querysets import SEES_ALL
from dgbot.core.money import plain

EXACT_BELOW = 10_000  # rows; fewer are counted, more are estimated from PostgreSQL's statistics
LIST_PAGE = 50


class EstimatingPaginator(Paginator):
    """Counts small results and estimates a long table, whose exact count would cost a full scan."""

    @cached_property
    def count(self) -> int:  # type: ignore[override]  # Django declares a property
        """Rows; approximate for an unfiltered table of more than EXACT_BELOW rows, capped for a filtered one."""
        rows: Any = self.object_list  # the admin passes querysets
        if not rows.query.where:
            estimate = _estimated_rows(rows.model._meta.db_table)
            if estimate > EXACT_BELOW:
                return estimate
        return int(rows.order_by()[:EXACT_BELOW].count())


def _estimated_rows(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)", [table])
        return int((cursor.fetchone() or [0])[0])


class PlainNumberInput(UnfoldAdminDecimalFieldWidget):
    """Money without the zeros of its eighteen decimals."""

    def format_value(self, value: Any) -> str | None:
        """What the input shows."""
        return plain(value) if isinstance(value, Decimal) else super().format_value(value)


class HouseAdmin(ModelAdmin):
    """An admin that shows a user only what is the user's: the model's own `for_user` says what that is."""

    compressed_fields = True
    warn_unsaved_form = True
    list_fullwidth = True
    list_per_page = LIST_PAGE
    list_filter_submit = False
    formfield_overrides: Mapping[type[Any], Mapping[str, Any]] = {MoneyField: {"widget": PlainNumberInput}}

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """The rows `request.user` may see."""
        return _seen_by(request.user, super().get_queryset(request))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row, or 404: another user's row answers exactly as one that does not exist, on every page and every button."""
        row = super().get_object(request, object_id, from_field)
        if row is None:
            raise Http404(_("There is no such row, or it is not yours."))
        return row

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Only rows the user may see can be chosen."""
        kwargs.setdefault("queryset", _seen_by(request.user, db_field.related_model._default_manager.all()))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


def _seen_by(user: Any, rows: Any) -> Any:
    if hasattr(rows, "for_user"):
        return rows.for_user(user)
    if rows.model is get_user_model() and not user.has_perm(SEES_ALL):
        return rows.filter(pk=user.pk)
    return rows


class NoWrites:
    """Neither add nor change nor delete, for whomever."""

    def has_add_permission(self, *_: Any) -> bool:
        """Rows are written by the platform only."""
        return False

    def has_change_permission(self, *_: Any) -> bool:
        """Facts stay as they were recorded."""
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        """What happened is not forgotten."""
        return False


class FactAdmin(NoWrites, HouseAdmin):
    """Rows that record what happened. Every money column is shown with all its digits and no trailing zero.

    A list ordered by its newest is cut along that order and counts nothing, see `keyset`.
    """

    paginator = EstimatingPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # each would count the whole table
    actions = None

    def __init__(self, model: Any, admin_site: Any) -> None:
        super().__init__(model, admin_site)
        for field in _money_fields(model):
            setattr(self, f"{field.name}_exact", _exact(field))

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[Any]:
        """Pages without numbers, where the order allows it."""
        return KeysetChangeList if columns_of(self.ordering) else super().get_changelist(request, **options)

    def get_sortable_by(self, request: HttpRequest) -> Any:
        """Such a list keeps its order: another one would have to be sorted whole."""
        return () if columns_of(self.ordering) else super().get_sortable_by(request)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:  # type: ignore[override]  # a list is a sequence
        """Every column in its order."""
        money = {field.name for field in _money_fields(self.model)}
        names = [field.name for field in self.model._meta.fields]
        return [f"{name}_exact" if name in money else name for name in names]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:  # type: ignore[override]
        """All of them, and whatever the class adds."""
        return [*self.get_fields(request, obj), *self.readonly_fields]


class FactInline(NoWrites, TabularInline):
    """Facts shown beneath the row they belong to."""

    extra = 0
    max_num = 0
    can_delete = False
    show_change_link = False
    tab = False


def _money_fields(model: Any) -> list[MoneyField]:
    return [field for field in model._meta.fields if isinstance(field, MoneyField)]


def _exact(field: MoneyField) -> Callable[[Any], str | None]:
    @admin.display(description=field.verbose_name)
    def show(row: Any) -> str | None:
        value = getattr(row, field.name)
        return None if value is None else plain(value)

    return show
