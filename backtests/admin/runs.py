"""Backtests in the admin: ask for one, watch it, read its numbers; and the files results lie in."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from backtests import tasks
from backtests.admin import asking
from backtests.admin.job_faces import JobAdmin, ratio, share
from backtests.admin.run_forms import RunForm
from backtests.models import BacktestRun, JobStatus, ResultFile
from backtests.services import runs
from backtests.strategies.registry import STRATEGIES
from dgbot.base.admin import FactAdmin
from dgbot.base.badges import number, short, state_badge
from trading.services import backtesting

SHARES = ("total_return", "annual_return", "max_drawdown", "volatility", "win_rate", "exposure")
METRIC_WORDS = {
    "total_return": _("total return"),
    "annual_return": _("annual return"),
    "max_drawdown": _("largest drawdown"),
    "volatility": _("volatility, annual"),
    "sharpe": _("Sharpe ratio"),
    "sortino": _("Sortino ratio"),
    "calmar": _("Calmar ratio"),
    "trades": _("closed trades"),
    "win_rate": _("win rate"),
    "profit_factor": _("profit factor"),
    "average_win": _("average win"),
    "average_loss": _("average loss"),
    "average_holding_bars": _("average holding, bars"),
    "exposure": _("time in the market"),
    "fees": _("fees"),
    "turnover": _("turnover, times the cash"),
}


def strategy_title(name: str) -> str:
    """In the reader's language; a strategy that is gone keeps its name."""
    return gettext(STRATEGIES[name].title) if name in STRATEGIES else name


@admin.register(BacktestRun)
class BacktestRunAdmin(JobAdmin):
    """What was asked for and what came of it."""

    list_display = ("what", "market", "stands", "total_return", "sharpe", "drawdown", "trades", "pinned", "user", "requested_at")
    list_filter = ("status", "strategy", "is_pinned")
    search_fields = ("strategy", "symbols")
    readonly_fields = ("stands", "numbers", "report", "asked", "stored")
    actions = ("compare_selected", *JobAdmin.actions)  # type: ignore[assignment]  # one more than other jobs

    @admin.action(description=_("Compare selected backtests"), permissions=["view"])
    def compare_selected(self, request: HttpRequest, queryset: QuerySet[BacktestRun]) -> HttpResponse:
        """Two to five side by side."""
        query = urlencode([("run", pk) for pk in queryset.order_by("pk").values_list("pk", flat=True)])
        return redirect(f"{reverse('backtest_compare')}?{query}")

    def get_queryset(self, request: HttpRequest) -> QuerySet[BacktestRun]:
        """Without the columns a list does not show."""
        rows = super().get_queryset(request)
        return rows.defer("spec", "checkpoint", "summary") if _is_list(request) else rows

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """How it stands, what it brought, what was asked."""
        return (
            (None, {"fields": ("stands", "reason", "report", "numbers")}),
            (_("What was asked"), {"fields": ("asked", "user", "sweep")}),
            (_("Course"), {"fields": ("requested_at", "started_at", "finished_at", "attempts", "epoch", "holder")}),
            (_("Result files"), {"fields": ("stored", "is_pinned", "expired_at")}),
        )

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The form of a backtest."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def submit(form: RunForm) -> BacktestRun:
            return runs.submit(spec=backtesting.prepare(form.wanted()).spec, user=request.user)

        return asking.page(self, request, form_class=RunForm, title=_("Start a backtest"), submit=submit, button=_("Start it"))

    def queue(self, request: HttpRequest, job: BacktestRun) -> None:
        """Hand it to the workers."""
        asking.hand_over(request, tasks.run_backtest, job.pk)

    # --- the list ---
    @admin.display(description=_("strategy"), ordering="strategy")
    def what(self, run: BacktestRun) -> str:
        """By its title."""
        return strategy_title(run.strategy)

    @admin.display(description=_("market"))
    def market(self, run: BacktestRun) -> SafeString:
        """Symbols and interval."""
        return short(f"{', '.join(run.symbols)} {run.interval}", limit=40)

    @admin.display(description=_("return"), ordering="metrics__total_return")
    def total_return(self, run: BacktestRun) -> SafeString | str:
        """Of the cash."""
        return share(run.metric("total_return"), signed=True) if run.metrics else ""

    @admin.display(description=_("Sharpe"), ordering="metrics__sharpe")
    def sharpe(self, run: BacktestRun) -> SafeString | str:
        """Annualised."""
        return ratio(run.metric("sharpe")) if run.metrics else ""

    @admin.display(description=_("drawdown"), ordering="metrics__max_drawdown")
    def drawdown(self, run: BacktestRun) -> SafeString | str:
        """The largest."""
        return share(run.metric("max_drawdown")) if run.metrics else ""

    @admin.display(description=_("trades"), ordering="metrics__trades")
    def trades(self, run: BacktestRun) -> SafeString | str:
        """Closed ones."""
        return number(f"{run.metric('trades'):,}") if run.metrics else ""

    # --- one run ---
    @admin.display(description=_("numbers"))
    def numbers(self, run: BacktestRun) -> SafeString | str:
        """The metrics in words."""
        if not run.metrics:
            return "–"
        rows = [(label, _said(name, run.metric(name))) for name, label in METRIC_WORDS.items()]
        return render_to_string("backtests/numbers.html", {"rows": rows, "summary": run.summary})

    @admin.display(description=_("report"))
    def report(self, run: BacktestRun) -> SafeString | str:
        """Where curve, trades and assumptions are shown."""
        if run.status != JobStatus.FINISHED:
            return "–"
        try:
            address = reverse("backtest_report", args=[run.pk])
        except NoReverseMatch:  # the pages are not part of this process
            return "–"
        return format_html('<a href="{}">{}</a>', address, _("Open the report"))

    @admin.display(description=_("asked"))
    def asked(self, run: BacktestRun) -> SafeString:
        """Strategy, parameters, period, money."""
        setup = run.spec["markets"][0]["setup"]
        changed = ", ".join(f"{name} = {value:g}" for name, value in run.spec["parameters"].items())
        rows = [
            (_("strategy"), strategy_title(run.strategy)),
            (_("parameters"), changed or _("as designed")),
            (_("markets"), f"{run.exchange} {', '.join(run.symbols)} {run.interval}"),
            (_("period"), _period(run, setup)),
            (_("cash"), setup["cash"]),
            (_("fee"), setup["fee_rate"]),
            (_("slippage"), setup["slippage"]),
        ]
        return render_to_string("backtests/facts.html", {"rows": rows})

    @admin.display(description=_("files"))
    def stored(self, run: BacktestRun) -> SafeString | str:
        """Where they lie."""
        return stored_files(run)


