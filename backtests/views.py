"""Pages of finished backtests: the report, the comparison, and what can be downloaded. Nobody sees another owner's."""

from typing import Any

from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from backtests import report_words as words
from backtests.models import BacktestRun, ResultKind
from backtests.services import reports, results
from backtests.storage.places import ResultDamaged, StorageUnavailable
from dgbot.core.errors import DgbotError

SEES = "backtests.view_backtestrun"
TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet", "json": "application/json"}


def run_of(request: HttpRequest, run_pk: int) -> BacktestRun:
    """A run this user may see. Raises Http404."""
    run = BacktestRun.objects.for_user(request.user).filter(pk=run_pk).first()
    if run is None:
        raise Http404
    return run  # type: ignore[no-any-return]  # OwnedQuerySet


@never_cache
@permission_required(SEES, raise_exception=True)
def report(request: HttpRequest, run_pk: int) -> HttpResponse:
    """The whole report; what cannot be shown says why in one sentence."""
    run = run_of(request, run_pk)
    try:
        told = reports.of(run)
    except DgbotError as error:
        return _unavailable(request, error, run=run)
    rows = [{"word": one, "value": told["metrics"].get(one.name)} for one in words.METRICS]
    months = [value for row in told["months"] for value in row["months"] if value is not None]
    context = {
        "report": told,
        "run": run,
        "headline": [row for name in words.HEADLINE for row in rows if row["word"].name == name],
        "rows": rows,
        "most": max((abs(value) for value in months), default=0.0),
        "tallest": max((one["count"] for one in told["histogram"]["bins"]), default=0),
        "assumptions": _in_order(reports.assumptions(run.summary, run)),
        "charted": {name: told[name] for name in ("chart", "symbols", "currency", "trades")} | {"labels": _labels(), "words": _reasons()},
        "month_names": range(1, 13),
    }
    return render(request, "backtests/report.html", context)


@never_cache
@permission_required(SEES, raise_exception=True)
def compare(request: HttpRequest) -> HttpResponse:
    """Two to five runs side by side: `?run=1&run=2`."""
    runs = [run_of(request, int(pk)) for pk in dict.fromkeys(request.GET.getlist("run")) if pk.isdigit()]
    try:
        told = reports.compare(runs)
    except DgbotError as error:
        return _unavailable(request, error)
    if request.GET.get("format") == "json":
        return JsonResponse(told)
    rows = []
    for one in words.METRICS:
        values = [run["metrics"].get(one.name) for run in told["runs"]]
        known = [value for value in values if value is not None]
        best = None if one.is_good is None or len(set(known)) < 2 else max(known) if one.is_good else min(known)
        rows.append({"word": one, "values": [{"value": value, "is_best": value is not None and value == best} for value in values]})
    charted = [{"name": f"#{run['run']}", "growth": run["growth"]} for run in told["runs"]]
    context = {"told": told, "rows": rows, "runs": runs, "charted": charted}
    return render(request, "backtests/compare.html", context)


@never_cache
@permission_required(SEES, raise_exception=True)
def candles(request: HttpRequest, run_pk: int) -> JsonResponse:
    """Candles and fills of one market for the chart; `symbol`, and seconds since 1970 as `from` and `to`."""
    run = run_of(request, run_pk)
    bounds = {name: int(text) for name in ("from", "to") if (text := request.GET.get(name, "")).isdigit()}
    try:
        told = reports.candles(run, symbol=request.GET.get("symbol", run.symbols[0]), start_s=bounds.get("from"), end_s=bounds.get("to"))
    except DgbotError as error:
        return JsonResponse({"message": str(error)}, status=409)
    return JsonResponse(told)


@permission_required(SEES, raise_exception=True)
def download(request: HttpRequest, run_pk: int, name: str, kind: str) -> HttpResponse:
    """A table as CSV, Parquet or JSON, or the whole report as JSON."""
    run = run_of(request, run_pk)
    if kind not in TYPES or name not in (*reports.TABLES, "report") or (name == "report" and kind != "json"):
        raise Http404
    try:
        content: Any = _content(run, name, kind)
    except DgbotError as error:
        return _unavailable(request, error, run=run)
    if kind == "json":
        answer: HttpResponse = JsonResponse(content, safe=False)
    else:
        answer = HttpResponse(content, content_type=TYPES[kind])
    answer["Content-Disposition"] = f'attachment; filename="backtest-{run.pk}-{name}.{kind}"'
    return answer


def _content(run: BacktestRun, name: str, kind: str) -> Any:
    if name == "report":
        return reports.of(run)
    if kind == "parquet":
        return results.content(run, ResultKind(name))
    found = reports.table(run, name)
    return reports.as_csv(found) if kind == "csv" else reports.as_rows(found)


def _unavailable(request: HttpRequest, error: DgbotError, *, run: BacktestRun | None = None) -> HttpResponse:
    status = 503 if isinstance(error, StorageUnavailable) else 409 if isinstance(error, ResultDamaged) else 400 if run is None else 409
    return render(request, "backtests/no_report.html", {"trouble": str(error), "run": run}, status=status)


def _in_order(assumptions: dict[str, Any]) -> dict[str, Any]:
    """As they are read: what, on which data, with which money, within which limits."""
    return {name: assumptions[name] for name in (*words.ASSUMPTIONS, *assumptions) if name in assumptions}


def _labels() -> dict[str, str]:
    """Words the script writes."""
    return {
        "equity": _("Equity"),
        "hold": _("Buy and hold"),
        "drawdown": _("Drawdown, %"),
        "each": _("each bar shows %(count)s candles; choose a trade to see single ones"),
    }


def _reasons() -> dict[str, str]:
    """Why something was bought or sold, in the reader's language."""
    return {"entry": _("entry"), **{name: str(label) for name, label in words.EXITS.items()}}
