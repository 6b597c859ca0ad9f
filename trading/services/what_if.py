"""What a change would have done: the last 30 days with it against without it, computed by the engine from candles at hand.

Nothing is saved, no exchange is asked. Each bot begins with nothing held and its allocation in cash; a budget of seconds ends the
computing, and whoever was not looked at by then is named.
"""

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from backtests.candles.series import Candles
from backtests.engine.layout import R
from backtests.engine.running import Result
from dgbot.base.machine import machine_now
from dgbot.core.clock import from_nanoseconds
from dgbot.core.errors import BadInput, DgbotError
from dgbot.core.types import Mode
from risk.models import AccountLimits, BotLimits, RiskProfile
from trading.domain import config as rules
from trading.domain.config import Settings
from trading.models import Bot
from trading.selectors import limits
from trading.services import config, engine_runs, parity
from trading.services.engine_runs import Terms

SPAN = timedelta(days=30)
BUDGET_S = 3.0  # a person waits for the answer beside the form; saving never waits for it
MOST_BOTS = 20
STALE = timedelta(days=2)
OF_THE_ENGINE = frozenset({"max_trade_amount_krw", "risk_level", "target_symbols"})

TermsOf = Callable[[Bot], Terms | None]


@dataclass(frozen=True)
class Figures:
    """What one bot did in the span. result, fees: quote currency. drawdown: fraction of the peak, positive.

    trades: closed positions; entries: positions opened. safe_at: when a breaker put it into safe mode, to the end.
    """

    trades: int
    entries: int
    result: Decimal
    result_fraction: float
    drawdown: float
    fees: Decimal
    win_rate: float | None
    safe_at: datetime | None


@dataclass(frozen=True)
class Effect:
    """One bot without the change and with it; None: it would not trade at all. unknown: why neither can be told."""

    bot: Bot
    currency: str
    before: Figures | None = None
    after: Figures | None = None
    start: datetime | None = None
    end: datetime | None = None
    unknown: str = ""
    note: str = ""

    @property
    def is_same(self) -> bool:
        """Whether the change changes nothing."""
        return not self.unknown and self.before == self.after

    def as_row(self) -> dict[str, Any]:
        """For a client that wants numbers."""
        return {
            "bot": self.bot.pk,
            "name": self.bot.name,
            "symbol": self.bot.symbol,
            "currency": self.currency,
            "from": None if self.start is None else self.start.isoformat(),
            "to": None if self.end is None else self.end.isoformat(),
            "before": _row(self.before),
            "after": _row(self.after),
            "unknown": self.unknown,
            "note": self.note,
        }


@dataclass(frozen=True)
class Told:
    """The answer. left_out: names of bots for which no time was left. nothing: why there is nothing to compute."""

    effects: tuple[Effect, ...] = ()
    left_out: tuple[str, ...] = ()
    nothing: str = ""
    took_s: float = 0.0

    def as_row(self) -> dict[str, Any]:
        """For a client that wants numbers."""
        return {"effects": [one.as_row() for one in self.effects], "left_out": list(self.left_out), "nothing": self.nothing}


def of_setting(key: str, value: dict[str, Any], *, by: Any) -> Told:
    """A setting of bot_config with another value. by: the user, whose bots are looked at. Raises BadInput for a wrong value."""
    rules.check(key, value)
    if key not in OF_THE_ENGINE:
        return Told(nothing=_("This setting decides when bots run, not what they trade; the engine has nothing to say about it."))
    now = config.current()
    changed = config.with_value(now, key=key, value=value)

    def terms(settings: Settings) -> TermsOf:
        return lambda bot: None if bot.symbol not in settings.target_symbols else _terms(bot, settings=settings)

    return _told(_bots_of(by), before=terms(now), after=terms(changed))


def of_limits(row: RiskProfile | AccountLimits | BotLimits, *, by: Any) -> Told:
    """Limits as they would be, unsaved, on the bots of this user whose trading hangs on them."""
    now = config.current()
    bots = _bots_of(by).filter(pk__in=limits.governed(row).values("pk"))

    def after(bot: Bot) -> Terms:
        if isinstance(row, RiskProfile):
            return _terms(bot, settings=now, profile=row)
        changed = copy.copy(bot)
        if isinstance(row, BotLimits):
            changed._state.fields_cache["limits"] = row
        else:
            changed.account = copy.copy(bot.account)
            changed.account._state.fields_cache["limits"] = row
        return _terms(changed, settings=now)

    governed = [bot for bot in bots if not isinstance(row, RiskProfile) or _is_governed(bot, row, settings=now)]
    return _told(governed, before=lambda bot: _terms(bot, settings=now), after=after)


def of_bot(changed: Bot) -> Told:
    """A bot as it would be, unsaved; `changed` keeps its id. A new one has no before."""
    now = config.current()
    if changed._state.adding:
        return _told([changed], before=lambda _bot: None, after=lambda bot: _terms(bot, settings=now))
    stored = parity.bot_of(changed.pk)
    return _told([stored], before=lambda bot: _terms(bot, settings=now), after=lambda _bot: _terms(changed, settings=now))


