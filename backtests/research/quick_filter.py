"""The quick filter: has the very strategy that trades paid in the recent past? Five thresholds and a minimum of trades, all told.

It proves no edge: its bars are those the strategy was chosen on (W-24), which is what the promotion gate is for. It stops what
has plainly stopped working. Source: requirements S2-05 and §2.3, where the minimum of trades was left out. Unknown is never met.
"""

import math
from dataclasses import dataclass

from backtests.engine.metrics import Metrics
from risk.domain.reasons import Reason


@dataclass(frozen=True)
class FilterThresholds:
    """What is asked. Fractions: 0.01 is 1 %. sharpe: annualised. trades: closed ones."""

    total_return: float = 0.03
    win_rate: float = 0.35
    profit_factor: float = 1.3
    sharpe: float = 0.8
    max_drawdown: float = 0.20
    trades: int = 30  # fewer closed trades tell no edge, as in risk.domain.sizing


@dataclass(frozen=True)
class Check:
    """One threshold and what was found. value: None unknown, infinite for a profit factor without any loss."""

    name: str
    what: str
    value: float | None
    limit: float
    is_most: bool  # the limit is the most, else the least
    is_percent: bool
    remedy: str

    @property
    def is_met(self) -> bool:
        """An unknown value meets nothing."""
        return self.value is not None and (self.value <= self.limit if self.is_most else self.value >= self.limit)

    @property
    def told(self) -> str:
        """The value in words."""
        return said(self.value, as_percent=self.is_percent)

    @property
    def asked(self) -> str:
        """The limit in words."""
        return said(self.limit, as_percent=self.is_percent)

    def reason(self, *, code: str, where: str) -> Reason:
        """Why it stops. where: on which bars, such as "on the hold-out"."""
        side = "over" if self.is_most else "under"
        fact = "is unknown" if self.value is None else f"is {self.told}, {side} the limit of {self.asked}"
        return Reason(
            code=code, message=f"{self.what} {where} {fact}; {self.remedy}.", value=self.told, limit=self.asked, remedy=self.remedy
        )

    def as_row(self) -> dict[str, str | bool]:
        """As it is stored and shown."""
        return {"name": self.name, "value": self.told, "limit": self.asked, "is_most": self.is_most, "is_met": self.is_met}


ANOTHER = "try another strategy or market"


def checks(metrics: Metrics, asked: FilterThresholds, *, remedy: str = ANOTHER) -> tuple[Check, ...]:
    """Every threshold with what was found, in the order of the source."""
    has_no_loss = metrics.trades > 0 and metrics.profit_factor is None
    factor = math.inf if has_no_loss else metrics.profit_factor
    smaller, longer = "size smaller or stop earlier", "take more candles"
    return (
        Check("return", "The return", metrics.total_return, asked.total_return, False, True, remedy),
        Check("win_rate", "The win rate", metrics.win_rate, asked.win_rate, False, True, remedy),
        Check("profit_factor", "The profit factor", factor, asked.profit_factor, False, False, remedy),
        Check("sharpe", "The Sharpe ratio", metrics.sharpe, asked.sharpe, False, False, remedy),
        Check("max_drawdown", "The largest drawdown", metrics.max_drawdown, asked.max_drawdown, True, True, smaller),
        Check("trades", "The number of closed trades", float(metrics.trades), float(asked.trades), False, False, longer),
    )


def said(value: float | None, *, as_percent: bool = False) -> str:
    """A number for the eye; unknown and infinite in words."""
    if value is None:
        return "unknown"
    if math.isinf(value):
        return "without a loss"
    return f"{value * 100:.2f} %" if as_percent else f"{value:.2f}".removesuffix(".00")
