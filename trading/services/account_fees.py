"""Fees at an account's tier: asked by the gateway, which holds the key, and read from its rows by everybody else."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dgbot.base.machine import machine_now
from dgbot.core.errors import ExchangeError, ExchangeUnavailable
from dgbot.core.protocols import Exchange
from dgbot.core.types import Fees
from trading.models import AccountFee, Bot, ExchangeAccount

log = logging.getLogger(__name__)

ASKED_EVERY = timedelta(hours=1)
GOOD_FOR = timedelta(days=1)  # a tier changes seldom, and never by more than a little


def refresh(*, account: ExchangeAccount, exchange: Exchange) -> None:
    """Ask for the fees of the markets its wanted bots trade in, where they are missing or an hour old.

    What is not answered keeps what was known, and is asked for again at the next call.
    """
    fresh = AccountFee.objects.filter(account=account, recorded_at__gte=machine_now() - ASKED_EVERY).values("symbol")
    wanted = Bot.objects.filter(account=account, is_running=True).exclude(symbol__in=fresh)
    for symbol in wanted.values_list("symbol", flat=True).distinct():
        try:
            told = exchange.fees(symbol)
        except ExchangeError as error:
            log.warning("account=%s fees of %s unknown: %s", account.pk, symbol, error)
            continue
        changes = {"maker_rate": told.maker_rate, "taker_rate": told.taker_rate, "recorded_at": machine_now()}
        AccountFee.objects.update_or_create(account=account, symbol=symbol, defaults=changes)


@dataclass(frozen=True)
class KeylessExchange:
    """A live exchange for those without the key: its public data, and the fees the gateway wrote down."""

    public: Exchange
    account: ExchangeAccount

    def __getattr__(self, name: str) -> Any:
        """Everything else is the public exchange's own."""
        return getattr(self.public, name)

    def fees(self, symbol: str) -> Fees:
        """See Exchange. Raises ExchangeUnavailable while the gateway has not told them."""
        row = AccountFee.objects.filter(account=self.account, symbol=symbol, recorded_at__gte=machine_now() - GOOD_FOR).first()
        if row is None:
            raise ExchangeUnavailable(
                f"The fees of {symbol} in {self.account} are not known; the gateway asks for them once the account is open."
            )
        return Fees(maker_rate=row.maker_rate, taker_rate=row.taker_rate)
