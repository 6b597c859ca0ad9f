"""Long lists of facts: filters and search through indexes, totals of what is filtered, and files of exactly these rows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dgbot.base import exporting
from dgbot.base.adding_up import MOST_ADDED, grouped
from dgbot.base.admin import FactAdmin
from dgbot.base.badges import number
from dgbot.base.filters import PeriodFilter
from dgbot.base.keyset import columns_of, in_chunks

WORDS = "words"  # the annotation of a search whose words are read row by row
CHUNK = 2_000  # rows of a file read in one statement


@dataclass(frozen=True)
class Totals:
    """What the head of a list tells of all filtered rows: labels with values, or why they are unknown."""

    items: tuple[tuple[Any, Any], ...] = ()
    unknown: str = ""


@dataclass(frozen=True)
class Head:
    """What stands above a long list: periods to choose from, totals, links."""

    periods: tuple[dict[str, Any], ...]
    totals: Totals | None
    links: tuple[tuple[Any, str, str], ...]  # label, address, icon


def totals(
    rows: QuerySet[Any],
    tell: Callable[[list[dict[str, Any]]], Iterable[tuple[Any, Any]]],
    *,
    by: dict[str, str],
    sums: dict[str, str] | None = None,
) -> Totals:
    """Totals of `rows` as `tell` puts the groups of `by`; unknown when there are too many rows to be added up at once."""
    if WORDS in rows.query.annotations:
        return Totals(unknown=_("Unknown: these words are too frequent to be added up."))
    found = grouped(rows, by=by, sums=sums)
    if found is None:
        text = _("Unknown: more than %(most)s rows match. A shorter period or one bot makes them few enough to be added up.")
        return Totals(unknown=text % {"most": f"{MOST_ADDED:,}"})
    return Totals(items=((_("Rows"), f"{sum(row['count'] for row in found):,}"), *tell(found)))


class HistoryAdmin(FactAdmin):
    """A long list with its head. export_paths: the columns of its files, as paths from the row; without any there are no files."""

    list_before_template = "admin/history_head.html"
    export_paths: tuple[str, ...] = ()

    @admin.display(description=gettext_lazy("at"))
    def at(self, row: Any) -> SafeString:
        """The time the list is ordered by, to the second, in the reader's zone."""
        return number(f"{timezone.localtime(getattr(row, columns_of(self.ordering)[0])):%Y-%m-%d %H:%M:%S}")

    def search(self, request: HttpRequest, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """What a term means in this list."""
        raise NotImplementedError

    def totals_of(self, rows: QuerySet[Any]) -> Totals | None:
        """What is told of all filtered rows; nothing here."""
        return None

    def links_of(self, changelist: Any) -> tuple[tuple[Any, str, str], ...]:
        """Where to go from this list: label, address, icon. The files of exactly these rows."""
        if not self.export_paths:
            return ()
        name, chosen = self._url_name(), changelist.get_query_string()
        return (
            ("CSV", f"{reverse(f'admin:{name}_export_csv')}{chosen}", "download"),
            ("Excel", f"{reverse(f'admin:{name}_export_excel')}{chosen}", "table_view"),
        )

    def head_of(self, changelist: Any) -> Head:
        """Everything above the list."""
        period = next((spec for spec in changelist.filter_specs if isinstance(spec, PeriodFilter)), None)
        return Head(
            periods=() if period is None else tuple(period.choices(changelist)),
            totals=self.totals_of(changelist.queryset),
            links=self.links_of(changelist),
        )

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """The rows that `search` finds; none is found twice."""
        term = search_term.strip().replace("\x00", "")
        return (self.search(request, queryset, term) if term else queryset), False

    def get_urls(self) -> list[Any]:
        """The files stand before the paths of single rows."""
        name = self._url_name()
        files = [
            path("export.csv", self.admin_site.admin_view(self.export_csv), name=f"{name}_export_csv"),
            path("export.xlsx", self.admin_site.admin_view(self.export_excel), name=f"{name}_export_excel"),
        ]
        return [*(files if self.export_paths else []), *super().get_urls()]

    def export_csv(self, request: HttpRequest) -> HttpResponseBase:
        """All filtered rows, however many."""
        pieces = exporting.csv_pieces(self.export_paths, self._chunks(self._filtered(request)))
        return exporting.download(request, pieces, name=self._file_name("csv"), content_type=exporting.CSV_TYPE)

    def export_excel(self, request: HttpRequest) -> HttpResponseBase:
        """All filtered rows, or a sentence when they are too many for one file."""
        rows, most = self._filtered(request), exporting.MOST_EXCEL_ROWS
        if rows.order_by()[: most + 1].count() > most:
            text = _("No Excel file was made: more than %(most)s rows match, the most one file takes. Shorten the period, or take CSV.")
            messages.error(request, text % {"most": f"{most:,}"})
            return redirect(f"{reverse(f'admin:{self._url_name()}_changelist')}?{request.GET.urlencode()}")
        pieces = exporting.excel_pieces(self.export_paths, self._chunks(rows), sheet=self.opts.db_table)
        return exporting.download(request, pieces, name=self._file_name("xlsx"), content_type=exporting.EXCEL_TYPE)

    def _filtered(self, request: HttpRequest) -> QuerySet[Any]:
        """Exactly what the list with the same parameters shows on its pages."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found: QuerySet[Any] = self.get_changelist_instance(request).queryset
        return found

    def _chunks(self, rows: QuerySet[Any]) -> Any:
        return in_chunks(rows, columns=columns_of(self.ordering), paths=self.export_paths, size=CHUNK)

    def _file_name(self, kind: str) -> str:
        return f"{self.opts.db_table}_{timezone.now():%Y%m%dT%H%MZ}.{kind}"

    def _url_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}"