@admin.register(ResultFile)
class ResultFileAdmin(FactAdmin):
    """Where results lie, and whether they can be read."""

    list_display = ("name", "kind", "place", "bytes", "readable", "stored_at")
    list_filter = ("place", "is_damaged", "kind")
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ResultFile]:
        """Those of the user's own jobs."""
        rows: QuerySet[ResultFile] = super().get_queryset(request)
        if request.user.has_perm("accounts.see_all_owners"):
            return rows
        return rows.filter(Q(run__user=request.user.pk) | Q(sweep__user=request.user.pk))

    @admin.display(description=_("size"), ordering="size")
    def bytes(self, file: ResultFile) -> SafeString:
        """In KB."""
        return number(f"{file.size / 1024:,.1f} KB")

    @admin.display(description=_("state"), ordering="is_damaged")
    def readable(self, file: ResultFile) -> SafeString:
        """Damaged, waiting for the bucket, or fine."""
        return file_state(file)


def file_state(file: ResultFile) -> SafeString:
    """Its badge, with the trouble on hovering."""
    if file.is_damaged:
        tone, word = "bad", _("damaged")
    elif file.trouble:
        tone, word = "warn", _("waits for the bucket")
    else:
        tone, word = "good", _("stored")
    return format_html('<span title="{}">{}</span>', file.trouble, state_badge(tone, word))


def stored_files(job: Any) -> SafeString | str:
    """The files of a job, a line each."""
    files = list(job.files.order_by("kind"))
    if not files:
        return "–"
    rows = [
        (file.get_kind_display(), format_html("{} <small>{} · {}</small>", file_state(file), file.name, f"{file.size / 1024:,.1f} KB"))
        for file in files
    ]
    return render_to_string("backtests/facts.html", {"rows": rows})


def _said(name: str, value: Any) -> SafeString:
    if name in SHARES:
        return share(value, signed=name in ("total_return", "annual_return"))
    if name == "trades":
        return number(f"{value:,}")
    return ratio(value)


def _period(run: BacktestRun, setup: dict[str, Any]) -> str:
    """What was traded, where it is known; else what was asked for."""
    start = run.summary.get("first_opened_at") or setup["start"]
    end = run.summary.get("last_opened_at") or setup["end"]
    return f"{_day(start)} – {_day(end)}" if start or end else gettext("all candles")


def _day(text: str | None) -> str:
    return (text or "")[:10]


def _is_list(request: HttpRequest) -> bool:
    match = getattr(request, "resolver_match", None)  # a request of ours that came by no address has none
    return match is not None and (match.url_name or "").endswith("_changelist")
