"""The one place where a mode chooses its venue.

simulated: everything is computed. paper: public data of the real exchange, pretended money. live: the real exchange; only the
gateway, which can open keys, gets one that signs. replay is driven by its command.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import cast

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from dgbot.core.clock import SystemClock
from dgbot.core.crash import crash_point
from dgbot.core.errors import VenueUnavailable
from dgbot.core.protocols import Clock, Exchange
from dgbot.core.types import Fees, Mode
from trading.exchanges import adapters
from trading.exchanges.budget import BITGET_LIMITS, UPBIT_LIMITS, Budget, LocalBudget
from trading.exchanges.keys import ApiKey
from trading.exchanges.live_quotes import LiveQuotes
from trading.exchanges.pretend import PretendExchange, capabilities_over
from trading.exchanges.shared_budget import SharedBudget
from trading.exchanges.simulated import SimulatedQuotes
from trading.exchanges.simulated_market import SimulatedMarket
from trading.exchanges.venue import CandleHistory, HistoryWhenAsked, Venue
from trading.models import Credential, ExchangeAccount
from trading.models.accounts import ExchangeName
from trading.services import feeds
from trading.services.account_fees import KeylessExchange
from trading.services.krw_rates import StoredRates
from trading.services.simulated_clock import SimulatedClock
from trading.services.venue_store import DatabaseVenueStore

KRW_FEES = Fees(maker_rate=Decimal("0.0005"), taker_rate=Decimal("0.0005"))  # Upbit's KRW markets
USDT_FEES = Fees(maker_rate=Decimal("0.0002"), taker_rate=Decimal("0.0006"))  # Bitget's USDT perpetuals, first tier
LISTED_FEES = {ExchangeName.UPBIT: KRW_FEES, ExchangeName.BITGET: USDT_FEES}
LIMITS = {ExchangeName.UPBIT: UPBIT_LIMITS, ExchangeName.BITGET: BITGET_LIMITS}
REDIS_TIMEOUT_S = 0.2  # a budget nobody answers for is counted here instead
PUBLIC = "public"
_live: dict[str, LiveQuotes] = {}
# Set by the version that has proven the order path against every fault (reconciliation, late fills, lost answers).
LIVE_ORDER_PATH_IS_PROVEN = False

KeyOpener = Callable[[Credential], ApiKey]


def why_not(mode: Mode) -> str:
    """Why bots of this mode cannot run here, or an empty text when they can."""
    if mode is Mode.REPLAY:
        return "a replay is driven by `manage.py replay` and runs nowhere else"
    if mode is not Mode.LIVE:
        return ""
    if not settings.LIVE_TRADING:
        return "live trading is switched off; DGBOT_LIVE_TRADING=true is the first of its two switches"
    if not LIVE_ORDER_PATH_IS_PROVEN:
        return "live trading needs the proven order path, which this version does not have yet"
    return ""


def account_key(account: ExchangeAccount) -> str:
    """How a pretended exchange names this account."""
    return f"account-{account.pk}"


def venue_for(account: ExchangeAccount, *, open_key: KeyOpener | None = None) -> Venue:
    """The venue of an account. Raises VenueUnavailable for a mode that cannot trade here.

    open_key: the vault, which only the gateway has; without it a live venue tells public data and signs nothing.
    """
    mode = Mode(account.mode)
    if mode is Mode.REPLAY:
        raise VenueUnavailable(f"{account} is in the mode {mode}: {why_not(mode)}.")
    if mode is Mode.SIMULATED:
        return _simulated(account)
    signed = _signed(account, open_key=open_key) if mode is Mode.LIVE and open_key is not None else None
    clock, quotes = SystemClock(), live_quotes(account.exchange)
    public = cast(Exchange, quotes)  # it passes on what it does not tell itself
    exchange = signed or (
        _paper(account, public=public, clock=clock) if mode is Mode.PAPER else cast(Exchange, KeylessExchange(public, account))
    )
    history = HistoryWhenAsked(lambda: _history(account.exchange, public=public, clock=clock))
    return Venue(mode=mode, clock=clock, exchange=exchange, history=history, streams=quotes.feed, rates=StoredRates())


@lru_cache(maxsize=8)
def public_exchange(exchange: str) -> Exchange:
    """Public data of a real exchange, one connection pool for the process. Raises VenueUnavailable."""
    budget = budget_for(exchange, owner=PUBLIC)
    return adapters.build(
        exchange, key=None, is_demo=False, budget=budget, base_url=_base_url(exchange), timeout_s=settings.ANSWER_TIMEOUT_S
    )


def live_quotes(exchange: str) -> LiveQuotes:
    """Public data at hand: from this process's feed if it follows one, else by REST. Raises VenueUnavailable."""
    public = public_exchange(exchange)
    feed = feeds.feed_of(exchange, quotes=public)
    known = _live.get(exchange)
    if known is None or known.exchange is not public or known.feed is not feed:
        known = _live[exchange] = LiveQuotes(public, feed, LISTED_FEES[ExchangeName(exchange)])
    return known


