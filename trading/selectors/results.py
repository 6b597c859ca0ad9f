"""What closed positions earned: by day, market, strategy and reason of the exit, each currency for itself. One statement."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import Any

from django.db.models import BooleanField, Case, F, QuerySet, Value, When
from django.db.models.functions import TruncDay

from dgbot.base.adding_up import grouped
from trading.models import Position

MOST_POSITIONS = 100_000  # closed within the period; some tenths of a second
PROFIT = F("sold_total") - F("bought_total") - F("fees")


@dataclass(frozen=True)
class Asked:
    """Which positions. since is within, until is not; both aware, None leaves that side open. Empty texts choose everything."""

    since: datetime | None = None
    until: datetime | None = None
    bot: int | None = None
    symbol: str = ""
    mode: str = ""
    strategy: str = ""


@dataclass(frozen=True)
class Line:
    """One day, market, strategy or reason. Money in the currency of its `Result`, fees included in the profit."""

    name: Any
    count: int
    wins: int
    profit: Decimal
    fees: Decimal

    @property
    def win_fraction(self) -> Decimal:
        """Of the positions that ended with more than they cost."""
        return Decimal(self.wins) / self.count


@dataclass(frozen=True)
class Result:
    """All of one quote currency. days: oldest first; the others by profit, best first."""

    currency: str
    total: Line
    days: tuple[Line, ...]
    symbols: tuple[Line, ...]
    strategies: tuple[Line, ...]
    reasons: tuple[Line, ...]

    @property
    def cumulative(self) -> list[tuple[date, Decimal]]:
        """What had been earned by the end of each day."""
        earned, found = Decimal(0), []
        for line in self.days:
            earned += line.profit
            found.append((line.name, earned))
        return found


def closed(asked: Asked, *, user: Any) -> QuerySet[Position]:
    """The closed positions asked about, which `user` may see. Hidden bots, as replays are, only when one is asked for by name."""
    rows = Position.objects.for_user(user).filter(closed_at__isnull=False)
    if asked.since is not None:
        rows = rows.filter(closed_at__gte=asked.since)
    if asked.until is not None:
        rows = rows.filter(closed_at__lt=asked.until)
    for column, value in (("symbol", asked.symbol), ("mode", asked.mode), ("bot__strategy", asked.strategy)):
        rows = rows.filter(**{column: value}) if value else rows
    return rows.filter(bot=asked.bot) if asked.bot is not None else rows.filter(account__is_hidden=False, bot__is_hidden=False)


def of(asked: Asked, *, user: Any, zone: tzinfo) -> list[Result] | None:
    """Results by currency, the busiest first; None when more than MOST_POSITIONS were closed. Days are those of `zone`."""
    is_win = Case(When(sold_total__gt=F("bought_total") + F("fees"), then=Value(True)), default=Value(False), output_field=BooleanField())
    rows = closed(asked, user=user).annotate(day=TruncDay("closed_at", tzinfo=zone), profit=PROFIT, is_win=is_win)
    by = {
        "currency": "account__quote_currency",
        "day": "day",
        "symbol": "symbol",
        "strategy": "bot__strategy",
        "reason": "exit_reason",
        "is_win": "is_win",
    }
    groups = grouped(rows, by=by, sums={"profit": "profit", "fees": "fees"}, most=MOST_POSITIONS)
    if groups is None:
        return None
    of_currency: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for group in groups:
        of_currency[group["currency"]].append({**group, "day": group["day"].astimezone(zone).date()})
    found = [_result(currency, rows) for currency, rows in of_currency.items()]
    return sorted(found, key=lambda result: (-result.total.count, result.currency))


def _result(currency: str, groups: list[dict[str, Any]]) -> Result:
    total = _line("", groups)
    return Result(
        currency=currency,
        total=total,
        days=tuple(sorted(_lines(groups, "day"), key=lambda line: line.name)),
        symbols=_best_first(groups, "symbol"),
        strategies=_best_first(groups, "strategy"),
        reasons=_best_first(groups, "reason"),
    )


def _best_first(groups: list[dict[str, Any]], name: str) -> tuple[Line, ...]:
    return tuple(sorted(_lines(groups, name), key=lambda line: (-line.profit, str(line.name))))


def _lines(groups: list[dict[str, Any]], name: str) -> list[Line]:
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for group in groups:
        found[group[name]].append(group)
    return [_line(key, rows) for key, rows in found.items()]


def _line(name: Any, groups: list[dict[str, Any]]) -> Line:
    return Line(
        name=name,
        count=sum(group["count"] for group in groups),
        wins=sum(group["count"] for group in groups if group["is_win"]),
        profit=sum((group["profit"] for group in groups), Decimal(0)),
        fees=sum((group["fees"] for group in groups), Decimal(0)),
    )
