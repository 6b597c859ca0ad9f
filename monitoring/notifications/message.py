"""A worded message, before any channel gives it its shape."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from monitoring.notifications.kinds import Kind, Level

ICONS = {Level.INFO: "ℹ️", Level.WARNING: "⚠️", Level.ERROR: "❌", Level.CRITICAL: "🚨"}
OWN_ICONS = {
    Kind.CYCLE: "🔄",
    Kind.SIGNALS: "📊",
    Kind.DECISION: "🤖",
    Kind.PORTFOLIO: "💼",
    Kind.FILL: "💱",
    Kind.REPORT: "📅",
    Kind.BACKUP: "💾",
    Kind.TEST: "🔔",
    Kind.REPLY: "",
}
COLOURS = {Level.INFO: "#2463eb", Level.WARNING: "#d97706", Level.ERROR: "#dc2626", Level.CRITICAL: "#7f1d1d"}


@dataclass(frozen=True)
class Reader:
    """Whom a message is worded for. time_zone: in which its times are told; modes: of whose bots it may tell."""

    language: str = "en"
    time_zone: str = "Asia/Seoul"
    modes: tuple[str, ...] = ("paper", "live")

    def when(self, at: datetime) -> str:
        """An instant in the reader's zone, named."""
        local = at.astimezone(ZoneInfo(self.time_zone))
        return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"


@dataclass(frozen=True)
class Message:
    """What is said, in the reader's language, as plain text: every channel escapes for itself.

    fields: label and value. text: of any length. remedy: what to do. badge: LIVE, PAPER or SIMULATED where a bot is meant.
    """

    kind: Kind
    level: Level
    title: str
    fields: tuple[tuple[str, str], ...] = ()
    text: str = ""
    remedy: str = ""
    badge: str = ""
    when: str = ""
    at: datetime = field(default=datetime(1970, 1, 1, tzinfo=UTC))
    may_be_a_repeat: str = ""  # the words for it

    @property
    def icon(self) -> str:
        """The level's where it asks for attention, else the kind's."""
        return ICONS[self.level] if self.level is not Level.INFO else OWN_ICONS.get(self.kind, ICONS[Level.INFO])

    @property
    def head(self) -> str:
        """Icon, badge and title in one line."""
        return " ".join(part for part in (self.icon, f"[{self.badge}]" if self.badge else "", self.title) if part)

    @property
    def lines(self) -> list[str]:
        """Everything but the title, as plain lines."""
        told = [f"{label}: {value}" for label, value in self.fields]
        for more in (self.text, self.remedy):
            told += ["", *more.splitlines()] if more and told else more.splitlines()
        foot = [part for part in (self.when, self.may_be_a_repeat) if part]
        return [*told, *([""] if foot and told else []), *foot]
