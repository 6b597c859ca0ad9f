"""What stands between a bot and its first trade, told before it is started: each check with its fact and its remedy.

A check never guesses: what cannot be told is `unknown` and says why. `blocks` means that no entry happens until it is mended; the
order path refuses by itself, so a preflight that was not looked at changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from backtests.models import CandleSeries, CandleSync, SyncStatus
from dgbot.accounts.models import Heartbeat
from dgbot.base import display
from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput, DgbotError
from dgbot.core.interval import Interval
from dgbot.core.types import Mode, TradingRules
from risk import selectors as risk
from risk.models import FilterMode, RiskProfile
from trading.domain.config import Settings
from trading.models import AccountBalance, Analyst, Bot, Credential, KeyStatus
from trading.models.bots import RULES
from trading.selectors import effective
from trading.selectors.limits import profile_of
from trading.services import analysts, config, markets, venues

YEARS = timedelta(days=730)  # what the quick filter judges
WARM_UP = timedelta(days=30)  # indicators need a start before it
SLACK = timedelta(days=2)
BALANCE_OLD_S = 60.0  # the gateway tells them every ten seconds
KEY_ENDS_SOON = timedelta(days=30)
NEEDED = ("gateway", "worker", "guardian", "beat")


class Verdict(StrEnum):
    """What a check found."""

    GOOD = "good"
    NOTE = "note"  # the bot works; look nevertheless
    UNKNOWN = "unknown"
    BLOCKS = "blocks"


@dataclass(frozen=True)
class Progress:
    """A download that waits or runs. done, total: questions to the exchange; total 0 until it was planned."""

    done: int
    total: int


@dataclass(frozen=True)
class Check:
    """One check. remedy: what to do, a sentence; place: the name of the page where, with its argument; act: what a button may do."""

    code: str
    verdict: Verdict
    title: str
    message: str
    remedy: str = ""
    place: str = ""
    place_pk: int | None = None
    act: str = ""
    progress: Progress | None = None


def checks(bot: Bot) -> tuple[Check, ...]:
    """Every check of a bot, saved or not, in the order in which an entry meets them. May ask the exchange for its public list."""
    return tuple(_Preflight(bot).all())


def blocking(found: tuple[Check, ...]) -> tuple[Check, ...]:
    """Those that keep the bot from opening anything."""
    return tuple(check for check in found if check.verdict is Verdict.BLOCKS)


def first_candle_wanted(*, interval: Interval, now: datetime) -> datetime:
    """Where the download begins that the quick filter needs."""
    return interval.open_of(now - YEARS - WARM_UP)


class _Preflight:
    """The facts one look shares between its checks, each read once."""

    def __init__(self, bot: Bot) -> None:
        self.bot, self.account, self.mode = bot, bot.account, Mode(bot.mode or bot.account.mode)
        self.currency = self.account.quote_currency
        self.now = machine_now()

    def all(self) -> Iterator[Check]:
        is_recorded = self.mode.is_recorded
        asked: tuple[Callable[[], Check], ...] = (
            self.money,
            *(() if is_recorded else (self.switch, self.symbols)),
            self.kill,
            *((self.key,) if self.mode is Mode.LIVE else ()),
            *(() if is_recorded else (self.market,)),
            self.cash,
            *(() if is_recorded else (self.candles,)),
            self.period,
            self.analyst,
            self.processes,
        )
        for check in asked:
            yield check()

    @cached_property
    def settings(self) -> Settings | None:
        try:
            return config.current()
        except BadInput:
            return None

    @cached_property
    def profile(self) -> RiskProfile | None:
        try:
            return None if self.settings is None else profile_of(self.bot, settings=self.settings)
        except LookupError:
            return None

    def money(self) -> Check:
        title, told = _("Money"), Mode(self.mode)
        if why_not := venues.why_not(told):
            return Check("mode", Verdict.BLOCKS, title, _("Bots of this mode do not run here: %(why)s.") % {"why": why_not})
        if told is Mode.LIVE and not self.account.is_demo:
            return Check("mode", Verdict.NOTE, title, _("LIVE: real money moves."))
        words = {
            Mode.SIMULATED: _("Simulated: a made-up market, no money and no exchange."),
            Mode.PAPER: _("Paper: real quotes, pretended money; no order reaches the exchange."),
            Mode.LIVE: _("DEMO: the exchange's own demo account, no real money."),
        }
        return Check("mode", Verdict.GOOD, title, words.get(told, told.value))

    def switch(self) -> Check:
        title = _("Main switch")
        if self.settings is None:
            return Check("switch", Verdict.BLOCKS, title, _("The settings cannot be read."), _("Run `manage.py prepare`."))
        if self.settings.enabled:
            return Check("switch", Verdict.GOOD, title, _("bot_status is on: paper and live bots may open positions."))
        return Check(
            "switch",
            Verdict.BLOCKS,
            title,
            _("bot_status is off, so no paper or live bot opens anything."),
            _("Switch it on under Settings."),
            place="admin:trading_botconfig_changelist",
        )

    def symbols(self) -> Check:
        title = _("Allowed symbols")
        targets = () if self.settings is None else self.settings.target_symbols
        if self.bot.symbol in targets:
            return Check("symbols", Verdict.GOOD, title, _("%(symbol)s is one of target_symbols.") % {"symbol": self.bot.symbol})
        return Check(
            "symbols",
            Verdict.BLOCKS,
            title,
            _("%(symbol)s is not in target_symbols (%(known)s), so nothing is opened there.")
            % {"symbol": self.bot.symbol or "–", "known": ", ".join(targets) or "–"},
            _("Add it to target_symbols under Settings, or choose another symbol."),
            place="admin:trading_botconfig_changelist",
        )

    def kill(self) -> Check:
        title = _("Kill switch")
        level = risk.kill_level(
            bot_id=self.bot.pk or 0,
            account_id=self.account.pk or 0,
            user_id=self.account.user_id,
            exchange=self.account.exchange,
            symbol=self.bot.symbol,
        )
        if not level:
            return Check("kill", Verdict.GOOD, title, _("No kill switch covers it."))
        return Check(
            "kill",
            Verdict.BLOCKS,
            title,
            _("A kill switch at level %(level)d covers it: nothing is opened.") % {"level": level},
            _("See who raised it and why, then release it."),
            place="admin:risk_killswitch_changelist",
        )

    def key(self) -> Check:
        title, place = _("Exchange key"), "admin:trading_exchangeaccount_change"
        credential = Credential.objects.filter(account_id=self.account.pk).first()

        def told(verdict: Verdict, message: str, remedy: str = "", act: str = "") -> Check:
            return Check("key", verdict, title, message, remedy, place=place, place_pk=self.account.pk, act=act)

        if credential is None:
            return told(Verdict.BLOCKS, _("The account has no key."), _("Enter one on the account's page."))
        if credential.status != KeyStatus.VERIFIED:
            message = _("The key %(key)s is %(status)s. %(cause)s") % {
                "key": credential.shown,
                "status": credential.get_status_display(),
                "cause": credential.cause,
            }
            return told(Verdict.BLOCKS, message.strip(), _("Have it checked, or enter another one."), act="check_key")
        if credential.can_trade is False:
            return told(Verdict.BLOCKS, _("The key may not trade."), _("Give it the right to trade at the exchange, then have it checked."))
        if credential.expires_at is not None and credential.expires_at - self.now < KEY_ENDS_SOON:
            left = display.age(credential.expires_at - self.now)
            return told(Verdict.NOTE, _("The key ends in %(left)s.") % {"left": left}, _("Make a new one at the exchange in time."))
        doubts = [
            name
            for name, value in (
                (_("withdraw"), credential.can_withdraw),
                (_("bound to addresses"), credential.is_ip_locked),
            )
            if value is None
        ]
        if doubts:
            told_rights = _("The key is verified; not told by the exchange: %(rights)s.") % {"rights": ", ".join(doubts)}
            return told(Verdict.NOTE, told_rights, _("Check at the exchange that it cannot withdraw."))
        return told(Verdict.GOOD, _("The key is verified, may trade and cannot withdraw."))

    @cached_property
    def rules(self) -> TradingRules | None:
        return markets.listed(self.account.exchange).get(self.bot.symbol)

    def market(self) -> Check:
        title = _("Market and minimum")
        try:
            rules = self.rules
        except DgbotError as error:
            return Check("market", Verdict.UNKNOWN, title, _("The exchange cannot be asked: %(why)s") % {"why": error})
        if rules is None:
            named = {"exchange": self.account.get_exchange_display(), "symbol": self.bot.symbol or "–"}
            message = _("%(exchange)s does not list %(symbol)s.") % named
            return Check("market", Verdict.BLOCKS, title, message, _("Choose a symbol from the list."))
        if not rules.is_tradable:
            return Check("market", Verdict.BLOCKS, title, _("%(symbol)s is closed for now.") % {"symbol": rules.symbol})
        return self._amount(title, rules)

    def _amount(self, title: str, rules: TradingRules) -> Check:
        most, least = self._most_per_entry(), rules.minimum_total
        if most is None:
            return Check("market", Verdict.UNKNOWN, title, _("The settings cannot be read, so the amount per entry is unknown."))
        value, origin = most
        amounts = {"most": display.money(value, self.currency), "least": display.money(least, self.currency), "currency": self.currency}
        if value < least:
            message = _("An entry is at most %(most)s %(currency)s (%(origin)s), under the exchange's minimum of %(least)s %(currency)s.")
            remedy = _("Raise the amount, the allocation or the cap it names.")
            return Check("market", Verdict.BLOCKS, title, message % {**amounts, "origin": origin}, remedy)
        message = _("An entry is at most %(most)s %(currency)s; the exchange asks for at least %(least)s.") % amounts
        if rules.cautions:
            warned = _("The exchange warns: %(words)s.") % {"words": ", ".join(rules.cautions)}
            return Check("market", Verdict.NOTE, title, f"{message} {warned}")
        return Check("market", Verdict.GOOD, title, message)

    def _most_per_entry(self) -> tuple[Decimal, str] | None:
        if self.settings is None or self.bot.trade_amount is None:
            return None
        found = effective.most_per_entry(self.bot, self.settings)
        return Decimal(found.value), found.origin

    def cash(self) -> Check:
        title = _("Cash")
        row = AccountBalance.objects.filter(account_id=self.account.pk, asset=self.currency).first() if self.account.pk else None
        if row is None:
            return Check("cash", Verdict.UNKNOWN, title, _("The gateway has not told the account's balance yet; it does within seconds."))
        old = (self.now - row.recorded_at).total_seconds()
        money = {"free": display.money(row.free, self.currency), "currency": self.currency}
        if old > BALANCE_OLD_S:
            message = _("%(free)s %(currency)s, told %(age)s ago.") % {**money, "age": display.age(timedelta(seconds=old))}
            return Check("cash", Verdict.UNKNOWN, title, message, _("See whether the gateway runs."))
        if self.bot.trade_amount is not None and row.free < self.bot.trade_amount:
            return Check(
                "cash",
                Verdict.NOTE,
                title,
                _("%(free)s %(currency)s are free, less than the amount per trade.") % money,
                _("Entries become smaller, or wait until there is enough."),
            )
        return Check("cash", Verdict.GOOD, title, _("%(free)s %(currency)s are free.") % money)

    def candles(self) -> Check:
        title = _("Two years of candles")
        exchange, symbol, interval = self.account.exchange, self.bot.symbol, Interval(self.bot.interval)
        named = {"exchange": exchange, "symbol": symbol, "interval": interval}
        series = CandleSeries.objects.filter(**named).first()
        running = CandleSync.objects.filter(**named, finished_at__isnull=True).first()
        wanted = self.now - YEARS + SLACK
        begins = None if series is None else series.first_opened_at
        if running is not None:
            progress = Progress(done=running.windows_done, total=running.windows_total)
            message = running.reason or _("The download runs; entries begin when it is done.")
            return Check("candles", Verdict.BLOCKS if self._filter_blocks else Verdict.NOTE, title, message, progress=progress)
        if begins is not None and begins <= wanted:
            return self._data_age(series)
        if begins is not None and self._all_there_is(named, wanted):
            message = _("%(symbol)s has candles since %(since)s; the exchange has none older.") % {
                "symbol": symbol,
                "since": f"{begins:%Y-%m-%d}",
            }
            return Check("candles", Verdict.NOTE, title, message, _("A short past may hold too few trades for the quick filter."))
        have = _("none") if begins is None else _("since %(since)s") % {"since": f"{begins:%Y-%m-%d}"}
        if self._filter_blocks:
            message = _(
                "The quick filter replays the last two years before every entry and stops what it cannot judge."
                " Candles of %(symbol)s (%(interval)s) here: %(have)s."
            )
        else:
            message = _("Candles of %(symbol)s (%(interval)s) here: %(have)s. The quick filter of this risk profile only tells.")
        return Check(
            "candles",
            Verdict.BLOCKS if self._filter_blocks else Verdict.NOTE,
            title,
            message % {"symbol": symbol or "–", "interval": interval, "have": have},
            _("Download them: one click, a few minutes."),
            act="download",
        )

    def _data_age(self, series: CandleSeries | None) -> Check:
        assert series is not None
        title, interval = _("Two years of candles"), Interval(series.interval)
        behind = self.now - (series.last_opened_at + interval.length)
        told = {"since": f"{series.first_opened_at:%Y-%m-%d}", "age": display.age(max(behind, timedelta(0)))}
        message = _("Candles since %(since)s; the newest closed %(age)s ago.") % told
        if behind > 2 * interval.length:
            return Check("candles", Verdict.GOOD, title, f"{message} {_('The next cycle fetches what is missing.')}")
        return Check("candles", Verdict.GOOD, title, message)

    @staticmethod
    def _all_there_is(named: Mapping[str, object], wanted: datetime) -> bool:
        return CandleSync.objects.filter(**named, status=SyncStatus.DONE, since__lte=wanted).exists()

    @cached_property
    def _filter_blocks(self) -> bool:
        mode = self.bot.filter_mode or (FilterMode.BLOCKS if self.profile is None else self.profile.filter_mode)
        return bool(mode == FilterMode.BLOCKS)

    def period(self) -> Check:
        title, schedule = _("Schedule"), self.bot.schedule
        if self.bot.tick_seconds:
            message = _("The ticker looks every %(seconds)d s.") % {"seconds": self.bot.tick_seconds}
            return Check("schedule", Verdict.GOOD, title, message)
        if schedule is None:
            return Check("schedule", Verdict.NOTE, title, _("None: cycles run only by hand, with “Run now”."), _("Choose a schedule."))
        if not schedule.enabled:
            return Check(
                "schedule",
                Verdict.NOTE,
                title,
                _("“%(name)s” is switched off, so no cycle starts by itself.") % {"name": schedule.name},
                _("Switch it on under Schedules."),
                place="admin:django_celery_beat_periodictask_change",
                place_pk=schedule.pk,
            )
        return Check("schedule", Verdict.GOOD, title, _("“%(name)s” starts its cycles.") % {"name": schedule.name})

    def analyst(self) -> Check:
        title = _("Analyst")
        if self.bot.analyst in ("", RULES):
            return Check("analyst", Verdict.GOOD, title, _("The rules decide alone; no model is asked and nothing is paid."))
        analyst = Analyst.objects.filter(name=self.bot.analyst).first()
        place = "admin:trading_analyst_changelist"
        if analyst is None or not analyst.is_enabled:
            message = _("The analyst %(name)s is switched off or gone, so every entry is abstained from.") % {"name": self.bot.analyst}
            return Check("analyst", Verdict.BLOCKS, title, message, _("Switch it on, or choose another."), place=place)
        spent = analysts.spent(analyst)
        told = {
            "name": analyst.name,
            "day": display.money(spent["day"], "USD"),
            "most": display.money(analyst.day_budget, "USD"),
        }
        message = _("%(name)s: %(day)s of %(most)s USD spent today.") % told
        is_spent = spent["day"] >= analyst.day_budget or spent["month"] >= analyst.month_budget
        remedy = _("Raise the budget, or wait.") if is_spent else ""
        return Check("analyst", Verdict.BLOCKS if is_spent else Verdict.GOOD, title, message, remedy, place=place)

    def processes(self) -> Check:
        title = _("Processes")
        beats = Heartbeat.objects.exclude(process="bot")
        alive = {beat.process for beat in beats if (self.now - beat.beat_at).total_seconds() <= beat.late_after_s}
        needed = (*NEEDED, *(("ticker",) if self.bot.tick_seconds else ()))
        silent = [name for name in needed if name not in alive]
        if not silent:
            return Check("processes", Verdict.GOOD, title, _("Gateway, worker, guardian and beat show signs of life."))
        message = _("No sign of life from: %(names)s.") % {"names": ", ".join(silent)}
        return Check("processes", Verdict.BLOCKS, title, message, _("Start them with `scripts/up.sh`, or look at their logs."))