def _bots_of(user: Any) -> Any:
    """Bots that trade, those that run first."""
    rows = Bot.objects.for_user(user).filter(is_hidden=False).exclude(mode=Mode.REPLAY.value)
    return rows.select_related(*limits.OWNERS_OF_LIMITS, "account__simulated_market").order_by("-is_running", "name", "pk")


def _is_governed(bot: Bot, profile: RiskProfile, *, settings: Settings) -> bool:
    return limits.profile_of(bot, settings=settings).pk == profile.pk


def _terms(bot: Bot, *, settings: Settings, profile: RiskProfile | None = None) -> Terms:
    profile = profile or limits.profile_of(bot, settings=settings)
    return engine_runs.terms_of(bot, profile=profile, limits=limits.effective(bot, profile=profile), settings=settings, may_ask=False)


def _told(bots: Iterable[Bot], *, before: TermsOf, after: TermsOf) -> Told:
    began, effects, left_out = time.monotonic(), [], []
    for number, bot in enumerate(bots):
        if number >= MOST_BOTS or time.monotonic() - began > BUDGET_S:
            left_out.append(bot.name)
            continue
        effects.append(_effect(bot, before=before, after=after))
    nothing = "" if effects else _("No bot of yours hangs on this, so there is nothing to compute.")
    return Told(tuple(effects), tuple(left_out), nothing, time.monotonic() - began)


def _effect(bot: Bot, *, before: TermsOf, after: TermsOf) -> Effect:
    currency = bot.account.quote_currency
    try:
        without, with_it = before(bot), after(bot)
        # Another strategy or symbol may come with the change, and an analyst that proposes cannot be asked about the past.
        told = [terms for terms in (without, with_it) if terms is not None]
        if not told:
            return Effect(bot, currency, note=_("It trades neither without the change nor with it."))
        if any(terms.bot.strategy == "ai" or terms.bot.analyst_mode == "propose" for terms in told):
            return Effect(bot, currency, unknown=_("An analyst proposes its trades, and cannot be asked about the past."))
        found = [None if terms is None else _figures(terms) for terms in (without, with_it)]
    except (DgbotError, LookupError, ValueError) as error:
        return Effect(bot, currency, unknown=str(error))
    start, end = next(span for _figure, span in (one for one in found if one is not None))
    figures = [None if one is None else one[0] for one in found]
    return Effect(
        bot, currency, figures[0], figures[1], start, end, note=" ".join(dict.fromkeys(note for one in told for note in one.notes))
    )


def _figures(terms: Terms) -> tuple[Figures, tuple[datetime, datetime]]:
    candles = _candles(terms.bot)
    end = candles.last_closed_at
    assert end is not None
    cash, start = engine_runs.allocation_of(terms.bot), end - SPAN
    result = engine_runs.walk(terms, candles, cash=cash, start=start)
    return _of(result, candles, cash=cash), (start, end)


def _candles(bot: Bot) -> Candles:
    """From the bot's anchor on, and not so old that they would tell of another market. Raises BadInput with how to get them."""
    candles = parity.candles_of(bot, until=machine_now())
    candles = candles if bot.anchor_at is None else candles.from_anchor(bot.anchor_at)
    newest = candles.last_closed_at
    if newest is None or (bot.mode != Mode.SIMULATED and machine_now() - newest > STALE):
        known = _("none") if newest is None else f"{newest:%Y-%m-%d %H:%M} UTC"
        text = _("The newest candle of %(symbol)s %(interval)s at hand is %(known)s; download newer ones under Candle series.")
        raise BadInput(text % {"symbol": bot.symbol, "interval": bot.interval, "known": known})
    return candles


def _of(result: Result, candles: Candles, *, cash: Decimal) -> Figures:
    metrics, since = result.metrics, result.safe_since
    final = float(result.statistics[R.FINAL_EQUITY])
    return Figures(
        trades=metrics.trades,
        entries=int(result.statistics[R.ENTRIES]),
        result=Decimal(repr(round(final - float(cash), 2))),
        result_fraction=metrics.total_return,
        drawdown=metrics.max_drawdown,
        fees=Decimal(repr(round(metrics.fees, 2))),
        win_rate=metrics.win_rate,
        safe_at=None if since is None else from_nanoseconds(int(candles.open_time[since]) + candles.interval.nanoseconds),
    )


def _row(figures: Figures | None) -> dict[str, Any] | None:
    if figures is None:
        return None
    return {
        "trades": figures.trades,
        "entries": figures.entries,
        "result": str(figures.result),
        "result_fraction": figures.result_fraction,
        "drawdown": figures.drawdown,
        "fees": str(figures.fees),
        "win_rate": figures.win_rate,
        "safe_at": None if figures.safe_at is None else figures.safe_at.isoformat(),
    }
