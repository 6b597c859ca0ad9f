"""A run as six drawings (requirements S2-59): equity, drawdown, trade returns, cumulative, months, wins and losses. SVG text, no library.

Each drawing stands alone, scales to its frame, says its title and its ends, and names single values on hovering.
"""

import math
from collections.abc import Sequence
from html import escape
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from backtests.engine.metrics import returns_of
from backtests.engine.portfolio import PortfolioResult
from backtests.engine.running import Result
from dgbot.core.clock import from_nanoseconds

Numbers = NDArray[np.float64]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 960, 320, 90, 20, 40, 36
ROUNDING = 1e-9
MOST_POINTS = 960  # of a line: one a unit of width
GOOD, BAD, LINE, GRID_LINE, INK = "#16a34a", "#dc2626", "#2563eb", "#d4d4d8", "#3f3f46"
TITLES = {
    "equity": "Equity",
    "drawdown": "Drawdown",
    "trade_returns": "Return of each trade",
    "cumulative": "Sum of trade returns",
    "monthly_returns": "Return of each month (UTC)",
    "win_loss": "Wins and losses",
}
CONTRIBUTIONS = "What each symbol brought in, of the cash"


def drawings(result: Result, candles: Candles, *, cash: float) -> dict[str, str]:
    """Name → SVG document; the names are those of TITLES. cash: quote, at the start."""
    times = candles.open_time[result.first_bar : result.first_bar + len(result.equity)]
    exits = [_minute(candles, bar) for bar in result.trades.exit_bar]
    return _drawn(result.equity, times, profits=result.trades.profit_fraction, exits=exits, cash=cash)


def portfolio_drawings(result: PortfolioResult, candles: Sequence[Candles], *, cash: float) -> dict[str, str]:
    """The same of a portfolio, trades of all symbols by the time of their exit, and what each symbol brought in. candles: as its parts."""
    together = [
        (int(one.open_time[bar]), float(profit), f"{part.symbol} {_minute(one, bar)}")
        for part, one in zip(result.parts, candles, strict=True)
        for bar, profit in zip(part.trades.exit_bar, part.trades.profit_fraction, strict=True)
    ]
    together.sort()
    profits = np.array([profit for _time, profit, _label in together])
    brought = np.array([100 * part.profit / cash for part in result.parts])
    symbols = [part.symbol for part in result.parts]
    return {
        **_drawn(result.equity, result.times, profits=profits, exits=[label for _time, _profit, label in together], cash=cash),
        "contributions": _bars(CONTRIBUTIONS, brought, labels=symbols, ends=(symbols[0], symbols[-1])),
    }


def _drawn(equity: Numbers, times: NDArray[np.int64], *, profits: Numbers, exits: Sequence[str], cash: float) -> dict[str, str]:
    ends = f"{from_nanoseconds(int(times[0])):%Y-%m-%d}", f"{from_nanoseconds(int(times[-1])):%Y-%m-%d}"
    curve = np.concatenate([[cash], equity])
    drawdown = -(1 - curve / np.maximum.accumulate(curve))
    trades = 100 * profits
    count = "", f"{len(trades)} trades"
    names, months = monthly_returns(returns_of(equity, cash=cash), times)
    return {
        "equity": _line(TITLES["equity"], curve, ends=ends, unit=""),
        "drawdown": _line(TITLES["drawdown"], 100 * drawdown, ends=ends, unit=" %", colour=BAD),
        "trade_returns": _bars(TITLES["trade_returns"], trades, labels=exits, ends=count),
        "cumulative": _line(TITLES["cumulative"], np.concatenate([[0.0], np.cumsum(trades)]), ends=count, unit=" %"),
        "monthly_returns": _bars(TITLES["monthly_returns"], 100 * months, labels=names, ends=(names[0], names[-1])),
        "win_loss": _pie(TITLES["win_loss"], wins=int(np.sum(trades > 0)), all_trades=len(trades)),
    }


def _minute(candles: Candles, bar: int) -> str:
    return f"{from_nanoseconds(int(candles.open_time[bar])):%Y-%m-%d %H:%M}"


def monthly_returns(returns: Numbers, times: NDArray[np.int64]) -> tuple[list[str], Numbers]:
    """Calendar months (UTC, `2026-01`) and their compounded returns. returns: (n,) bar over bar. times: (n,) open times, ns."""
    months = times.astype("datetime64[ns]").astype("datetime64[M]")
    starts = np.flatnonzero(np.concatenate([[True], months[1:] != months[:-1]]))
    return [str(month) for month in months[starts]], np.multiply.reduceat(1 + returns, starts) - 1


