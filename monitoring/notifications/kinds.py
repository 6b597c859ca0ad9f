"""What can be told, how serious it is, and where it can go."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Kind(models.TextChoices):
    """What a notification is about. Each channel chooses those it wants."""

    CYCLE = "cycle", _("cycle started")
    SIGNALS = "signals", _("backtest and signals")
    DECISION = "decision", pgettext_lazy("notification", "decision")
    PORTFOLIO = "portfolio", pgettext_lazy("notification", "portfolio")
    FILL = "fill", _("fill")
    RISK = "risk", _("risk event")
    ERROR = "error", pgettext_lazy("notification", "error")
    BOT = "bot", _("state of a bot")
    ALARM = "alarm", _("silence of a process or bot")
    REPORT = "report", _("report")
    BACKUP = "backup", _("backup")
    HEALTH = "health", _("health")
    PERFORMANCE = "performance", _("performance")
    REPLY = "reply", _("answer to a command")  # always passes: somebody asked
    TEST = "test", _("test message")  # always passes


ANSWERS = (Kind.REPLY, Kind.TEST)
CHOSEN = [(kind.value, kind.label) for kind in Kind if kind not in ANSWERS]


class Level(models.TextChoices):
    """info: things go their way · warning: look when you can · error: look now · critical: money is at stake; passes quiet hours."""

    INFO = "info", _("info")
    WARNING = "warning", _("warning")
    ERROR = "error", _("error")
    CRITICAL = "critical", _("critical")

    @property
    def rank(self) -> int:
        """0 for info to 3 for critical."""
        return list(Level).index(self)


class Medium(models.TextChoices):
    """How a channel reaches its reader."""

    TELEGRAM = "telegram", "Telegram"
    SLACK = "slack", "Slack"
    EMAIL = "email", _("e-mail")
    WEBHOOK = "webhook", _("webhook")
    OTHER = "other", _("another service (Apprise)")


class State(models.TextChoices):
    """pending ⇄ sending → sent | refused | expired. `sending` whose sender died becomes pending again, marked as a possible repeat."""

    PENDING = "pending", pgettext_lazy("delivery", "waiting")
    SENDING = "sending", pgettext_lazy("delivery", "being sent")
    SENT = "sent", pgettext_lazy("delivery", "sent")
    REFUSED = "refused", pgettext_lazy("delivery", "refused")
    EXPIRED = "expired", pgettext_lazy("delivery", "too old to be sent")


OPEN_STATES = (State.PENDING.value, State.SENDING.value)
