"""Runs as the commands tell them: JSON for programs, tables for people. Unknown is null, or the word."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from backtests.candles.series import Candles
from backtests.engine import Part, PortfolioResult, Result, Setup
from backtests.engine.layout import REASONS, R
from backtests.engine.metrics import Metrics
from backtests.research.promotion import Promotion, Thresholds, quick_filter
from backtests.research.trials import plain
from dgbot.core.clock import from_nanoseconds

PERCENT = frozenset(("total_return", "annual_return", "volatility", "max_drawdown", "win_rate", "exposure"))
MONEY = frozenset(("expectancy", "average_win", "average_loss", "fees", "funding"))
PLAIN_WIDTH = 140
NAMES = {
    "total_return": "Total return",
    "annual_return": "Annual return",
    "volatility": "Volatility, annual",
    "sharpe": "Sharpe",
    "sortino": "Sortino",
    "calmar": "Calmar",
    "max_drawdown": "Max drawdown",
    "longest_drawdown_bars": "Longest drawdown, bars",
    "trades": "Closed trades",
    "win_rate": "Win rate",
    "profit_factor": "Profit factor",
    "expectancy": "Expectancy",
    "average_win": "Average win",
    "average_loss": "Average loss",
    "average_holding_bars": "Average holding, bars",
    "exposure": "Exposure",
    "longest_win_streak": "Longest winning streak",
    "longest_loss_streak": "Longest losing streak",
    "turnover": "Turnover, times the cash",
    "fees": "Fees",
    "funding": "Funding paid",
}


def console_on(stdout: Any) -> Console:
    """Where a command tells people: its own stdout, wide enough for the tables when nobody sees its width."""
    console = Console(file=stdout)
    return console if console.is_terminal else Console(file=stdout, width=PLAIN_WIDTH)


def trade_rows(result: Result | Part, candles: Candles, *, lot_step: float, newest: int | None = None) -> list[dict[str, Any]]:
    """The closed trades, oldest first; the last `newest` of them, None: all. Times are the bars' open times."""
    trades = result.trades
    first = 0 if newest is None else max(len(trades) - newest, 0)
    return [
        {
            "entry_at": _time(candles, int(trades.entry_bar[at])),
            "exit_at": _time(candles, int(trades.exit_bar[at])),
            "side": "long" if trades.side[at] > 0 else "short",
            "entry_price": float(trades.entry_price[at]),
            "exit_price": float(trades.exit_price[at]),
            "quantity": round(int(trades.lots[at]) * lot_step, 12),
            "profit": round(float(trades.profit[at]), 8),
            "profit_fraction": float(trades.profit_fraction[at]),
            "holding_bars": int(trades.exit_bar[at] - trades.entry_bar[at]),
            "reason": REASONS[trades.reason[at]],
        }
        for at in range(first, len(trades))
    ]


def setup_row(setup: Setup, *, is_assumed: bool) -> dict[str, Any]:
    """The setup without its grids, and whether these were assumed."""
    row: dict[str, Any] = plain(setup)
    del row["grids"]
    return row | {
        "start": setup.start.isoformat() if setup.start else None,
        "end": setup.end.isoformat() if setup.end else None,
        "grid_is_assumed": is_assumed,
    }


