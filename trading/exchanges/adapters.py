"""Which adapter speaks to which exchange. Each is built once per process: it keeps its connections."""

from dgbot.core.errors import VenueUnavailable
from dgbot.core.protocols import Exchange
from trading.exchanges.budget import Budget
from trading.exchanges.keys import ApiKey


def build(exchange: str, *, key: ApiKey | None, is_demo: bool, budget: Budget) -> Exchange:
    """An adapter; without a key it tells public data only. Raises VenueUnavailable for an exchange without an adapter."""
    raise VenueUnavailable(f"This version has no adapter for {exchange} yet.")
