"""The daily report: yesterday by the ledger, per account, for its owner. What is not there is said to be not there."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from dgbot.base.display import mode_label
from dgbot.core.money import plain
from dgbot.core.types import Mode
from monitoring.notifications import outbox
from monitoring.notifications.kinds import Kind, Level
from monitoring.notifications.models import Channel, Recipient
from monitoring.notifications.outbox import Draft
from trading.models import ExchangeAccount, PortfolioSnapshot, Position, Trade
from trading.selectors import ledger


@dataclass(frozen=True)
class Day:
    """One trading day: a calendar day in the risk limits' time zone."""

    date: date

    @classmethod
    def before(cls, now: datetime) -> "Day":
        """The last one that is over."""
        return cls(now.astimezone(ZoneInfo(settings.RISK_TIMEZONE)).date() - timedelta(days=1))

    @property
    def start(self) -> datetime:
        """Its first instant."""
        return datetime.combine(self.date, time(), tzinfo=ZoneInfo(settings.RISK_TIMEZONE))

    @property
    def end(self) -> datetime:
        """The first instant after it."""
        return datetime.combine(self.date + timedelta(days=1), time(), tzinfo=ZoneInfo(settings.RISK_TIMEZONE))


def write_reports(*, now: datetime) -> int:
    """A report of the last complete day for everybody who wants one and has a channel, once. Returns how many were written."""
    day = Day.before(now)
    unwanted = set(Recipient.objects.filter(wants_report=False).values_list("user_id", flat=True))
    users = set(Channel.objects.filter(is_enabled=True, user__is_active=True).values_list("user_id", flat=True)) - unwanted
    drafts = [_draft(user_id, day, now=now) for user_id in sorted(users)]
    return len(outbox.write(drafts))


def of_user(user_id: int, day: Day) -> list[dict[str, Any]]:
    """Every account of the user as the report tells it; replays have none."""
    accounts = ExchangeAccount.objects.filter(user_id=user_id, is_hidden=False).exclude(mode=Mode.REPLAY.value).order_by("name", "pk")
    return [of_account(account, day) for account in accounts]


def of_account(account: ExchangeAccount, day: Day) -> dict[str, Any]:
    """One account over one day, market time. net: realised profit after fees and funding in the account's currency."""
    lines = ledger.summaries(accounts=[account.pk], start=day.start, end=day.end)
    currency = account.quote_currency
    trades = Trade.objects.filter(account=account, created_at__gte=day.start, created_at__lt=day.end).count()
    before, after = _value(account, until=day.start), _value(account, until=day.end)
    fees = _sum_by_currency(line.fees for line in lines)
    return {
        "name": account.name,
        "mode": account.mode,
        "badge": mode_label(account.mode, is_demo=account.is_demo),
        "currency": currency,
        "has_data": bool(trades or lines or after is not None),
        "trades": trades,
        "sales": sum(line.sales for line in lines),
        "realised": plain(sum((line.realised for line in lines), Decimal(0))),
        "net": plain(sum((line.net(currency) for line in lines), Decimal(0))),
        "fees": plain(fees.pop(currency, Decimal(0))),
        "other_fees": ", ".join(f"{plain(amount)} {asset}" for asset, amount in sorted(fees.items())),
        "start_value": None if before is None else plain(before),
        "end_value": None if after is None else plain(after),
        "open_positions": Position.objects.open().filter(account=account, amount__gt=0).count(),
    }


def _draft(user_id: int, day: Day, *, now: datetime) -> Draft:
    facts = {"day": day.date.isoformat(), "accounts": of_user(user_id, day)}
    return Draft(Kind.REPORT, Level.INFO, "report", facts, user_id, now, fact=f"report:{user_id}:{day.date}")


def _value(account: ExchangeAccount, *, until: datetime) -> Decimal | None:
    """The last valuation before then, in the account's currency; None when there is none or it could not be told."""
    row = PortfolioSnapshot.objects.filter(account=account, created_at__lt=until).order_by("-created_at").first()
    if row is None:
        return None
    return row.total_value_krw if account.quote_currency == "KRW" else row.total_value_usd


def _sum_by_currency(parts: Iterable[dict[str, Decimal]]) -> dict[str, Decimal]:
    total: dict[str, Decimal] = {}
    for part in parts:
        for asset, amount in part.items():
            total[asset] = total.get(asset, Decimal(0)) + amount
    return total
