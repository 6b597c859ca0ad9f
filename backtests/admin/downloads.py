"""Downloads with their progress."""

import logging
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from kombu.exceptions import OperationalError

from backtests import tasks
from backtests.models import CandleSync, SyncStatus
from backtests.services import syncs
from dgbot.base.admin import FactAdmin
from dgbot.base.badges import state_badge
from dgbot.core.errors import DgbotError
from dgbot.core.interval import Interval
from trading.services.candle_sources import source_for

TONES = {SyncStatus.WAITING: "quiet", SyncStatus.RUNNING: "busy", SyncStatus.DONE: "good", SyncStatus.FAILED: "bad"}

logger = logging.getLogger(__name__)


@admin.register(CandleSync)
class CandleSyncAdmin(FactAdmin):
    """Who asked for what, and how far it is."""

    list_display = ("symbol", "interval", "exchange", "stands", "added", "differing", "requested_by", "requested_at", "finished_at")
    list_filter = ("status", "exchange")
    list_select_related = ("requested_by",)
    search_fields = ("symbol",)
    ordering = ("-requested_at", "-id")

    @admin.display(description=_("progress"), ordering="status")
    def stands(self, sync: CandleSync) -> SafeString:
        """A bar while it runs."""
        return progress_bar(sync.status, done=sync.windows_done, total=sync.windows_total, reason=sync.reason)


def progress_bar(status: str, *, done: int, total: int, reason: str) -> SafeString:
    """The state's badge, a bar while there is something to do, and the reason on hovering."""
    known = SyncStatus(status)
    badge = format_html('<span title="{}">{}</span>', reason, state_badge(TONES[known], known.label))
    if known in (SyncStatus.DONE, SyncStatus.FAILED) or not total:
        return badge
    return format_html(
        '{} <progress class="dg-progress" value="{}" max="{}"></progress> <small>{} / {}</small>', badge, done, total, done, total
    )


def queue(request: HttpRequest, *, exchange: str, symbol: str, interval: Interval) -> bool:
    """Ask for a download and hand it to a worker once the row is committed. Tells the user when it cannot be."""
    try:
        until = source_for(exchange).clock.now()
        sync, _is_new = syncs.request(exchange=exchange, symbol=symbol, interval=interval, until=until, by=request.user)
    except DgbotError as error:
        messages.error(request, str(error))
        return False
    transaction.on_commit(lambda: _hand_over(request, sync.pk))
    return True


def _hand_over(request: Any, sync_pk: int) -> None:
    try:
        tasks.sync_series.delay(sync_pk)
    except OperationalError as error:
        logger.warning("download %s waits: the task queue cannot be reached: %s", sync_pk, error)
        messages.warning(request, _("The task queue cannot be reached; the download waits for the daily job."))
