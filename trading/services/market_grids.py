"""Which price and lot steps a backtest trades on: Upbit's own as they were at each time, elsewhere the finest the candles show."""

from decimal import Decimal

import numpy as np

from backtests.candles.series import Candles
from backtests.engine import Grid
from dgbot.core.errors import BadInput
from dgbot.core.types import TradingRules
from trading.exchanges import upbit_rules

SPOT_LOT, PERPETUAL_LOT = Decimal("0.00000001"), Decimal("0.0001")  # base
PERPETUAL_MINIMUM = Decimal(5)  # USDT
MOST_DECIMALS = 8


def grids_for(
    candles: Candles, *, is_perpetual: bool, tick: Decimal | None = None, lot: Decimal | None = None
) -> tuple[tuple[Grid, ...], bool]:
    """The grids of a market, oldest first, and whether they were assumed. tick (quote), lot (base): told by whoever knows better.

    Raises BadInput for a step that is not above zero.
    """
    if candles.symbol.startswith("KRW-") and not is_perpetual and tick is None and lot is None:
        return tuple(Grid(rules, since) for since, rules in upbit_rules.history(candles.symbol)), False
    base, quote = _coins(candles.symbol)
    rules = TradingRules(
        symbol=candles.symbol,
        base=base,
        quote=quote,
        lot_step=_step((PERPETUAL_LOT if is_perpetual else SPOT_LOT) if lot is None else lot, name="The lot step"),
        minimum_total=PERPETUAL_MINIMUM if is_perpetual else Decimal(0),
        tick_bands=((Decimal(0), _step(finest_tick(candles) if tick is None else tick, name="The tick")),),
    )
    return (Grid(rules),), tick is None or lot is None


def finest_tick(candles: Candles) -> Decimal:
    """The largest power of ten that every price of the newest thousand candles is a multiple of, at least 10⁻⁸."""
    prices = np.concatenate([getattr(candles, name)[-1000:] for name in ("open", "high", "low", "close")])
    for decimals in range(MOST_DECIMALS):
        scaled = prices * 10**decimals
        if np.allclose(scaled, np.round(scaled), rtol=0, atol=1e-6):
            return Decimal(1).scaleb(-decimals)
    return Decimal(1).scaleb(-MOST_DECIMALS)


def _coins(symbol: str) -> tuple[str, str]:
    if symbol.startswith("KRW-"):
        return symbol.removeprefix("KRW-"), "KRW"
    base, _, quote = symbol.partition(":")[0].partition("/")
    return base, quote or "USDT"


def _step(step: Decimal, *, name: str) -> Decimal:
    if not step > 0:
        raise BadInput(f"{name} must be above zero, was {step}.")
    return step
