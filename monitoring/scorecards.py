"""What the scorecard page shows: how good the models' forecasts were, and what each model earns beside its shadow without one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any

from django.conf import settings
from django.contrib.admin.utils import label_for_field
from django.utils.translation import gettext as _

from backtests import selectors as archive
from backtests.candles.series import Candles
from dgbot.base.display import money, signed
from dgbot.core.interval import Interval
from trading.domain.scorecard import FEWEST, Card, cards
from trading.domain.shadows import FEWEST_DAYS, Comparison, Day, Finding
from trading.models import Analyst, Bot, Decision
from trading.models.bots import RULES
from trading.selectors import shadows
from trading.selectors.scorecards import resolve
from trading.selectors.shadows import Beside
from trading.services.shadows import IN_QUESTION, PRETENDS_IN

NEWEST_DECISIONS = 5000  # answered ones, of everything the user may see
WIDTH, HEIGHT = 640, 120  # of the picture of a comparison
SQUARE = 200  # of the picture of a calibration


@dataclass(frozen=True)
class Dot:
    """One bin of a calibration, in the picture's units from the top left."""

    left: float
    top: float
    high: float
    low: float
    label: str


@dataclass(frozen=True)
class Scored:
    """One group's card. tone: good, bad or quiet."""

    name: str
    card: Card
    says: str
    tone: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Followed:
    """A shadow beside its champion, in words. line: the sum of their differences over the days, as SVG points; zero: its height."""

    shadow: Bot
    champion: Bot
    otherwise: list[str]
    days: int
    profit: str
    cost: str
    a_day: str
    says: str
    advice: str
    tone: str
    line: str
    zero: float


def scored(user: Any, *, by: str, now: datetime) -> tuple[list[Scored], int, int]:
    """(cards by group, forecasts that wait for their horizon, forecasts without candles to resolve them)."""
    answered = Decision.objects.for_user(user).filter(answer__isnull=False, mode__in=("paper", "live"))
    rows = answered.select_related("bot__account", "call__prompt").order_by("-pk")[:NEWEST_DECISIONS]
    found = resolve(rows, _archived, now=now, by=by)
    told = [Scored(name, card, *_card_words(card), dots=_dots(card)) for name, card in cards(found.forecasts).items()]
    return told, found.pending, found.unknown


def followed(user: Any, *, now: datetime) -> list[Followed]:
    """Every shadow the user may see, newest first."""
    rows = Bot.objects.for_user(user).filter(shadow_of__isnull=False).select_related("shadow_of__account", "account").order_by("-pk")
    return [_followed(one) for one in shadows.beside(rows, now=now, zone=settings.RISK_TIMEZONE)]


def may_be_followed(user: Any) -> list[Bot]:
    """Bots of which a shadow can be made."""
    modes = [mode.value for mode in PRETENDS_IN]
    return list(Bot.objects.for_user(user).filter(shadow_of=None, tick_seconds=None, mode__in=modes, is_hidden=False).order_by("name"))


def analysts() -> list[str]:
    """Whom a shadow may ask; the rules alone first."""
    return [RULES, *Analyst.objects.filter(is_enabled=True).order_by("name").values_list("name", flat=True)]


def _archived(exchange: str, symbol: str, interval: Interval) -> Candles:
    return archive.candles_of(exchange=exchange, symbol=symbol, interval=interval)


def _followed(one: Beside) -> Followed:
    quote = one.champion.account.quote_currency
    shown = one.worth or one.comparison
    is_worth = one.worth is not None
    base, other = (one.shadow_days, one.champion_days) if is_worth else (one.champion_days, one.shadow_days)
    line, zero = _line(base, other)
    says, advice, tone = _comparison_words(shown, is_worth=is_worth) if shown is not None else (one.why_unknown, "", "warn")
    return Followed(
        shadow=one.shadow,
        champion=one.champion,
        otherwise=_differences(one),
        days=0 if shown is None else shown.days,
        profit=_("unknown") if shown is None else f"{signed(shown.profit, quote)} {quote}",
        cost=_("unknown") if shown is None else f"{money(shown.cost, quote)} {quote}",
        a_day="–" if shown is None or shown.mean is None else f"{shown.mean:+.3%} [{shown.low:+.3%}, {shown.high:+.3%}]",
        says=says,
        advice=advice,
        tone=tone,
        line=line,
        zero=zero,
    )


