"""Filters of long lists: none of them asks a long table which values it holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.filters import ListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

PERIOD, SINCE, UNTIL = "period", "since", "until"
TODAY = "today"
DAYS = {"7d": 7, "30d": 30, "90d": 90}
PRESETS = [(TODAY, _("Today")), ("7d", _("7 days")), ("30d", _("30 days")), ("90d", _("90 days"))]


@dataclass(frozen=True)
class Period:
    """A stretch of time, aware; None leaves that side open. `since` is in it, `until` is not."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether it leaves nothing out."""
        return self.since is None and self.until is None


def period_of(*, preset: str, since: str, until: str, now: datetime) -> Period:
    """What a preset or two dates mean in the zone of `now` (aware); both dates are in it. Raises ValueError for a date that is none."""
    if preset == TODAY:
        return Period(since=datetime.combine(now.date(), time.min, tzinfo=now.tzinfo))
    if preset in DAYS:
        return Period(since=now - timedelta(days=DAYS[preset]))
    first = datetime.combine(date.fromisoformat(since), time.min, tzinfo=now.tzinfo) if since else None
    after = datetime.combine(date.fromisoformat(until) + timedelta(days=1), time.min, tzinfo=now.tzinfo) if until else None
    return Period(since=first, until=after)


class PeriodFilter(ListFilter):
    """Today, the last days, or two dates, over the time the list is ordered by. See `by_period`."""

    title = _("period")
    template = "admin/period_filter.html"
    field = "created_at"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.given = {name: str(params.pop(name, [""])[-1]) for name in self.expected_parameters()}
        if self.given[PERIOD] not in dict(PRESETS):
            self.given[PERIOD] = ""
        try:
            self.period = period_of(
                preset=self.given[PERIOD], since=self.given[SINCE], until=self.given[UNTIL], now=timezone.localtime(timezone.now())
            )
        except (ValueError, OverflowError):
            self.period = Period()
            messages.error(request, _("A date is written as 2026-01-31; the period was left out."))

    def expected_parameters(self) -> list[Any]:
        """The three of them."""
        return [PERIOD, SINCE, UNTIL]

    def has_output(self) -> bool:
        """Always."""
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows within."""
        if self.period.since is not None:
            queryset = queryset.filter(**{f"{self.field}__gte": self.period.since})
        return queryset if self.period.until is None else queryset.filter(**{f"{self.field}__lt": self.period.until})

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """Everything, then the presets."""
        for value, label in [("", _("Any time")), *PRESETS]:
            is_chosen = self.given[PERIOD] == value and (bool(value) or self.period.is_everything)
            url = changelist.get_query_string({PERIOD: value or None}, self.expected_parameters())
            yield {"selected": is_chosen, "query_string": url, "display": label}

    @property
    def kept(self) -> list[tuple[str, str]]:
        """Every other parameter of the page, for the form with two dates."""
        ours = {*self.expected_parameters(), "older", "newer", "e"}
        return [(name, value) for name, values in self.request.GET.lists() if name not in ours for value in values]


def by_period(column: str) -> type[PeriodFilter]:
    """The period filter over a time column."""
    return type("PeriodFilter", (PeriodFilter,), {"field": column})


class ShortListFilter(admin.SimpleListFilter):
    """A list of choices that come from elsewhere than the long table; it scrolls when there are many."""

    template = "admin/scrolling_filter.html"
    column = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Rows with the chosen value."""
        if not self.value():
            return queryset
        try:
            return queryset.filter(**{self.column: self.value()})
        except (ValueError, ValidationError) as error:
            raise IncorrectLookupParameters(str(error)) from error


def one_of(column: str, title: Any, choices: Any) -> type[ShortListFilter]:
    """A filter over a column with known values. choices: pairs of value and label, or a function of the request that gives them."""

    def lookups(_self: Any, request: HttpRequest, _model_admin: Any) -> list[tuple[str, Any]]:
        found = choices(request) if callable(choices) else choices
        return [(str(value), label) for value, label in found]

    return type("OneOf", (ShortListFilter,), {"title": title, "parameter_name": column, "column": column, "lookups": lookups})
