"""Upbit's price steps in KRW markets, as they were at any time: a replay of 2023 fills on the grid of 2023.

The price steps have changed five times since 2024; dates are Korean days. Source: docs.upbit.com and its announcements.
"""

from datetime import datetime, timedelta, timezone
from decimal import Decimal

from dgbot.core.errors import BadInput
from dgbot.core.types import TradingRules

KOREA = timezone(timedelta(hours=9))
LOT_STEP = Decimal("0.00000001")
NEWEST = datetime(2025, 7, 31, tzinfo=KOREA)  # the grid in force was introduced on this day
FINER_FROM = datetime(2024, 1, 29, tzinfo=KOREA)
COARSE_FROM = datetime(2024, 10, 14, tzinfo=KOREA)
HALF_WON_FROM = datetime(2025, 3, 21, tzinfo=KOREA)
CHANGES = (FINER_FROM, COARSE_FROM, HALF_WON_FROM, NEWEST)
MINIMUM_TOTAL = Decimal(5000)  # KRW, for buys and sells alike

Bands = tuple[tuple[Decimal, Decimal], ...]


def _bands(text: str) -> Bands:
    """`from:tick` pairs, highest price first."""
    pairs = (pair.split(":") for pair in text.split())
    return tuple((Decimal(start), Decimal(tick)) for start, tick in pairs)


HIGH = "1000000:1000 500000:500 100000:100 50000:50 10000:10 "
SMALL = "1:0.001 0.1:0.0001 0.01:0.00001 0.001:0.000001 0.0001:0.0000001 0:0.00000001"

BEFORE_2024 = _bands("2000000:1000 1000000:500 500000:100 100000:50 10000:10 1000:5 100:1 10:0.1 1:0.01 0.1:0.001 0:0.0001")
FROM_2024_01 = _bands("2000000:1000 1000000:500 500000:100 100000:50 10000:10 1000:1 100:0.1 10:0.01 " + SMALL)
COARSE_HUNDREDS = _bands("2000000:1000 1000000:500 500000:100 100000:50 10000:10 100:1 10:0.01 " + SMALL)
HALF_WON = _bands("2000000:1000 1000000:500 500000:100 100000:50 10000:10 1000:0.5 100:0.1 10:0.01 " + SMALL)
CURRENT = _bands(HIGH + "5000:5 100:1 10:0.1 1:0.01 0.1:0.001 0.01:0.0001 0.001:0.00001 0.0001:0.000001 0.00001:0.0000001 0:0.00000001")

COARSE_COINS = frozenset(
    ["ADA", "ALGO", "BLUR", "CELO", "ELF", "EOS", "GRS", "GRT", "ICX", "MANA", "MINA", "POL", "SAND", "SEI", "STG", "TRX"]
)
DOLLAR_COINS = frozenset({"USDT", "USDC"})


def rules(symbol: str, at: datetime) -> TradingRules:
    """Grid and minimum of a KRW market (`KRW-BTC`) in force at `at` (aware). Raises BadInput for another symbol."""
    quote, _, base = symbol.partition("-")
    if quote != "KRW" or not base.isalnum() or base != base.upper():
        raise BadInput(f"{symbol!r} is no KRW market of Upbit; one is written KRW-BTC.")
    bands = _bands_of(base, at)
    return TradingRules(symbol=symbol, base=base, quote=quote, lot_step=LOT_STEP, minimum_total=MINIMUM_TOTAL, tick_bands=bands)


def history(symbol: str) -> tuple[tuple[datetime | None, TradingRules], ...]:
    """Every grid the market has had and the instant it came into force, oldest first; None: since before we know.

    What a backtest over years trades on. Raises BadInput as `rules` does.
    """
    since: list[datetime | None] = [None, *CHANGES]
    found: list[tuple[datetime | None, TradingRules]] = []
    for at in since:
        then = rules(symbol, at or CHANGES[0] - timedelta(days=1))
        if not found or found[-1][1] != then:
            found.append((at, then))
    return tuple(found)


def _bands_of(base: str, at: datetime) -> Bands:
    if at >= NEWEST:
        return CURRENT
    if base in DOLLAR_COINS and at >= HALF_WON_FROM:
        return HALF_WON
    if base in COARSE_COINS and at >= COARSE_FROM:
        return COARSE_HUNDREDS
    return FROM_2024_01 if at >= FINER_FROM else BEFORE_2024