def _differences(one: Beside) -> list[str]:
    """What the shadow does otherwise, each parameter by itself."""
    found = []
    for name in IN_QUESTION:
        mine, theirs = getattr(one.shadow, name), getattr(one.champion, name)
        if name == "parameters":
            both = sorted(mine.keys() | theirs.keys())
            found += [(key, mine.get(key, _("default")), theirs.get(key, _("default"))) for key in both]
        else:
            found.append((str(label_for_field(name, Bot)), mine, theirs))
    told = _("%(name)s: %(shadow)s instead of %(champion)s")
    return [told % {"name": name, "shadow": mine, "champion": theirs} for name, mine, theirs in found if mine != theirs]


def _comparison_words(shown: Comparison, *, is_worth: bool) -> tuple[str, str, str]:
    """(what is proven, what to do, tone)."""
    if shown.finding is Finding.TOO_FEW:
        told = _("%(days)d days are too few to tell; %(fewest)d are needed.") % {"days": shown.days, "fewest": FEWEST_DAYS}
        return told, _("Let both run on."), "quiet"
    if is_worth:
        return {
            Finding.BETTER: (_("The model earns more than it costs."), _("Keep it."), "good"),
            Finding.WORSE: (_("The model costs more than it earns."), _("The rules alone are the cheaper way."), "bad"),
            Finding.NONE: (_("The model is worth nothing that could be proven."), _("The rules alone are the cheaper way."), "warn"),
        }[shown.finding]
    return {
        Finding.BETTER: (_("The shadow is better, and not by chance."), _("It may be promoted."), "good"),
        Finding.WORSE: (_("The shadow is worse, and not by chance."), _("Stop it."), "bad"),
        Finding.NONE: (_("No difference is proven."), _("Let both run on."), "quiet"),
    }[shown.finding]


def _card_words(card: Card) -> tuple[str, str]:
    if card.advantage is None:
        told = _("%(count)d forecasts are resolved; fewer than %(fewest)d tell nothing.")
        return told % {"count": card.count, "fewest": FEWEST}, "quiet"
    if card.advantage.low > 0:
        return _("Better than who knows nothing."), "good"
    if card.advantage.high < 0:
        return _("Worse than who knows nothing: the rules alone are the cheaper way."), "bad"
    return _("No difference to who knows nothing is proven: the rules alone are the cheaper way."), "warn"


def _dots(card: Card) -> tuple[Dot, ...]:
    return tuple(
        Dot(
            left=round(one.stated * SQUARE, 1),
            top=round((1 - one.rate) * SQUARE, 1),
            high=round((1 - one.high) * SQUARE, 1),
            low=round((1 - one.low) * SQUARE, 1),
            label=_("stated %(stated)s, came true %(rate)s of %(count)d")
            % {"stated": f"{one.stated:.0%}", "rate": f"{one.rate:.0%}", "count": one.count},
        )
        for one in card.calibration
    )


def _line(base: Sequence[Day], other: Sequence[Day]) -> tuple[str, float]:
    """The sum of what `other` made more than `base`, day by day, as SVG points; and where zero lies."""
    theirs = {one.day: one for one in base}
    differences = [float(one.profit - one.cost - (theirs[one.day].profit - theirs[one.day].cost)) for one in other if one.day in theirs]
    sums = list(accumulate(differences, initial=0.0))
    low, high = min(sums), max(sums)
    spread = (high - low) or 1.0
    step = WIDTH / max(len(sums) - 1, 1)
    points = (f"{number * step:.1f},{(high - value) / spread * HEIGHT:.1f}" for number, value in enumerate(sums))
    return " ".join(points), round(high / spread * HEIGHT, 1)
