"""What one turn of the gateway process does over all accounts it may hold."""

import logging

from dgbot.core.types import Mode
from trading.models import ExchangeAccount
from trading.services import bots, gateway
from trading.services.gateway import Tenure
from trading.services.venues import venue_for

log = logging.getLogger(__name__)


class Gateway:
    """Remembers which accounts it holds, so that a newly taken one passes the barrier before its bots run."""

    def __init__(self) -> None:
        self.held: dict[int, Tenure] = {}

    def turn(self) -> None:
        """Take accounts, settle and send their orders, then let their wanted bots run."""
        for account in ExchangeAccount.objects.filter(mode=Mode.SIMULATED.value).select_related("simulated_market"):
            tenure = gateway.take_account(account.pk)
            if tenure is None:
                self.held.pop(account.pk, None)
                continue
            if self.held.get(account.pk) != tenure:
                log.info("account=%s taken with epoch %s", account.pk, tenure.epoch)
                bots.await_gateway(account_id=account.pk)
                self.held[account.pk] = tenure
            gateway.step(account_id=account.pk, venue=venue_for(account), tenure=tenure)
            bots.settle_wanted(account_id=account.pk)

    def close(self) -> None:
        """Give every account back, so that a successor need not wait."""
        for tenure in self.held.values():
            gateway.give_back(tenure)
