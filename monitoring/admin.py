"""The system log, the admin's first page, and its sidebar."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask

from dgbot.accounts import jobs
from dgbot.base.admin import FactAdmin
from dgbot.base.badges import short, state_badge
from dgbot.base.filters import by_period
from dgbot.base.history import HistoryAdmin, Totals, totals
from monitoring import selectors
from monitoring.backups.models import BackupState
from monitoring.models import Alarm, Backup, LogLevel, SystemLog
from monitoring.notifications import admin as _notifications  # noqa: F401  Django finds the pages of an app here
from trading.admin.protection import protection_of
from trading.models import Bot, BotStatus, Order, Position
from trading.selectors.searching import by_words

BACKUP_TONE = {BackupState.RUNNING: "quiet", BackupState.DONE: "good", BackupState.FAILED: "bad"}
TONE = {LogLevel.INFO: "quiet", LogLevel.WARNING: "warn", LogLevel.ERROR: "bad", LogLevel.CRITICAL: "bad"}


@admin.register(SystemLog)
class SystemLogAdmin(HistoryAdmin):
    """What the platform said about itself."""

    list_display = ("at", "how", "what", "where")
    list_filter = (by_period("created_at"), "level")
    search_fields = ("message",)
    search_help_text = _("Words of the message, or their beginnings.")
    ordering = ("-created_at", "-id")
    export_paths = ("id", "created_at", "level", "message", "context__logger")

    def search(self, request: HttpRequest, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """Words of the message."""
        return by_words(rows, term, field="message")

    def totals_of(self, rows: QuerySet[Any]) -> Totals:
        """How many of each level."""
        labels = dict(LogLevel.choices)
        return totals(
            rows,
            lambda groups: ((labels.get(group["level"], group["level"]), f"{group['count']:,}") for group in groups),
            by={"level": "level"},
        )

    @admin.display(description=_("level"), ordering="level")
    def how(self, line: SystemLog) -> SafeString:
        """Coloured."""
        return state_badge(TONE[LogLevel(line.level)], line.get_level_display())

    @admin.display(description=_("message"))
    def what(self, line: SystemLog) -> SafeString:
        """Its beginning."""
        return short(line.message, limit=160)

    @admin.display(description=_("from"))
    def where(self, line: SystemLog) -> str:
        """The logger."""
        return str(line.context.get("logger", "–"))


@admin.register(Alarm)
class AlarmAdmin(FactAdmin):
    """What was wrong, from its beginning to its end."""

    list_display = ("since", "how", "message", "ended_at", "key")
    list_filter = ("level", "since")
    ordering = ("-since", "-id")

    @admin.display(description=_("level"), ordering="level")
    def how(self, alarm: Alarm) -> SafeString:
        """Coloured while it lasts."""
        return state_badge("quiet" if alarm.ended_at else TONE[LogLevel(alarm.level)], alarm.get_level_display())


@admin.register(Backup)
class BackupAdmin(FactAdmin):
    """What has been backed up, and whether it is known to be good."""

    list_display = ("started_at", "kind", "how", "size", "took", "proven_at", "file", "error")
    list_filter = ("kind", "state", "reason")
    ordering = ("-started_at", "-id")

    @admin.display(description=_("state"), ordering="state")
    def how(self, backup: Backup) -> SafeString:
        """Coloured."""
        return state_badge(BACKUP_TONE[BackupState(backup.state)], backup.get_state_display())

    @admin.display(description=_("size"), ordering="bytes")
    def size(self, backup: Backup) -> str:
        """In units one can read."""
        return "–" if backup.bytes is None else filesizeformat(backup.bytes)

    @admin.display(description=_("took"), ordering="duration_ms")
    def took(self, backup: Backup) -> str:
        """Seconds."""
        return "–" if backup.duration_ms is None else _("%(seconds).1f s") % {"seconds": backup.duration_ms / 1000}


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What matters now, for the admin's first page."""
    user = request.user
    bots = selectors.bots_shown(Bot.objects.for_user(user))
    positions = selectors.shown(Position.objects.for_user(user)).open().select_related("bot", "account")
    enabled = PeriodicTask.objects.filter(enabled=True).exclude(name__startswith="celery.").select_related("crontab", "interval", "clocked")
    schedules = list(enabled.order_by("name"))
    last_runs = jobs.last_runs()
    for task in schedules:
        task.job_run = last_runs.get(task.name)
    return {
        **context,
        "bots": [{"row": bot, "cycle": cycle} for bot, cycle in selectors.with_last_cycle(bots)],
        "running": BotStatus.RUNNING,
        "positions": [{"row": row, "protection": protection_of(row)} for row in positions.order_by("pk")],
        "doubtful": selectors.shown(Order.objects.for_user(user)).filter(status__in=selectors.DOUBTFUL).select_related("bot"),
        "safe_modes": selectors.safe_modes(user),
        "accounts": selectors.accounts_with_points(user),
        "alarms": selectors.alarms(user),
        "budgets": selectors.budgets(user),
        "beats": selectors.heartbeats(user, timezone.now()),
        "schedules": schedules,
    }


