"""Which process follows which public feed: one per exchange and process, begun when the first price or trade is wanted.

Ticker and guardian follow; workers and gateway ask by REST what they need, since they need it seldom.
"""

import logging
import threading

from django.conf import settings

from dgbot.core.protocols import Exchange
from trading.exchanges import adapters
from trading.exchanges.feed import Dialect
from trading.exchanges.market_feed import MarketFeed
from trading.models import ExchangeAccount
from trading.models.accounts import ExchangeName

log = logging.getLogger(__name__)

_feeds: dict[str, MarketFeed] = {}
_lock = threading.Lock()
_following = threading.Event()


def follow() -> None:
    """This process follows feeds from now on."""
    _following.set()


def feed_of(exchange: str, *, quotes: Exchange) -> MarketFeed | None:
    """This process's feed of an exchange; None when it follows none, or the exchange has none. quotes: fill its gaps."""
    if not _following.is_set() or not quotes.capabilities.streams_trades or _is_half_moved(exchange):
        return None
    with _lock:
        known = _feeds.get(exchange)
        if known is None or known.failure is not None:  # a mistake of ours ended it: the log says which, and a new one begins
            dialect = adapters.public_feed(exchange, base_url=_url(exchange, "WEBSOCKET_URL"))
            known = _feeds[exchange] = MarketFeed(exchange, dialect, quotes=quotes)
            log.info("exchange=%s is followed through its feed", exchange)
        return known


def private_dialect(account: ExchangeAccount, *, signed: Exchange) -> Dialect | None:
    """How the private feed of an account speaks; None when its exchange has none, or stands at another address without it."""
    if not signed.capabilities.streams_orders or _is_half_moved(account.exchange):
        return None
    return adapters.private_feed(account.exchange, signed=signed, is_demo=account.is_demo, base_url=_url(account.exchange, "WEBSOCKET_URL"))


def states() -> dict[str, object]:
    """How this process's feeds are, by exchange: for its heartbeat."""
    return {exchange: feed.state() for exchange, feed in list(_feeds.items())}


def close() -> None:
    """Hang up everywhere and follow no more."""
    _following.clear()
    with _lock:
        for feed in _feeds.values():
            feed.close()
        _feeds.clear()


def _is_half_moved(exchange: str) -> bool:
    """Whether REST has another address and the feed has not: two sources that may contradict each other are not mixed."""
    return bool(_url(exchange, "URL")) and not _url(exchange, "WEBSOCKET_URL")


def _url(exchange: str, what: str) -> str:
    return str(settings.ENV[f"DGBOT_{ExchangeName(exchange).name}_{what}"])
