"""Every strategy by name. A new one is a file in this folder and a line here."""

from typing import Any

from backtests.strategies import volatility_breakout
from backtests.strategies.base import Strategy
from dgbot.core.errors import BadInput

STRATEGIES: dict[str, Strategy[Any]] = {strategy.name: strategy for strategy in (volatility_breakout.STRATEGY,)}


def strategy_named(name: str) -> Strategy[Any]:
    """The strategy called `name`. Raises BadInput listing the known ones."""
    if name not in STRATEGIES:
        raise BadInput(f"There is no strategy {name!r}; known are {', '.join(STRATEGIES)}.")
    return STRATEGIES[name]
