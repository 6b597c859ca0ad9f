"""Run by `manage.py shell`: bots of every kind on two exchanges."""

import os
from decimal import Decimal

from django.contrib.auth import get_user_model

from dgbot.core.types import Mode
from tests.fakes.upbit.server import ACCESS, SECRET
from trading.exchanges.keys import ApiKey
from trading.models import Bot, BotStatus, CommandKind, ExchangeAccount
from trading.services import commands, config, credentials
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import account_key

BOTS_PER_ACCOUNT = 25
SYMBOLS = {"upbit": ("KRW-BTC", "KRW-ETH", "KRW-XRP"), "bitget": ("BTC/USDT:USDT", "ETH/USDT:USDT")}
QUOTES = {"upbit": ("KRW", Decimal(50_000_000)), "bitget": ("USDT", Decimal(50_000))}
FLOW = "Flow"  # bots of this name are driven by order_flow.py


def account(exchange: str, *, mode: Mode, name: str) -> ExchangeAccount:
    """An account with money in it."""
    asset, cash = QUOTES[exchange]
    owner = get_user_model().objects.filter(is_superuser=True).first()
    made = ExchangeAccount.objects.create(user=owner, name=name, exchange=exchange, mode=mode.value, quote_currency=asset)
    if mode is Mode.PAPER:
        DatabaseVenueStore(account_key(made)).open(asset=asset, amount=cash)
    return made


def bot(home: ExchangeAccount, *, name: str, number: int, **columns: object) -> Bot:
    """A running bot."""
    symbols = SYMBOLS[home.exchange]
    allocation = QUOTES[home.exchange][1] / BOTS_PER_ACCOUNT
    return Bot.objects.create(
        user=home.user,
        account=home,
        mode=home.mode,
        name=f"{name} {number}",
        symbol=symbols[number % len(symbols)],
        strategy="volatility_breakout",
        allocation=allocation,
        is_running=True,
        status=BotStatus.RUNNING,
        **columns,
    )


def many(exchange: str, *, count: int, name: str, **columns: object) -> None:
    """Paper bots, a few dozen to an account."""
    for number in range(count):
        if number % BOTS_PER_ACCOUNT == 0:
            home = account(exchange, mode=Mode.PAPER, name=f"{name} {exchange} {number}")
        bot(home, name=f"{name} {exchange}", number=number, **columns)


def create(*, tickers: int, hourly: int, flow: int) -> None:
    """Half of each at either exchange; of those with orders, all at Upbit, on paper and live."""
    Bot.objects.update(is_running=False, status=BotStatus.STOPPED)
    everything = [*SYMBOLS["upbit"], *SYMBOLS["bitget"]]
    config.change(key="bot_status", value={"enabled": True}, by="soak", reason="soak")
    config.change(key="target_symbols", value={"symbols": everything}, by="soak", reason="soak")
    for exchange in SYMBOLS:
        many(exchange, count=tickers // 2, name="Ticker", tick_seconds=5, interval="1m")
    live, paper = account("upbit", mode=Mode.LIVE, name="Live"), account("upbit", mode=Mode.PAPER, name="Paper orders")
    credentials.keep(ApiKey(ACCESS, SECRET), account=live, by="soak")
    commands.ask(kind=CommandKind.CHECK_KEY, account=live, by="soak")
    for home in (live, paper):
        for number in range(flow // 2):
            bot(home, name=f"{FLOW} {home.mode}", number=number)
    for exchange in SYMBOLS:
        many(exchange, count=hourly // 2, name="Hourly", interval="1h")


create(tickers=int(os.environ["LOAD_TICKERS"]), hourly=int(os.environ["LOAD_HOURLY"]), flow=int(os.environ["LOAD_FLOW"]))