def style(request: HttpRequest) -> str:
    """Our badges and the first page."""
    return static("monitoring/admin.css")


def icon(request: HttpRequest) -> str:
    """The same in the browser's tab as on our pages."""
    return static("monitoring/icon.svg")


def account_links(request: HttpRequest) -> list[dict[str, Any]]:
    """What a click on one's own name offers."""
    return [
        {"title": _("Sign-in and second factor"), "link": reverse_lazy("account_security")},
        {"title": _("Change password"), "link": reverse_lazy("admin:password_change")},
    ]


def _item(title: Any, icon: str, name: str, permission: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{name}_changelist"),
        "permission": lambda request: request.user.has_perm(permission),
    }


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar, in the order of an operator's questions."""
    return [
        {
            "items": [
                {"title": _("Live dashboard"), "icon": "monitoring", "link": reverse_lazy("dashboard"), "active": lambda _request: False},
                {"title": _("Home"), "icon": "home", "link": reverse_lazy("admin:index")},
            ]
        },
        {
            "title": _("Steer"),
            "separator": True,
            "items": [
                _item(_("Bots"), "smart_toy", "trading_bot", "trading.view_bot"),
                _item(_("Settings"), "tune", "trading_botconfig", "trading.view_botconfig"),
                _item(_("Schedules"), "schedule", "django_celery_beat_periodictask", "django_celery_beat.view_periodictask"),
                _item(_("Risk profiles"), "shield", "risk_riskprofile", "risk.view_riskprofile"),
                _item(_("Kill switches"), "emergency_home", "risk_killswitch", "risk.view_killswitch"),
                _item(_("Analysts"), "neurology", "trading_analyst", "trading.view_analyst"),
                _item(_("Prompts"), "edit_document", "trading_prompttemplate", "trading.view_prompttemplate"),
                _item(_("Accounts"), "account_balance", "trading_exchangeaccount", "trading.view_exchangeaccount"),
            ],
        },
        {
            "title": _("History"),
            "separator": True,
            "items": [
                {
                    "title": _("Results"),
                    "icon": "insights",
                    "link": reverse_lazy("admin:trading_trade_results"),
                    "permission": lambda request: request.user.has_perm("trading.view_trade"),
                },
                {"title": _("Scorecard"), "icon": "scoreboard", "link": reverse_lazy("scorecard"), "active": lambda _request: False},
                _item(_("Cycles"), "cycle", "trading_cycle", "trading.view_cycle"),
                _item(_("Decisions"), "psychology", "trading_decision", "trading.view_decision"),
                _item(_("Analyst calls"), "forum", "trading_analystcall", "trading.view_analystcall"),
                _item(_("Orders"), "receipt_long", "trading_order", "trading.view_order"),
                _item(_("Trades"), "swap_horiz", "trading_trade", "trading.view_trade"),
                _item(_("Positions"), "stacked_line_chart", "trading_position", "trading.view_position"),
                _item(_("Ledger"), "account_balance_wallet", "trading_ledgerentry", "trading.view_ledgerentry"),
                _item(_("Portfolio"), "pie_chart", "trading_portfoliosnapshot", "trading.view_portfoliosnapshot"),
                _item(_("Balances"), "wallet", "trading_accountbalance", "trading.view_accountbalance"),
                _item(_("Rates in KRW"), "currency_exchange", "trading_krwrate", "trading.view_krwrate"),
            ],
        },
        {
            "title": _("Research"),
            "separator": True,
            "items": [
                _item(_("Backtests"), "query_stats", "backtests_backtestrun", "backtests.view_backtestrun"),
                _item(_("Sweeps"), "grid_on", "backtests_sweep", "backtests.view_sweep"),
                _item(_("Result files"), "folder_zip", "backtests_resultfile", "backtests.view_resultfile"),
            ],
        },
        {
            "title": _("Candles"),
            "separator": True,
            "items": [
                _item(_("Candle series"), "candlestick_chart", "backtests_candleseries", "backtests.view_candleseries"),
                _item(_("Candle downloads"), "cloud_download", "backtests_candlesync", "backtests.view_candlesync"),
                _item(_("Candle corrections"), "edit_note", "backtests_candlecorrection", "backtests.view_candlecorrection"),
            ],
        },
        {
            "title": _("Risk"),
            "separator": True,
            "items": [
                _item(_("Limits used"), "speed", "risk_riskstate", "risk.view_riskstate"),
                _item(_("Risk events"), "warning", "risk_riskevent", "risk.view_riskevent"),
                _item(_("Differences to the exchange"), "difference", "trading_reconcilebreak", "trading.view_reconcilebreak"),
                _item(_("Reconciliations"), "sync_alt", "trading_reconcilerun", "trading.view_reconcilerun"),
                _item(_("Reservations"), "lock_clock", "risk_reservation", "risk.view_reservation"),
                _item(_("Account limits"), "gpp_maybe", "risk_accountlimits", "risk.view_accountlimits"),
                _item(_("Bot limits"), "tune", "risk_botlimits", "risk.view_botlimits"),
                _item(_("Correlated groups"), "hub", "risk_symbolgroup", "risk.view_symbolgroup"),
                _item(_("Changes of limits"), "history", "risk_limitchange", "risk.view_limitchange"),
                _item(_("Transfers"), "sync_alt", "risk_transfer", "risk.view_transfer"),
            ],
        },
        {
            "title": _("System"),
            "separator": True,
            "collapsible": True,
            "items": [
                _item(_("Notifications"), "notifications", "monitoring_notification", "monitoring.view_notification"),
                _item(_("Notification channels"), "send", "monitoring_channel", "monitoring.view_channel"),
                _item(_("How I am told"), "tune", "monitoring_recipient", "monitoring.view_recipient"),
                _item(_("System log"), "article", "monitoring_systemlog", "monitoring.view_systemlog"),
                _item(_("Processes"), "vital_signs", "accounts_heartbeat", "accounts.view_heartbeat"),
                {
                    "title": _("System"),
                    "icon": "monitor_heart",
                    "link": reverse_lazy("system"),
                    "permission": lambda request: request.user.has_perm("monitoring.view_systemlog"),
                    "active": lambda _request: False,
                },
                _item(_("Alarms"), "notification_important", "monitoring_alarm", "monitoring.view_alarm"),
                _item(_("Backups"), "backup", "monitoring_backup", "monitoring.view_backup"),
                _item(_("Audit log"), "history", "accounts_auditentry", "accounts.view_auditentry"),
                _item(_("Versions of settings"), "difference", "trading_configversion", "trading.view_configversion"),
                _item(_("Users"), "person", "accounts_user", "accounts.view_user"),
                _item(_("Roles"), "group", "auth_group", "auth.view_group"),
                _item(_("Simulated markets"), "science", "trading_simulatedmarket", "trading.view_simulatedmarket"),
                _item(_("Leases"), "key", "trading_lease", "trading.view_lease"),
            ],
        },
    ]
