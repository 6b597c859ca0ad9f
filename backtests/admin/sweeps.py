"""Sweeps in the admin: ask for one, watch its heat map fill, read what was found and how it was judged."""

from typing import Any

import numpy as np
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from backtests import tasks
from backtests.admin import asking
from backtests.admin.job_faces import JobAdmin, ratio, share
from backtests.admin.run_forms import OBJECTIVE_WORDS, SweepForm
from backtests.admin.runs import stored_files, strategy_title
from backtests.models import JobStatus, Sweep
from backtests.services import sweeps
from backtests.services.sweep_tables import heat_map, importance_of
from dgbot.base.badges import number
from dgbot.core.errors import DgbotError
from trading.services import backtesting

SHOWN = 10
CELL, LEFT, TOP = 34, 84, 8  # pixels of the heat map


@admin.register(Sweep)
class SweepAdmin(JobAdmin):
    """Searches for parameters."""

    list_display = ("what", "market", "how_many", "stands", "best", "pinned", "user", "requested_at")
    list_filter = ("status", "strategy", "sampler")
    list_select_related = ("user", "search")  # type: ignore[assignment]  # any number of names
    search_fields = ("strategy", "symbol")
    readonly_fields = ("stands", "found", "stored", "what")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """How it stands, what it found, its course."""
        return (
            (None, {"fields": ("stands", "reason", "found")}),
            (_("What was asked"), {"fields": ("what", "exchange", "symbol", "interval", "sampler", "sets", "user")}),
            (_("Course"), {"fields": ("requested_at", "started_at", "finished_at", "attempts", "epoch", "holder")}),
            (_("Result files"), {"fields": ("stored", "is_pinned", "expired_at")}),
        )

    def get_urls(self) -> list[Any]:
        """With the live part of a page."""
        live = path("<path:object_id>/live/", self.admin_site.admin_view(self.live), name="backtests_sweep_live")
        return [live, *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The form of a sweep."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def submit(form: SweepForm) -> Sweep:
            return sweeps.submit(spec=backtesting.prepare_sweep(form.wanted()), user=request.user)

        return asking.page(self, request, form_class=SweepForm, title=_("Start a sweep"), submit=submit, button=_("Start it"))

    def queue(self, request: HttpRequest, job: Sweep) -> None:
        """Hand it to the workers."""
        asking.hand_over(request, tasks.work_on_sweep, job.pk)

    def live(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What the page shows of the sets evaluated so far."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        sweep = self.get_object(request, object_id)
        if sweep is None:
            raise Http404
        return HttpResponse(_found(sweep, request.GET))

    def get_object(self, request: HttpRequest, object_id: Any, from_field: Any = None) -> Any:
        """With the axes of the heat map, which stand in the address."""
        sweep: Any = super().get_object(request, object_id, from_field)
        if sweep is not None:
            sweep.asked = request.GET
        return sweep

    # --- the list ---
    @admin.display(description=_("strategy"), ordering="strategy")
    def what(self, sweep: Sweep) -> str:
        """By its title."""
        return strategy_title(sweep.strategy)

    @admin.display(description=_("market"), ordering="symbol")
    def market(self, sweep: Sweep) -> str:
        """Symbol and interval."""
        return f"{sweep.symbol} {sweep.interval}"

    @admin.display(description=_("sets"), ordering="sets")
    def how_many(self, sweep: Sweep) -> SafeString:
        """With its thousands separated."""
        return number(f"{sweep.sets:,}")

    @admin.display(description=_("best score"))
    def best(self, sweep: Sweep) -> SafeString | str:
        """Where it was searched."""
        best = (sweep.search.result.get("best") or [{}])[0] if sweep.search else {}
        return ratio(best["score"]) if best.get("score") is not None else ""

    # --- one sweep ---
    @admin.display(description=_("found"))
    def found(self, sweep: Sweep) -> SafeString:
        """Heat map, importance, best sets, folds; kept fresh while it runs."""
        asked = getattr(sweep, "asked", {})
        address = reverse("admin:backtests_sweep_live", args=[sweep.pk])
        inner = _found(sweep, asked)
        return format_html('<div data-live="{}" data-open="{}" data-reload-at-end>{}</div>', address, int(sweep.is_open), inner)

    @admin.display(description=_("files"))
    def stored(self, sweep: Sweep) -> SafeString | str:
        """Where they lie."""
        return stored_files(sweep)


def _found(sweep: Sweep, asked: Any) -> SafeString:
    try:
        columns = sweeps.points(sweep) if sweep.search_id is not None else {}
    except DgbotError as error:  # damaged or removed: it is said, and nothing is drawn
        return format_html('<p class="dg-error">{}</p>', str(error))
    space = sweeps.space(sweep)
    importance = sweep.importance or importance_of(columns, space)
    names = list(importance) or list(space)
    x = asked.get("x") if asked.get("x") in space else (names[0] if names else None)
    y = asked.get("y") if asked.get("y") in space and asked.get("y") != x else next((name for name in names if name != x), None)
    result = sweep.search.result if sweep.search else {}
    drawn = None
    if columns and x and y and np.isfinite(columns["score"]).any():
        drawn = _picture(heat_map(columns, x=x, y=y))
    context = {
        "sweep": sweep,
        "objective": OBJECTIVE_WORDS.get(sweep.spec["objective"], sweep.spec["objective"]),
        "names": [(name, _name(name)) for name in space],
        "x": x,
        "y": y,
        "map": drawn,
        "importance": [(_name(name), value, f"{value:.0%}".replace("%", " %")) for name, value in importance.items()][:SHOWN],
        "best": _best(sweep, columns, result, list(space)),
        "shown": [_name(name) for name in space],
        "walk": result.get("walk_forward"),
        "folds": [_fold(fold) for fold in (result.get("walk_forward") or {}).get("each", [])],
        "promotion": result.get("promotion"),
        "trials": result.get("trials"),
        "is_finished": sweep.status == JobStatus.FINISHED,
    }
    return render_to_string("backtests/sweep.html", context)


def _best(sweep: Sweep, columns: dict[str, Any], result: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """The best sets so far: score, numbers, parameters, and where each can be backtested alone."""
    if not columns:
        return []
    order = np.argsort(-np.nan_to_num(columns["score"], nan=-np.inf), kind="stable")[:SHOWN]
    deflated = {index: one.get("deflated_sharpe") for index, one in enumerate(result.get("best", []))}
    return [
        {
            "score": ratio(_known(columns["score"][at])),
            "total_return": share(_known(columns["total_return"][at]), signed=True),
            "max_drawdown": share(_known(columns["max_drawdown"][at])),
            "trades": number(f"{columns['trades'][at]:,.0f}"),
            "deflated": share(deflated[index]) if deflated.get(index) is not None else "",
            "values": [f"{columns[name][at]:.4g}" for name in names],
        }
        for index, at in enumerate(order)
        if np.isfinite(columns["score"][at])
    ]


def _fold(fold: dict[str, Any]) -> dict[str, Any]:
    ahead = fold["ahead"] or {}
    return {
        "bars": f"{fold['bars'][0]:,}–{fold['bars'][1]:,}",
        "score": ratio(fold["score"]),
        "total_return": share(ahead.get("total_return"), signed=True),
        "sharpe": ratio(ahead.get("sharpe")),
        "trades": number(ahead.get("trades", 0)),
    }


def _picture(drawn: dict[str, Any]) -> dict[str, Any]:
    """Where each cell of the heat map lies and how strong its colour is: the best score is 1, the worst 0."""
    known = [cell for row in drawn["cells"] for cell in row if cell is not None]
    low, high = min(known), max(known)
    rows, width = len(drawn["cells"]), len(drawn["cells"][0])
    cells = [
        {
            "x": LEFT + column * CELL,
            "y": TOP + (rows - 1 - row) * CELL,
            "size": CELL - 2,
            "strength": f"{0.08 + 0.92 * ((cell - low) / (high - low) if high > low else 1):.3f}",
            "told": f"{_at(drawn, 'x', column)}, {_at(drawn, 'y', row)}: {cell:,.3g}",
        }
        for row, line in enumerate(drawn["cells"])
        for column, cell in enumerate(line)
        if cell is not None
    ]
    bottom = TOP + rows * CELL
    return {
        "cells": cells,
        "width": LEFT + width * CELL + 40,
        "height": bottom + 40,
        "x_marks": [(LEFT + at * CELL, bottom + 14, f"{drawn['x_edges'][at]:.3g}") for at in range(0, width + 1, max(1, width // 4))],
        "y_marks": [(LEFT - 8, bottom - at * CELL + 4, f"{drawn['y_edges'][at]:.3g}") for at in range(0, rows + 1, max(1, rows // 4))],
        "x_name": (LEFT + width * CELL / 2, bottom + 34, _name(drawn["x"])),
        "y_name": _name(drawn["y"]),
        "low": f"{low:,.2f}",
        "high": f"{high:,.2f}",
    }


def _at(drawn: dict[str, Any], axis: str, at: int) -> str:
    edges = drawn[f"{axis}_edges"]
    return f"{_name(drawn[axis])} {edges[at]:.3g}…{edges[at + 1]:.3g}"


def _name(name: str) -> str:
    return capfirst(gettext(name.replace("_", " ")))


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
