"""Where the archive's candles are downloaded from, by the exchange's name: `source_for(exchange)`, and which ones are wanted."""

from dataclasses import dataclass

from dgbot.core.clock import SystemClock
from dgbot.core.errors import BadInput, VenueUnavailable
from dgbot.core.interval import Interval
from dgbot.core.protocols import CandleSource, Clock
from trading.exchanges.simulated import SimulatedQuotes
from trading.models import Bot, ExchangeAccount, SimulatedMarket
from trading.models.accounts import ExchangeName
from trading.services import venues
from trading.services.simulated_clock import SimulatedClock

SIMULATED_PAGE = 1000
MAJORS = {ExchangeName.UPBIT: ("KRW-BTC", "KRW-ETH"), ExchangeName.BITGET: ("BTC/USDT:USDT", "ETH/USDT:USDT")}


@dataclass(frozen=True)
class Source:
    """An exchange's candles, its market time, and how many one question brings."""

    candles: CandleSource
    clock: Clock
    page: int


def source_for(exchange: str) -> Source:
    """The source of `exchange`'s candles: a real exchange's public data, or `simulated`, the oldest simulated market.

    `simulated_7` is the simulated market with the id 7. Raises VenueUnavailable with one sentence when there is none.
    """
    if exchange == ExchangeName.SIMULATED or exchange.startswith("simulated_"):
        return _simulated(exchange)
    if exchange not in ExchangeName.values:
        known = ", ".join(name for name in ExchangeName.values)
        raise VenueUnavailable(f"Candles of {exchange!r} cannot be downloaded: the exchanges are {known}; import a file instead.")
    public = venues.public_exchange(exchange)
    return Source(candles=public, clock=SystemClock(), page=public.capabilities.candles_per_page)


def wanted_series() -> list[tuple[str, str, Interval]]:
    """(exchange, symbol, interval) of what should be at hand every day: each paper and live bot's, and BTC and ETH by the hour.

    BTC and ETH are those of Upbit and of every exchange with an account. Simulated and replayed candles need no download.
    """
    bots = Bot.objects.filter(mode__in=("paper", "live")).values_list("account__exchange", "symbol", "interval")
    wanted = {(exchange, symbol, Interval(interval)) for exchange, symbol, interval in bots}
    with_account = set(ExchangeAccount.objects.filter(mode__in=("paper", "live")).values_list("exchange", flat=True))
    for exchange, symbols in MAJORS.items():
        if exchange in {ExchangeName.UPBIT, *with_account}:
            wanted |= {(exchange.value, symbol, Interval.HOUR_1) for symbol in symbols}
    return sorted(wanted)


def _simulated(exchange: str) -> Source:
    number = exchange.partition("_")[2]
    if number and not number.isdigit():
        raise BadInput(f"A simulated market is named simulated or simulated_<id>, was {exchange!r}.")
    markets = SimulatedMarket.objects.filter(**({"pk": int(number)} if number else {})).order_by("pk")
    market = markets.first()
    if market is None:
        raise VenueUnavailable(f"There is no simulated market for {exchange!r}; create one in the admin under Simulated markets.")
    clock = SimulatedClock(market.pk)
    quotes = SimulatedQuotes(market_of=lambda symbol: venues.simulated_market(symbol, market.seed, market.origin), clock=clock)
    return Source(candles=quotes, clock=clock, page=SIMULATED_PAGE)
