"""What a report's numbers mean: name, definition and kind of every metric, in the order in which they are read."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

PERCENT, RATIO, MONEY, COUNT, BARS = "percent", "ratio", "money", "count", "bars"


@dataclass(frozen=True)
class Word:
    """One metric as people read it. kind: how its value is written. is_good: a higher value is better; None: neither."""

    name: str
    label: Any
    definition: Any
    kind: str
    is_good: bool | None = None


METRICS = (
    Word("total_return", _("Total return"), _("Final equity over the cash at the start, minus 1."), PERCENT, True),
    Word("annual_return", _("Return a year"), _("Geometric: (1 + total return) to the power of 1 by years, minus 1."), PERCENT, True),
    Word("max_drawdown", _("Largest drawdown"), _("Deepest fall from a peak of equity; the first peak is the cash."), PERCENT, False),
    Word("longest_drawdown_bars", _("Longest drawdown"), _("Closes in a row at which equity lay under its peak."), BARS, False),
    Word("volatility", _("Volatility"), _("Sample deviation of the returns bar over bar, times the root of bars a year."), PERCENT, False),
    Word("sharpe", _("Sharpe ratio"), _("Mean over deviation of the returns, times the root of bars a year; rate 0."), RATIO, True),
    Word(
        "sortino",
        _("Sortino ratio"),
        _("Mean over downside deviation (root of the mean of min(return, 0) squared), annualised; target 0."),
        RATIO,
        True,
    ),
    Word("calmar", _("Calmar ratio"), _("Return a year over the largest drawdown."), RATIO, True),
    Word("trades", _("Closed trades"), _("From an entry to the last exit."), COUNT),
    Word("win_rate", _("Won"), _("Share of closed positions with a profit after costs; zero profit is no win."), PERCENT, True),
    Word("profit_factor", _("Profit factor"), _("Gross win over gross loss; unknown without a loss."), RATIO, True),
    Word("expectancy", _("Expectancy"), _("Mean profit of a closed position after costs."), MONEY, True),
    Word("average_win", _("Average win"), _("Of the positions that were won."), MONEY, True),
    Word("average_loss", _("Average loss"), _("Of the others, as a positive number."), MONEY, False),
    Word("longest_win_streak", _("Longest run of wins"), _("Closed positions in a row."), COUNT, True),
    Word("longest_loss_streak", _("Longest run of losses"), _("Closed positions in a row."), COUNT, False),
    Word("average_holding_bars", _("Average holding"), _("From the entry's candle to the last exit's."), BARS),
    Word("exposure", _("Exposure"), _("Share of closes at which something was held."), PERCENT),
    Word("turnover", _("Turnover"), _("Everything traded, both sides, over the cash."), RATIO),
    Word("fees", _("Fees"), _("Paid in all."), MONEY, False),
    Word("funding", _("Funding"), _("Paid on perpetuals; negative when received."), MONEY, False),
)
KINDS = {one.name: one for one in METRICS}
HEADLINE = ("total_return", "max_drawdown", "sharpe", "win_rate", "profit_factor", "trades")

ASSUMPTIONS = {
    "strategy": _("Strategy"),
    "symbols": _("Symbols"),
    "interval": _("Candles"),
    "from": _("First candle"),
    "to": _("Last candle"),
    "candles": _("Hash of the candles"),
    "grid_is_assumed": _("Price steps assumed"),
    "funding_rate": _("Funding rate"),
    "cash": _("Cash"),
    "sizing": _("Sizing"),
    "fixed_amount": _("Amount of an entry"),
    "equity_fraction": _("Share of the equity"),
    "risk_fraction": _("Risk at the stop"),
    "volatility_fraction": _("Move of one ATR"),
    "buy_ratio": _("Share of free cash"),
    "allocation": _("Allocation"),
    "fee_rate": _("Fee"),
    "slippage": _("Slippage"),
    "depth": _("Assumed book"),
    "quote_grain": _("Smallest unit of an order"),
    "stop_fraction": _("Stop"),
    "target_fraction": _("Target"),
    "trail_atr": _("Trailing stop (ATR)"),
    "levels": _("Partial levels"),
    "spacing": _("Spacing of entries"),
    "entries_per_day": _("Entries a day"),
    "daily_loss_fraction": _("Daily loss limit"),
    "weekly_loss_fraction": _("Weekly loss limit"),
    "drawdown_fraction": _("Drawdown limit"),
    "loss_streak": _("Losing trades in a row"),
    "largest_amount": _("Largest entry"),
    "position_fraction": _("Largest position"),
    "rsi_limit": _("RSI limit for buys"),
    "is_perpetual": _("Perpetual"),
    "leverage": _("Leverage"),
    "maintenance_fraction": _("Maintenance margin"),
    "zone": _("Trading day's zone"),
}

EXITS = {
    "stop": _("stop"),
    "target": _("target"),
    "trailing": _("trailing stop"),
    "partial": _("partial profit"),
    "liquidation": _("liquidation"),
    "fakeout": _("fake-out"),
    "weakening": _("weakening"),
    "timeout": _("time-out"),
    "hold": _("holding time"),
    "signal": _("signal"),
    "manual": _("by hand"),
}

SWITCHED_OFF_BY_ZERO = frozenset(
    ("stop_fraction", "trail_atr", "daily_loss_fraction", "weekly_loss_fraction", "drawdown_fraction", "loss_streak")
)
FRACTIONS = frozenset(
    (
        *("fee_rate", "slippage", "stop_fraction", "target_fraction", "daily_loss_fraction", "weekly_loss_fraction", "drawdown_fraction"),
        *("position_fraction", "maintenance_fraction", "funding_rate", "equity_fraction", "risk_fraction", "volatility_fraction"),
        "buy_ratio",
    )
)
AMOUNTS = frozenset(("cash", "allocation", "largest_amount", "fixed_amount"))
QUALITIES = {"good": _("good"), "notice": _("usable"), "warning": _("doubtful"), "bad": _("bad")}
