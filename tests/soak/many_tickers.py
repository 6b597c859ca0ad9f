"""Run by `manage.py shell`: many ticker bots on one simulated market whose clock runs as fast as ours."""

import os
from datetime import UTC, datetime, timedelta

from django.contrib.auth import get_user_model
from django.db.models.functions import Now

from dgbot.core.types import Mode
from trading.models import Bot, BotStatus, ExchangeAccount, SimulatedMarket
from trading.models.accounts import ExchangeName
from trading.services import config
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import account_key

BOTS_PER_ACCOUNT = 10
SYMBOLS = ("KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL", "KRW-DOGE")
CASH = 10_000_000


def create(count: int) -> None:
    """`count` bots that look every five seconds, their one-minute candles built from the trades."""
    Bot.objects.update(is_running=False, status=BotStatus.STOPPED)
    owner = get_user_model().objects.filter(is_superuser=True).first()
    config.change(key="target_symbols", value={"symbols": list(SYMBOLS)}, by=owner, reason="soak")
    market = SimulatedMarket.objects.create(
        name="Real time", seed=7, origin=datetime(2026, 1, 1, tzinfo=UTC), elapsed=timedelta(0), speed=1, checkpoint_at=Now()
    )
    for number in range(count):
        if number % BOTS_PER_ACCOUNT == 0:
            account = ExchangeAccount.objects.create(
                user=owner,
                name=f"Account {number}",
                exchange=ExchangeName.SIMULATED,
                mode=Mode.SIMULATED.value,
                quote_currency="KRW",
                simulated_market=market,
            )
            DatabaseVenueStore(account_key(account)).open(asset="KRW", amount=CASH)
        Bot.objects.create(
            user=owner,
            account=account,
            mode=account.mode,
            name=f"Ticker {number}",
            symbol=SYMBOLS[number % len(SYMBOLS)],
            strategy="volatility_breakout",
            interval="1m",
            tick_seconds=5,
            allocation=CASH / BOTS_PER_ACCOUNT,
            is_running=True,
            status=BotStatus.REQUESTED,
        )


create(int(os.environ["TICKER_BOTS"]))
