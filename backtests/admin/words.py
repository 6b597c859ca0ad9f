"""Findings in the operator's language."""

from django.utils.translation import gettext_lazy as _

from backtests.candles.quality import Kind, Severity
from backtests.candles.tidying import Note, Reason

KIND_WORDS = {
    Kind.MISSING: _("missing without explanation"),
    Kind.CONFIRMED: _("not traded, as the exchange confirms"),
    Kind.DUPLICATE: _("twice in the file"),
    Kind.INCONSISTENT: _("contradicting themselves"),
    Kind.OUTLIER: _("outliers: a price that jumps and comes straight back"),
    Kind.FROZEN: _("frozen: the same candle over and over"),
    Kind.STALE: _("behind the present"),
}
SEVERITY_TONES = {Severity.GOOD: "good", Severity.NOTICE: "quiet", Severity.WARNING: "warn", Severity.BAD: "bad"}
REASON_WORDS = {
    Reason.FORMING: _("still forming"),
    Reason.REPEATED: _("the same row twice"),
    Reason.NEWEST: _("the newest, as you asked"),
}
NOTE_WORDS = {
    Note.NEWEST_FIRST: _("The rows stand newest first; they are turned round."),
    Note.SHORTENED: _("Volumes such as 4.96K are rounded to their first digits."),
    Note.NEWEST_IS_SMALL: _("The newest candle has little volume: perhaps it was still forming. If so, tick “leave out the newest”."),
}
