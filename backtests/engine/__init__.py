"""The engine: one pass over closed candles with the rules that trade. Pure: no Django, no settings, no clock, no randomness.

`run` one parameter set, `sweep` many, `run_portfolio` several symbols on one cash, `warm` loads the kernels. Importing this package
imports no numba, those do; gateway and guardian never come here.
"""

from backtests.engine.portfolio import Account, Member, Part, PortfolioResult, run_portfolio
from backtests.engine.running import Fills, Result, Trades, run
from backtests.engine.setup import Grid, Setup
from backtests.engine.sweeping import Sweep, sweep
from backtests.engine.warming import warm

__all__ = [
    "Account",
    "Fills",
    "Grid",
    "Member",
    "Part",
    "PortfolioResult",
    "Result",
    "Setup",
    "Sweep",
    "Trades",
    "run",
    "run_portfolio",
    "sweep",
    "warm",
]
