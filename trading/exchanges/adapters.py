"""Which adapter speaks to which exchange. Each is built once per process: it keeps its connections."""

from typing import Any

from dgbot.core.errors import VenueUnavailable
from dgbot.core.protocols import Exchange
from trading.exchanges.bounded_http import TOTAL_TIMEOUT_S, BoundedHttp
from trading.exchanges.budget import Budget
from trading.exchanges.feed import Dialect
from trading.exchanges.keys import ApiKey


def build(
    exchange: str, *, key: ApiKey | None, is_demo: bool, budget: Budget, base_url: str = "", timeout_s: float = TOTAL_TIMEOUT_S
) -> Exchange:
    """An adapter; without a key it tells public data only. Raises VenueUnavailable for an exchange without an adapter.

    base_url: where the exchange is spoken to instead of its real address, such as a fake's. timeout_s: for one whole answer.
    """
    if exchange == "upbit":
        return _upbit(key=key, is_demo=is_demo, budget=budget, base_url=base_url, timeout_s=timeout_s)
    if exchange == "bitget":
        return _bitget(key=key, is_demo=is_demo, budget=budget, base_url=base_url, timeout_s=timeout_s)
    raise VenueUnavailable(f"This version has no adapter for {exchange} yet.")


def public_feed(exchange: str, *, base_url: str = "") -> Dialect:
    """How the exchange's public feed speaks. Raises VenueUnavailable for an exchange without one. base_url: as for `build`."""
    if exchange == "upbit":
        from trading.exchanges import upbit_feed

        return upbit_feed.UpbitPublicFeed(base_url or upbit_feed.BASE_URL)
    if exchange == "bitget":
        from trading.exchanges import bitget_feed

        return bitget_feed.BitgetPublicFeed(base_url or bitget_feed.REAL_URL)
    raise VenueUnavailable(f"This version has no feed of {exchange} yet.")


def private_feed(exchange: str, *, signed: Any, is_demo: bool, base_url: str = "") -> Dialect:
    """How the private feed of an account speaks. signed: its adapter, built with a key. Raises VenueUnavailable."""
    if exchange == "upbit":
        from trading.exchanges import upbit_feed

        return upbit_feed.UpbitPrivateFeed(signed.signer, base_url or upbit_feed.BASE_URL)
    if exchange == "bitget":
        from trading.exchanges import bitget_feed

        return bitget_feed.BitgetPrivateFeed(signed.client, base_url or (bitget_feed.DEMO_URL if is_demo else bitget_feed.REAL_URL))
    raise VenueUnavailable(f"This version has no private feed of {exchange} yet.")


def _upbit(*, key: ApiKey | None, is_demo: bool, budget: Budget, base_url: str, timeout_s: float) -> Exchange:
    from trading.exchanges import upbit
    from trading.exchanges.upbit_http import BASE_URL, UpbitHttp

    if is_demo:
        raise VenueUnavailable("Upbit has no demo accounts; use the mode paper.")
    http = UpbitHttp(base_url=base_url or BASE_URL, http=BoundedHttp(total_timeout_s=timeout_s), budget=budget)
    return upbit.connect(http=http, access_key=key.access_key if key else "", secret_key=key.secret_key if key else "")


def _bitget(*, key: ApiKey | None, is_demo: bool, budget: Budget, base_url: str, timeout_s: float) -> Exchange:
    from trading.exchanges import bitget  # ccxt with it

    return bitget.connect(url=base_url or bitget.REAL_URL, key=key, is_demo=is_demo, budget=budget, total_timeout_s=timeout_s)
