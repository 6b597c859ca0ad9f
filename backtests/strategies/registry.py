"""Every strategy by name. A new one is a file in this folder and a line here."""

from typing import Any

from backtests.strategies import (
    aggressive_bollinger,
    ai,
    balanced_rsi_divergence,
    conservative_ema,
    ultra_aggressive_momentum,
    volatility_breakout,
    volume_long_candle,
    volume_zone_breakout,
)
from backtests.strategies.base import Strategy
from dgbot.core.errors import BadInput

STRATEGIES: dict[str, Strategy[Any]] = {
    module.STRATEGY.name: module.STRATEGY
    for module in (
        volatility_breakout,
        volume_zone_breakout,
        volume_long_candle,
        ultra_aggressive_momentum,
        conservative_ema,
        balanced_rsi_divergence,
        aggressive_bollinger,
        ai,
    )
}


def strategy_named(name: str) -> Strategy[Any]:
    """The strategy called `name`. Raises BadInput listing the known ones."""
    if name not in STRATEGIES:
        raise BadInput(f"There is no strategy {name!r}; known are {', '.join(STRATEGIES)}.")
    return STRATEGIES[name]
