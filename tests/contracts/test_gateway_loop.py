"""What the gateway does over several accounts: the trouble of one is its own."""

import pytest

from dgbot.core.types import Mode
from risk.seeds import create_profiles
from tests import factories
from trading import vault
from trading.models import Bot, BotStatus, Order
from trading.services import config
from trading.services.gateway_loop import Gateway
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import account_key

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(transaction=True, databases=["default", "venue"])]


def bots_with_an_entry_each(gateway: Gateway) -> list[Order]:
    """Two running bots, each on an account of its own that the gateway serves, with an entry to be sent."""
    bots = [factories.bot(mode=Mode.SIMULATED) for _ in range(2)]
    for bot in bots:
        DatabaseVenueStore(account_key(bot.account)).open(asset="KRW", amount=factories.CASH)
    gateway.turn()
    Bot.objects.update(status=BotStatus.RUNNING)
    return [factories.planned_entry(bot) for bot in bots]


@pytest.mark.parametrize("threads", [1, 8])
def test_an_error_that_nobody_expected_keeps_no_other_account_waiting(settings, threads: int) -> None:
    settings.GATEWAY_THREADS = threads
    create_profiles()
    config.create_missing()
    gateway = Gateway(open_key=vault.open_key)
    broken, order = bots_with_an_entry_each(gateway)
    with factories.triggers_off():
        Order.objects.filter(pk=broken.pk).update(params_hash="0" * 64)  # what leaves would not be what was planned

    gateway.turn()
    gateway.turn()
    gateway.close()

    broken.refresh_from_db()
    order.refresh_from_db()
    assert order.status == "filled", order.error_message
    assert broken.status == "submitting" and not broken.trades.exists()
