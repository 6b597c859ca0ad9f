"""The one place where a mode chooses its venue."""

from decimal import Decimal
from functools import lru_cache

from dgbot.core.errors import VenueUnavailable
from dgbot.core.types import Fees, Mode
from trading.exchanges.pretend import PretendExchange
from trading.exchanges.simulated import SimulatedQuotes
from trading.exchanges.simulated_market import SimulatedMarket
from trading.exchanges.venue import Venue
from trading.models import ExchangeAccount
from trading.services.simulated_clock import SimulatedClock
from trading.services.venue_store import DatabaseVenueStore

NOT_YET = {
    Mode.PAPER: "paper trading needs the exchange adapters, which this version does not have yet",
    Mode.LIVE: "live trading needs the exchange adapters and the proven order path, which this version does not have yet",
    Mode.REPLAY: "a replay is driven by `manage.py replay` and runs nowhere else",
}
KRW_FEES = Fees(maker_rate=Decimal("0.0005"), taker_rate=Decimal("0.0005"))  # Upbit's KRW markets


def why_not(mode: Mode) -> str:
    """Why bots of this mode cannot run here, or an empty text when they can."""
    return NOT_YET.get(mode, "")


def account_key(account: ExchangeAccount) -> str:
    """How a pretended exchange names this account."""
    return f"account-{account.pk}"


def venue_for(account: ExchangeAccount) -> Venue:
    """The venue of an account. Raises VenueUnavailable for a mode that cannot trade here."""
    mode = Mode(account.mode)
    if mode is not Mode.SIMULATED:
        raise VenueUnavailable(f"{account} is in the mode {mode}: {NOT_YET[mode]}.")
    market = account.simulated_market
    if market is None:
        raise VenueUnavailable(f"{account} has no simulated market.")  # PostgreSQL refuses such a row
    clock = SimulatedClock(market.pk)
    quotes = SimulatedQuotes(market_of=lambda symbol: _market(symbol, market.seed, market.origin), clock=clock)
    exchange = PretendExchange(quotes=quotes, store=DatabaseVenueStore(account_key(account)), clock=clock, fee_rates=KRW_FEES)
    return Venue(mode=mode, clock=clock, exchange=exchange, history=quotes)


# One process keeps the computed prices of its markets; they are a function of the arguments alone.
_market = lru_cache(maxsize=32)(SimulatedMarket)
