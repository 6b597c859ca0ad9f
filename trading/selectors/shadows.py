"""Days of bots and their shadows, from risk states and the cost of what models were asked; and what comparing them proves."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import F, Sum
from django.db.models.functions import Coalesce, TruncDate

from risk.domain.days import trading_day
from risk.models import RiskState
from trading.domain.shadows import Comparison, Day, compare
from trading.models import AnalystCall, Bot, KrwRate
from trading.models.bots import RULES


@dataclass(frozen=True)
class Beside:
    """A shadow beside its champion. champion_days, shadow_days: days that are over, oldest first.

    comparison: of the shadow against the champion; None while `why_unknown` says what keeps the two from being compared.
    """

    champion: Bot
    shadow: Bot
    champion_days: list[Day]
    shadow_days: list[Day]
    comparison: Comparison | None
    why_unknown: str = ""

    @property
    def worth(self) -> Comparison | None:
        """What the champion's model is worth: the champion against what it would be without one, API costs taken off.

        None where the shadow asks a model, too, or the champion none.
        """
        if self.comparison is None or self.shadow.analyst != RULES or self.champion.analyst == RULES:
            return None
        return compare(self.shadow_days, self.champion_days)


def beside(shadows: Iterable[Bot], *, now: datetime, zone: str) -> list[Beside]:
    """Each of these shadows beside its champion. now: aware; zone: that of the trading day, whose current one is left out."""
    today = trading_day(now, zone=zone)
    return [_beside(shadow, today=today, zone=zone) for shadow in shadows]


def _beside(shadow: Bot, *, today: date, zone: str) -> Beside:
    champion = shadow.shadow_of
    assert champion is not None
    costs = {bot.pk: _costs_usd(bot, zone=zone) for bot in (champion, shadow)}
    rate = _per_usd(champion.account.quote_currency)
    if rate is None and any(costs.values()):
        why = f"what a USD is worth in {champion.account.quote_currency} is unknown, and models cost USD"
        return Beside(champion, shadow, [], [], None, why)
    days = {bot.pk: _days(bot, costs[bot.pk], rate=rate or Decimal(0), before=today) for bot in (champion, shadow)}
    return Beside(champion, shadow, days[champion.pk], days[shadow.pk], compare(days[champion.pk], days[shadow.pk]))


def _days(bot: Bot, costs_usd: dict[date, Decimal], *, rate: Decimal, before: date) -> list[Day]:
    """Days whose profit is known; a day on which the bot did not run has no row."""
    rows = RiskState.objects.filter(bot=bot, trading_day__lt=before, daily_pnl__isnull=False, start_capital__gt=0)
    found = rows.order_by("trading_day").values_list("trading_day", "daily_pnl", "start_capital")
    return [Day(day, profit, capital, costs_usd.get(day, Decimal(0)) * rate) for day, profit, capital in found if profit is not None]


def _costs_usd(bot: Bot, *, zone: str) -> dict[date, Decimal]:
    """What its decisions cost by trading day; a call whose cost is unknown counts with what was reserved for it."""
    calls = AnalystCall.objects.filter(bot=bot, purpose="decision").annotate(day=TruncDate("asked_at", tzinfo=ZoneInfo(zone)))
    summed = calls.values("day").annotate(spent=Sum(Coalesce(F("cost"), F("reserved_cost")))).order_by("day")
    return {row["day"]: row["spent"] for row in summed if row["spent"]}


def _per_usd(quote: str) -> Decimal | None:
    """Quote currency for one USD, a USDT taken as one; None while unknown. A comparison over weeks may rest on an older rate."""
    if quote == "USDT":
        return Decimal(1)
    row = KrwRate.objects.filter(currency="USDT").first()
    return None if row is None or quote != "KRW" else row.krw_per_unit
