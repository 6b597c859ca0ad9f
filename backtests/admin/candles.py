"""The candle archive at a glance: how old, how complete, how many; a picture of each series; upload and download."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.decorators import action

from backtests.admin import upload
from backtests.admin.downloads import progress_bar, queue
from backtests.admin.words import KIND_WORDS, SEVERITY_TONES
from backtests.candles import archive
from backtests.candles.picture import draw
from backtests.candles.quality import Severity
from backtests.models import CandleCorrection, CandleSeries, CandleSync
from backtests.selectors import archive_root
from backtests.services import candles
from dgbot.base.admin import FactAdmin
from dgbot.base.badges import number, state_badge
from dgbot.base.display import age
from dgbot.core.errors import DgbotError
from dgbot.core.interval import Interval

OLD_AFTER_INTERVALS = 30  # candles behind: a daily sync has been missed for hours


@admin.register(CandleSeries)
class CandleSeriesAdmin(FactAdmin):
    """Labels of the archive's files."""

    list_display = ("symbol", "interval", "exchange", "how_many", "how_old", "how_complete", "judged", "download")
    list_filter = ("quality", "exchange", "interval")
    search_fields = ("symbol",)
    ordering = ("exchange", "symbol", "interval")
    actions = ("sync_selected", "recheck_selected")  # type: ignore[assignment]  # facts usually have none
    actions_list = ("upload_file",)
    actions_detail = ("sync_one", "recheck_one")
    readonly_fields = ("picture", "found")

    def get_queryset(self, request: HttpRequest) -> QuerySet[CandleSeries]:
        """With each series' newest download, in the same query."""
        names = {"exchange": OuterRef("exchange"), "symbol": OuterRef("symbol"), "interval": OuterRef("interval")}
        newest = CandleSync.objects.filter(**names).order_by("-requested_at", "-pk")
        told = JSONObject(pk="pk", status="status", done="windows_done", total="windows_total", reason="reason")
        return super().get_queryset(request).annotate(newest_sync=Subquery(newest.values(json=told)[:1]))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The picture first, then what it is made of."""
        return (
            (None, {"fields": ("picture", "found")}),
            (_("Contents"), {"fields": ("exchange", "symbol", "interval", "rows", "first_opened_at", "last_opened_at")}),
            (_("Gaps"), {"fields": ("gap_count", "missing_count", "confirmed_count")}),
            (_("File"), {"fields": ("path", "content_sha256", "source_name", "imported_at", "checked_at")}),
        )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:  # type: ignore[override]  # a list is a sequence
        """Every column but the raw findings, which `found` tells in words."""
        return [name for name in super().get_fields(request, obj) if name not in ("findings", "quality")]

    def has_sync_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether downloads may be asked for."""
        return request.user.has_perm("backtests.add_candlesync")

    def has_upload_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether files may be imported."""
        return request.user.has_perm("backtests.add_candleseries")

    # --- the list ---
    @admin.display(description=_("candles"), ordering="rows")
    def how_many(self, series: CandleSeries) -> SafeString:
        """With its thousands separated."""
        return number(f"{series.rows:,}")

    @admin.display(description=_("last candle"), ordering="last_opened_at")
    def how_old(self, series: CandleSeries) -> SafeString:
        """How long ago the newest candle closed."""
        interval = Interval(series.interval)
        since = timezone.now() - series.last_opened_at - interval.length
        tone = "good" if since < 2 * interval.length else "quiet" if since < OLD_AFTER_INTERVALS * interval.length else "warn"
        return state_badge(tone, _("%(age)s ago") % {"age": age(since)})

    @admin.display(description=_("complete"), ordering=F("missing_count") - F("confirmed_count"))
    def how_complete(self, series: CandleSeries) -> SafeString:
        """Share of candles that are there or confirmed as never traded."""
        if not series.unexplained_count:
            return number("100 %")
        share = min(series.completeness, 0.9999)  # never rounded up to whole
        missing = ngettext("%(count)s missing", "%(count)s missing", series.unexplained_count) % {"count": f"{series.unexplained_count:,}"}
        return format_html("{} <small>{}</small>", number(f"{share * 100:.2f} %"), missing)

    @admin.display(description=_("quality"), ordering="quality")
    def judged(self, series: CandleSeries) -> SafeString:
        """The worst finding."""
        return (
            state_badge(SEVERITY_TONES[Severity(series.quality)], series.get_quality_display())
            if series.quality
            else state_badge("quiet", _("unknown"))
        )

    @admin.display(description=_("download"))
    def download(self, series: Any) -> SafeString | str:
        """How the newest one stands."""
        sync = getattr(series, "newest_sync", None)
        return progress_bar(sync["status"], done=sync["done"], total=sync["total"], reason=sync["reason"]) if sync else "–"

    # --- one series ---
    @admin.display(description=_("picture"))
    def picture(self, series: CandleSeries) -> SafeString | str:
        """Coverage by time, the price, the outliers."""
        names = (series.exchange, series.symbol, Interval(series.interval))
        try:
            drawn = draw(archive.load(archive_root(), *names), confirmed=archive.confirmed_empty(archive_root(), *names))
        except DgbotError as error:
            return str(error)
        return render_to_string("backtests/picture.html", {"picture": drawn})

    @admin.display(description=_("findings"))
    def found(self, series: CandleSeries) -> SafeString | str:
        """Each kind with its count and its first places."""
        report = series.report
        if report is None:
            return str(_("not checked yet"))
        rows = [
            {"word": KIND_WORDS[finding.kind], "tone": SEVERITY_TONES[finding.severity], "count": finding.count, "spans": finding.spans[:5]}
            for finding in report.findings
        ]
        return render_to_string("backtests/findings.html", {"rows": rows})

    # --- what can be done ---
    @action(description=_("Upload a file"), permissions=["upload"], url_path="upload-file", icon="upload_file")
    def upload_file(self, request: HttpRequest) -> HttpResponse:
        """Form, preview, import."""
        return upload.view(self, request)

    @action(description=_("Download now"), permissions=["sync"], icon="sync")
    def sync_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Queue a download of what is missing."""
        self._sync(request, [self.get_object(request, object_id)])
        return redirect(reverse("admin:backtests_candleseries_change", args=[object_id]))

    @action(description=_("Check again"), permissions=["sync"], icon="fact_check")
    def recheck_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Read the file and judge it anew."""
        self._recheck(request, [self.get_object(request, object_id)])
        return redirect(reverse("admin:backtests_candleseries_change", args=[object_id]))

    @action(description=_("Download what selected series lack"), permissions=["sync"])
    def sync_selected(self, request: HttpRequest, queryset: QuerySet[CandleSeries]) -> None:
        """Queue their downloads."""
        self._sync(request, list(queryset))

    @action(description=_("Check selected series again"), permissions=["sync"])
    def recheck_selected(self, request: HttpRequest, queryset: QuerySet[CandleSeries]) -> None:
        """Read their files and judge them anew."""
        self._recheck(request, list(queryset))

    def _sync(self, request: HttpRequest, wanted: list[CandleSeries]) -> None:
        asked = sum(queue(request, exchange=series.exchange, symbol=series.symbol, interval=Interval(series.interval)) for series in wanted)
        told = ngettext("%(asked)d download queued.", "%(asked)d downloads queued.", asked) % {"asked": asked}
        self.message_user(request, told, messages.SUCCESS if asked == len(wanted) else messages.WARNING)

    def _recheck(self, request: HttpRequest, wanted: list[CandleSeries]) -> None:
        done = 0
        for series in wanted:
            try:
                candles.recheck(series, root=archive_root())
                done += 1
            except DgbotError as error:
                self.message_user(request, str(error), messages.ERROR)
        told = ngettext("%(done)d series checked.", "%(done)d series checked.", done) % {"done": done}
        self.message_user(request, told, messages.SUCCESS if done == len(wanted) else messages.WARNING)


@admin.register(CandleCorrection)
class CandleCorrectionAdmin(FactAdmin):
    """Stored candles that were overwritten."""

    list_display = ("series", "count", "source_name", "corrected_at")
    list_select_related = ("series",)
    ordering = ("-corrected_at", "-id")
