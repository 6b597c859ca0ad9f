"""The page of the platform's own health. It refreshes its inside every few seconds."""

from itertools import groupby
from typing import Any

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from monitoring.system import alarms, kpis, readings
from monitoring.system.readings import Health

SEES = "monitoring.view_systemlog"
AREAS = {
    "processes": _("Processes"),
    "trading": _("Trading"),
    "queues": _("Queues"),
    "database": _("Database and backups"),
    "data": _("Candles"),
    "machine": _("Machine"),
}
TONES = {Health.OK: "good", Health.UNKNOWN: "quiet", Health.WARNING: "warn", Health.ERROR: "bad"}
WORDS = {Health.OK: _("ok"), Health.UNKNOWN: _("unknown"), Health.WARNING: _("warning"), Health.ERROR: _("error")}


@require_safe
@never_cache
@permission_required(SEES, raise_exception=True)
def system(request: HttpRequest) -> HttpResponse:
    """The whole page; with `part` only what changes."""
    template = "monitoring/system_part.html" if "part" in request.GET else "monitoring/system.html"
    return render(request, template, _context())


def _context() -> dict[str, Any]:
    found = readings.read()
    rows = [{"reading": each, "tone": TONES[each.health], "word": WORDS[each.health]} for each in found]
    by_area = {area: list(group) for area, group in groupby(sorted(rows, key=_area), key=_area)}
    return {
        "areas": [{"key": area, "title": title, "rows": by_area[area]} for area, title in AREAS.items() if area in by_area],
        "summary": readings.summary(found),
        "alarms": alarms.open_alarms() if found[0].health is not Health.ERROR else [],
        "kpis": [
            {"target": each.target, "values": each.shown()} for each in (kpis.measured() if found[0].health is not Health.ERROR else [])
        ],
        "windows": kpis.WINDOWS_H,
        "now": timezone.now(),
    }


def _area(row: dict[str, Any]) -> str:
    return str(row["reading"].area)
