"""What the gateway does for an account beside orders others have planned: the kill switch's demands, resident stops, sales in parts."""

from dgbot.core.types import Mode
from trading.exchanges.venue import Venue
from trading.models import ExchangeAccount
from trading.services import kill_enforcement, kill_trips, resident_stops, sales


def before_sending(account: ExchangeAccount, *, venue: Venue) -> None:
    """Cancel and sell what a raised kill switch demands, keep a stop over each position, plan the next part of every sale."""
    kill_enforcement.enforce(account, venue=venue)
    resident_stops.tend(account, venue=venue)
    sales.go_on(account_id=account.pk, venue=venue)


def after_sending(account: ExchangeAccount, *, touched: bool) -> None:
    """Trip what the answers call for. Nothing new can be known of an account of which no order was looked at."""
    if touched and Mode(account.mode) is not Mode.REPLAY:
        kill_trips.look(account)