def _line(title: str, values: Numbers, *, ends: tuple[str, str], unit: str, colour: str = LINE) -> str:
    shown = _thinned(values)
    scale = _Scale(float(values.min()), float(values.max()))
    places = LEFT + np.linspace(0, 1, len(shown)) * (WIDTH - LEFT - RIGHT)
    points = " ".join(f"{left:.1f},{scale.top(value):.1f}" for left, value in zip(places, shown, strict=True))
    last = f'<text x="{WIDTH - RIGHT}" y="{TOP - 8}" text-anchor="end">{values[-1]:,.2f}{unit}</text>'
    return _document(
        title,
        [*_frame(scale, ends=ends, unit=unit), f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>', last],
    )


def _bars(title: str, values: Numbers, *, labels: Sequence[str], ends: tuple[str, str]) -> str:
    if not len(values):
        return _document(title, [f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">no trades</text>'])
    scale = _Scale(min(float(values.min()), 0.0), max(float(values.max()), 0.0))
    step, zero = (WIDTH - LEFT - RIGHT) / len(values), scale.top(0.0)
    drawn = [
        f'<rect x="{LEFT + number * step:.2f}" y="{min(zero, scale.top(value)):.1f}" width="{max(step * 0.8, 0.3):.2f}" '
        f'height="{max(abs(zero - scale.top(value)), 0.5):.1f}" fill="{GOOD if value > 0 else BAD}">'
        f"<title>{escape(label)}: {value:+.2f} %</title></rect>"
        for number, (value, label) in enumerate(zip(values, labels, strict=True))
    ]
    return _document(title, [*_frame(scale, ends=ends, unit=" %"), *drawn])


def _pie(title: str, *, wins: int, all_trades: int) -> str:
    middle, radius = (WIDTH / 2, (HEIGHT + TOP) / 2), (HEIGHT - TOP) / 2 - 20
    if not all_trades:
        return _document(title, [f'<text x="{middle[0]}" y="{middle[1]}" text-anchor="middle">no trades</text>'])
    share = wins / all_trades
    # A circle drawn as a thick stroke: its dashes are the two slices, also when one of them is everything.
    around = math.pi * radius
    ring = f'cx="{middle[0]}" cy="{middle[1]:.1f}" r="{radius / 2:.1f}" fill="none" stroke-width="{radius:.1f}"'
    return _document(
        title,
        [
            f'<circle {ring} stroke="{BAD}"/>',
            f'<circle {ring} stroke="{GOOD}" stroke-dasharray="{share * around:.2f} {around:.2f}" '
            f'transform="rotate(-90 {middle[0]} {middle[1]:.1f})"/>',
            f'<text x="{middle[0] + radius + 24:.0f}" y="{middle[1] - 8:.0f}" fill="{GOOD}">{wins} wins ({share:.1%})</text>',
            f'<text x="{middle[0] + radius + 24:.0f}" y="{middle[1] + 16:.0f}" fill="{BAD}">{all_trades - wins} losses</text>',
        ],
    )


class _Scale:
    """Values to places, upward; a flat line lies in the middle."""

    def __init__(self, low: float, high: float) -> None:
        spread = (high - low) or abs(high) or 1.0
        self.low, self.high = (low, high) if high > low else (low - spread / 2, high + spread / 2)

    def top(self, value: float) -> float:
        return TOP + (self.high - value) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def round_levels(self) -> list[float]:
        """At most seven levels, whole multiples of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / 6
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        first, last = math.ceil(self.low / step - ROUNDING), math.floor(self.high / step + ROUNDING)
        return [number * step for number in range(first, last + 1)]


def _frame(scale: _Scale, *, ends: tuple[str, str], unit: str) -> list[str]:
    lines = [
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{scale.top(level):.1f}" y2="{scale.top(level):.1f}" stroke="{GRID_LINE}"/>'
        f'<text x="{LEFT - 6}" y="{scale.top(level) + 4:.1f}" text-anchor="end">{_rounded(level)}{unit}</text>'
        for level in scale.round_levels()
    ]
    below = HEIGHT - 12
    return [
        *lines,
        f'<text x="{LEFT}" y="{below}">{escape(ends[0])}</text>',
        f'<text x="{WIDTH - RIGHT}" y="{below}" text-anchor="end">{escape(ends[1])}</text>',
    ]


def _rounded(level: float) -> str:
    return f"{level:,.0f}" if abs(level) >= 10_000 else f"{level:,.4g}"


def _document(title: str, parts: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" '
            f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            f'<text x="{LEFT}" y="{TOP - 14}" font-size="16" font-weight="600">{escape(title)}</text>',
            *parts,
            "</svg>\n",
        ]
    )


def _thinned(values: Numbers) -> Numbers:
    """At most MOST_POINTS values that keep every stretch's lowest and highest, in their order."""
    if len(values) <= MOST_POINTS:
        return values
    cells = np.array_split(np.arange(len(values)), MOST_POINTS // 2)
    kept = [sorted((int(cell[np.argmin(values[cell])]), int(cell[np.argmax(values[cell])]))) for cell in cells]
    return values[[index for index, _group in groupby(index for pair in kept for index in pair)]]
