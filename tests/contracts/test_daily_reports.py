"""The daily report over random histories: its profit is what the ledger's cash did, to the last digit that a mean cost has."""

import random
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db.models import Sum

from dgbot.core.types import Mode
from monitoring.notifications import reports
from tests import face_rows as rows
from tests import factories
from tests.scale import scale
from trading.models import Bot, LedgerEntry, Position, Trade
from trading.services import ledger

pytestmark = pytest.mark.django_db
D = Decimal


def a_stay(bot: Bot, chance: random.Random, *, start) -> int:
    """One position bought and sold again in parts, with its trades and their legs. Returns the number of trades."""
    position = rows.position(bot, opened_at=start)
    parts = [D(chance.randint(1, 10**6)) / 10**8 for _ in range(chance.randint(1, 3))]
    sales = list(parts)
    chance.shuffle(sales)
    legs = [("buy", part) for part in parts] + [("sell", part) for part in sales]
    made = [
        rows.trade(bot, side=side, amount=str(amount), price=str(chance.randint(10**6, 10**8)), at=start + timedelta(minutes=number)).pk
        for number, (side, amount) in enumerate(legs)
    ]
    with factories.triggers_off():
        Trade.objects.filter(pk__in=made).update(position=position)
        Position.objects.filter(pk=position.pk).update(amount=0, closed_at=start + timedelta(hours=1))
    ledger.enter_trades(list(Trade.objects.filter(pk__in=made).order_by("pk")), base="BTC", quote="KRW")
    return len(made)


@pytest.mark.parametrize("seed", range(scale(sample=3, full=200)))
def test_a_report_tells_what_the_ledgers_cash_did(seed: int) -> None:
    chance = random.Random(seed)
    bot = rows.bot(rows.user(), mode=Mode.PAPER)
    day = reports.Day.before(rows.T0 + timedelta(days=1))
    count = sum(a_stay(bot, chance, start=day.start + timedelta(hours=2 * number)) for number in range(chance.randint(1, 4)))
    a_stay(bot, chance, start=day.end + timedelta(hours=1))  # another day's

    (account,) = reports.of_user(bot.user_id, day)

    cash = LedgerEntry.objects.filter(account=bot.account, book="held", asset="KRW", created_at__gte=day.start, created_at__lt=day.end)
    assert account["trades"] == count
    assert abs(D(account["net"]) - cash.aggregate(sum=Sum("amount"))["sum"]) < D("1e-9")
