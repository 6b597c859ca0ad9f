"""Run by `manage.py shell`: queues a cycle of every hourly bot at once, then plans entries and exits for some others until it is ended."""

import os
import time
from decimal import Decimal

from django.db import transaction

from dgbot.base.machine import machine_now
from tests import factories
from trading import doorbell
from trading.models import Bot, Order, Position
from trading.services import orders
from trading.tasks import run_cycle

QUOTE_AMOUNT = Decimal(20_000)  # KRW
PACE_S = float(os.environ["LOAD_PACE_S"])


def plan(bot: Bot) -> None:
    """The next order of a bot that waits for none."""
    if Order.objects.unsettled().filter(bot=bot).exists():
        return
    position = Position.objects.open().filter(bot=bot, amount__gt=0).select_related("bot").first()
    now = machine_now()
    if position is None:
        factories.planned_entry(bot, slot=now, quote_amount=QUOTE_AMOUNT)
        return
    with transaction.atomic():
        orders.plan_exit(position=position, reason="signal", now=now)


slot = machine_now()
for pk in Bot.objects.filter(name__startswith="Hourly").values_list("pk", flat=True):
    run_cycle.delay(pk, slot.isoformat(), "operator")

bots = list(Bot.objects.filter(name__startswith="Flow").select_related("account", "user").order_by("pk"))
while True:
    for one in bots:
        plan(one)
        doorbell.ring()
        time.sleep(PACE_S / len(bots))