def _history(exchange: str, *, public: Exchange, clock: Clock) -> CandleHistory:
    from trading.services.live_history import LiveHistory  # with archive, pyarrow and numpy, half a second of CPU

    return LiveHistory(exchange=exchange, source=public, clock=clock, page=public.capabilities.candles_per_page)


def budget_for(exchange: str, *, owner: str) -> Budget:
    """The requests that `owner` (an account, or `public`) may still send, counted with every other process."""
    limits = LIMITS[ExchangeName(exchange)]
    client = redis.Redis.from_url(
        settings.CACHE_URL, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )
    return SharedBudget(limits=limits, owner=owner, client=client, local=LocalBudget(limits))


def _base_url(exchange: str) -> str:
    """Where an exchange is spoken to; empty for its real address."""
    return str(settings.ENV[f"DGBOT_{ExchangeName(exchange).name}_URL"])


def _simulated(account: ExchangeAccount) -> Venue:
    market = account.simulated_market
    if market is None:
        raise VenueUnavailable(f"{account} has no simulated market.")  # PostgreSQL refuses such a row
    clock = SimulatedClock(market.pk)
    quotes = SimulatedQuotes(market_of=lambda symbol: simulated_market(symbol, market.seed, market.origin), clock=clock)
    exchange = PretendExchange(quotes=quotes, store=DatabaseVenueStore(account_key(account)), clock=clock, fee_rates=KRW_FEES)
    return Venue(mode=Mode.SIMULATED, clock=clock, exchange=exchange, history=quotes)


def _paper(account: ExchangeAccount, *, public: Exchange, clock: Clock) -> Exchange:
    """Pretended money on the real book. A perpetual is bought and sold like a coin: long only, without leverage or funding."""
    fees = LISTED_FEES[ExchangeName(account.exchange)]
    store, able = DatabaseVenueStore(account_key(account)), capabilities_over(public.capabilities)
    return PretendExchange(quotes=public, store=store, clock=clock, fee_rates=fees, capabilities=able)


_signing: dict[int, tuple[bytes, Exchange]] = {}  # by account: the sealed key it was built with, and the adapter


def _signed(account: ExchangeAccount, *, open_key: KeyOpener) -> Exchange:
    credential = Credential.objects.select_related("account").filter(account=account).first()
    if credential is None:
        raise VenueUnavailable(f"{account} has no key; enter one in the admin under Exchange accounts.")
    sealed = bytes(credential.sealed)
    known = _signing.get(account.pk)
    if known is None or known[0] != sealed:
        budget = budget_for(account.exchange, owner=account_key(account))
        adapter = adapters.build(
            account.exchange,
            key=open_key(credential),
            is_demo=account.is_demo,
            budget=budget,
            base_url=_base_url(account.exchange),
            timeout_s=settings.ANSWER_TIMEOUT_S,
        )
        known = (sealed, adapter)
        crash_point("key opened")
        _signing[account.pk] = known
    return known[1]


# One process keeps the computed prices of its markets; they are a function of the arguments alone.
simulated_market = lru_cache(maxsize=32)(SimulatedMarket)