def known(values: Any) -> Any:
    """The same with every number that is not finite as null: JSON has no NaN."""
    if isinstance(values, Mapping):
        return {name: known(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [known(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def promotion_row(promotion: Promotion) -> dict[str, Any]:
    """As JSON."""
    return asdict(promotion) | {"allowed": promotion.allowed}


def metrics_table(titles: Iterable[str], columns: Iterable[Metrics], *, currency: str) -> Table:
    """One column per run."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for title in titles:
        table.add_column(title, justify="right")
    rows = [metrics.as_row() for metrics in columns]
    for name, label in NAMES.items():
        if name == "funding" and not any(row[name] for row in rows):
            continue
        table.add_row(label, *(_said(name, row[name], currency=currency) for row in rows))
    return table


def parts_table(result: PortfolioResult, *, cash: float, currency: str) -> Table:
    """A line for each symbol: what it brought in and what it cost."""
    table = Table(title="By symbol", title_justify="left", box=None, pad_edge=False)
    for heading in ("", f"Profit, {currency}", "of the cash", "Closed trades", "Win rate", f"Fees, {currency}", "Turnover"):
        table.add_column(heading, justify="right" if heading else "left")
    for part in result.parts:
        colour = "green" if part.profit > 0 else "red"
        table.add_row(
            part.symbol,
            f"[{colour}]{part.profit:+,.2f}[/{colour}]",
            f"{part.profit / cash:+.2%}",
            f"{len(part.trades):,}",
            "unknown" if part.win_rate is None else f"{part.win_rate:.1%}",
            f"{part.statistics[R.FEES]:,.2f}",
            f"{part.statistics[R.TURNOVER] / cash:,.2f}",
        )
    return table


def filter_table(metrics: Metrics, *, thresholds: Thresholds) -> Table:
    """The quick filter, a line for each threshold."""
    failed = {reason.code.removeprefix("hold_out_") for reason in quick_filter(metrics, thresholds)}
    asked = {
        "total_return": ("return", f"≥ {thresholds.total_return:.0%}"),
        "win_rate": ("win_rate", f"≥ {thresholds.win_rate:.0%}"),
        "profit_factor": ("profit_factor", f"≥ {thresholds.profit_factor:g}"),
        "sharpe": ("sharpe", f"≥ {thresholds.sharpe:g}"),
        "max_drawdown": ("max_drawdown", f"≤ {thresholds.max_drawdown:.0%}"),
        "trades": ("trades", f"≥ {thresholds.trades}"),
    }
    table = Table(title="Quick filter", title_justify="left", box=None, pad_edge=False)
    for heading in ("", "is", "must be", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for name, (code, limit) in asked.items():
        table.add_row(
            NAMES[name],
            _said(name, metrics.as_row()[name], currency=""),
            limit,
            "[red]no[/red]" if code in failed else "[green]yes[/green]",
        )
    return table


def hit_table(hit_rates: Mapping[str, float]) -> Table:
    """How often each gate was open, of the bars at which it was known."""
    table = Table(title="Gates: open at", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("of the bars", justify="right")
    for name, share in hit_rates.items():
        table.add_row(name.replace("_", " "), "unknown" if math.isnan(share) else f"{share:.1%}")
    return table


def trades_table(rows: list[dict[str, Any]], *, total: int) -> Table:
    """The newest trades; those of several markets name theirs."""
    table = Table(title=f"Last {len(rows)} of {total:,} closed trades", title_justify="left", box=None, pad_edge=False)
    names_market = bool(rows) and "symbol" in rows[0]
    if names_market:
        table.add_column("Market")
    for heading in ("Entry (UTC)", "Exit (UTC)", "Side", "Entry price", "Exit price", "Profit", "", "Bars", "Why"):
        table.add_column(heading, justify="left" if heading in ("Entry (UTC)", "Exit (UTC)", "Side", "Why") else "right")
    for row in rows:
        colour = "green" if row["profit"] > 0 else "red"
        table.add_row(
            *([row["symbol"]] if names_market else []),
            row["entry_at"][:16].replace("T", " "),
            row["exit_at"][:16].replace("T", " "),
            row["side"],
            f"{row['entry_price']:,.10g}",
            f"{row['exit_price']:,.10g}",
            f"[{colour}]{row['profit']:+,.2f}[/{colour}]",
            f"[{colour}]{row['profit_fraction']:+.2%}[/{colour}]",
            str(row["holding_bars"]),
            row["reason"],
        )
    return table


def tell_promotion(console: Console, promotion: Promotion) -> None:
    """The gate's word with every reason."""
    counted = f"{counted_in_words(promotion.trials, 'trial')}, {counted_in_words(promotion.looks, 'look')} at the hold-out"
    told = "unknown" if promotion.deflated_sharpe is None else f"{promotion.deflated_sharpe:.1%}"
    console.print(f"\n[bold]Promotion[/bold]: deflated Sharpe {told} after {counted}.")
    if promotion.allowed:
        console.print("[green]Every condition holds.[/green]")
    for reason in promotion.reasons:
        console.print(f"[red]·[/red] {reason.message}", highlight=False)


def counted_in_words(count: int, one: str) -> str:
    """`1 trial`, `2,000 trials`."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def _said(name: str, value: float | None, *, currency: str) -> str:
    if value is None:
        return "unknown"
    if name in PERCENT:
        return f"{value:.2%}"
    if name in MONEY:
        return f"{value:,.2f} {currency}".strip()
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _time(candles: Candles, bar: int) -> str:
    return from_nanoseconds(int(candles.open_time[bar])).isoformat()
