"""A finished backtest as its report: one JSON value for page, comparison, download and REST alike. Reads, writes nothing."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from backtests import reporting
from backtests.candles.archive import content_sha256
from backtests.candles.series import Candles
from backtests.codec import finite
from backtests.models import BacktestRun
from backtests.selectors import candles_of
from backtests.services import results
from backtests.services.results import StoredResult
from backtests.storage.tables import Curve, FillTable, TradeTable
from dgbot.core.clock import from_nanoseconds, to_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval

MOST_TRADES = 300  # in one report; every one is in the download
MOST_COMPARED = 5
TABLES = ("equity", "trades", "fills")
SIZED_BY = {  # the number each way of sizing goes by
    "fixed": "fixed_amount",
    "equity_fraction": "equity_fraction",
    "risk_at_stop": "risk_fraction",
    "volatility_target": "volatility_fraction",
    "buy_ratio": "buy_ratio",
}


def of(run: BacktestRun) -> dict[str, Any]:
    """Everything a report tells. Raises BadInput, ResultDamaged and StorageUnavailable as `results.read` does."""
    stored = results.read(run)
    summary, curve, cash = stored.summary, stored.equity, stored.cash
    hold, why = _hold(stored)
    fell = reporting.drawdown(curve.equity, cash=cash)
    kept = reporting.thinned(curve.equity)
    times = curve.time[kept]
    told: dict[str, Any] = {
        "run": run.pk,
        "strategy": run.strategy,
        "exchange": run.exchange,
        "symbols": run.symbols,
        "interval": run.interval,
        "requested_at": run.requested_at.isoformat(),
        "currency": summary["currency"],
        "cash": cash,
        "final_equity": summary["final_equity"],
        "first_opened_at": summary["first_opened_at"],
        "last_opened_at": summary["last_opened_at"],
        "bars": summary["bars"],
        "safe_mode_since": summary["safe_mode_since"],
        "metrics": stored.metrics,
        "hold": None if hold is None else _of_hold(hold, cash=cash),
        "hold_unknown": why,
        "chart": {
            "equity": reporting.line(times, curve.equity[kept]),
            "drawdown": reporting.line(times, 100 * fell[kept]),
            "hold": [] if hold is None else reporting.line(times, hold[kept]),
        },
        "months": reporting.months(curve.time, curve.equity, cash=cash),
        "histogram": reporting.histogram(stored.trades.profit_fraction),
        "wins": int(np.sum(stored.trades.profit > 0)),
        "losses": int(np.sum(stored.trades.profit <= 0)),
        "reasons": _reasons(stored.trades),
        "trades": _trades(stored.trades, newest=MOST_TRADES),
        "trade_count": len(stored.trades),
        "parameters": summary["parameters"],
        "changed": summary["changed"],
        "markets": summary["markets"],
        "trials": summary["trials"],
        "monte_carlo": summary["monte_carlo"],
        "permutation": summary["permutation"],
        "promotion": summary["promotion"],
    }
    return finite(told)  # type: ignore[no-any-return]  # a mapping stays one


def compare(runs: Sequence[BacktestRun]) -> dict[str, Any]:
    """Up to five runs side by side: their metrics, their equity as growth of 1, and every assumption in which they differ.

    Raises BadInput for fewer than two or more than five, and as `of` does.
    """
    if not 2 <= len(runs) <= MOST_COMPARED:
        raise BadInput(f"2 to {MOST_COMPARED} backtests are compared at once; {len(runs)} were chosen.")
    told = []
    for run in runs:
        stored = results.read(run)
        kept = reporting.thinned(stored.equity.equity, most=reporting.MOST_POINTS // 2)
        growth = stored.equity.equity / stored.cash * 100 - 100
        told.append(
            {
                "run": run.pk,
                "strategy": run.strategy,
                "symbols": run.symbols,
                "interval": run.interval,
                "metrics": stored.metrics,
                "trials": stored.summary["trials"],
                "growth": reporting.line(stored.equity.time[kept], growth[kept]),
                "assumptions": assumptions(stored.summary, run) | _named_parameters(stored.summary),
            }
        )
    names = list(dict.fromkeys(name for one in told for name in one["assumptions"]))
    rows = [{"name": name, "values": [one["assumptions"].get(name) for one in told]} for name in names]
    differing = [row for row in rows if len({str(value) for value in row["values"]}) > 1]
    return finite({"runs": told, "differing": differing})  # type: ignore[no-any-return]


def assumptions(summary: dict[str, Any], run: BacktestRun) -> dict[str, Any]:
    """What the result rests on beside its parameters, by name: period, candles, costs, sizing, limits."""
    market = summary["markets"][0]
    setup = dict(market["setup"])
    sizing = setup.pop("sizing")
    told = {
        "strategy": run.strategy,
        "symbols": ", ".join(run.symbols),
        "interval": run.interval,
        "from": summary["first_opened_at"],
        "to": summary["last_opened_at"],
        "candles": ", ".join(one["content_sha256"][:12] for one in summary["markets"]),
        "grid_is_assumed": any(one["grid_is_assumed"] for one in summary["markets"]),
        "sizing": sizing["mode"],
        SIZED_BY.get(sizing["mode"], "sizing"): sizing.get(SIZED_BY.get(sizing["mode"], "mode")),
        **{name: value for name, value in setup.items() if name not in ("start", "end")},
    }
    if setup["is_perpetual"]:
        return told | {"funding_rate": market["funding_rate"]}
    return {name: value for name, value in told.items() if name not in ("leverage", "maintenance_fraction")}


def _named_parameters(summary: dict[str, Any]) -> dict[str, Any]:
    return {f"parameter: {name}": value for name, value in summary["parameters"].items()}


def candles(run: BacktestRun, *, symbol: str, start_s: int | None = None, end_s: int | None = None) -> dict[str, Any]:
    """Candles and fills of one market between two instants (seconds since 1970), as a chart takes them. Raises BadInput."""
    stored = results.read(run)
    market = next((one for one in stored.summary["markets"] if one["symbol"] == symbol), None)
    if market is None:
        raise BadInput(f"Backtest {run.pk} did not trade {symbol}; it traded {', '.join(run.symbols)}.")
    series = _series(market)
    begins, ends = _nanoseconds(market["first_opened_at"]), _nanoseconds(market["last_opened_at"])
    low = begins if start_s is None else max(begins, start_s * reporting.NS)
    high = ends if end_s is None else min(ends, end_s * reporting.NS)
    first, last = np.searchsorted(series.open_time, [low, high + 1])
    drawn, step = reporting.bars(series, first=int(first), last=int(last))
    fills = stored.fills
    places = np.flatnonzero((fills.symbol == symbol) & (fills.time >= low) & (fills.time <= high))
    shown = places if len(places) <= reporting.MOST_POINTS // 4 else places[:0]
    return {
        "symbol": symbol,
        "candles": drawn,
        "candles_each": step,
        "fills_left_out": len(places) - len(shown),
        "fills": [
            {
                "time": int(fills.time[at]) // reporting.NS,
                "side": "buy" if fills.side[at] > 0 else "sell",
                "price": float(fills.price[at]),
                "reason": str(fills.reason[at]),
            }
            for at in shown
        ],
    }


def table(run: BacktestRun, name: str) -> Curve | TradeTable | FillTable:
    """One table of a result. Raises BadInput for a name it does not have, and as `results.read` does."""
    if name not in TABLES:
        raise BadInput(f"A result has the tables {', '.join(TABLES)}; {name!r} is none of them.")
    found: Curve | TradeTable | FillTable = getattr(results.read(run), name)
    return found


def as_csv(found: Curve | TradeTable | FillTable) -> str:
    """A table as CSV, times as ISO 8601, numbers with every digit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = vars(found)
    writer.writerow(columns)
    shown = [[_text(name, value) for value in column] for name, column in columns.items()]
    writer.writerows(zip(*shown, strict=True))
    return text.getvalue()


def as_rows(found: Curve | TradeTable | FillTable) -> list[dict[str, Any]]:
    """A table as JSON rows."""
    columns = {
        name: [_text(name, value) for value in column] if name in _TIMES else column.tolist() for name, column in vars(found).items()
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


_TIMES = frozenset(("time", "entry_at", "exit_at"))


def _text(name: str, value: Any) -> str:
    if name in _TIMES:
        return from_nanoseconds(int(value)).isoformat()
    return repr(float(value)) if isinstance(value, np.floating) else str(value)


def _hold(stored: StoredResult) -> tuple[Any, str]:
    """Worth of the same cash, held in equal parts of every market; None with why when the candles are not those of the run any more."""
    markets, times = stored.summary["markets"], stored.equity.time
    worth = np.zeros(len(times))
    try:
        for market in markets:
            series = _series(market)
            first = int(np.searchsorted(series.open_time, _nanoseconds(market["first_opened_at"])))
            fee_rate = float(market["setup"]["fee_rate"])
            worth += reporting.held(series, times, first=first, cash=stored.cash / len(markets), fee_rate=fee_rate)
    except BadInput as error:
        return None, str(error)
    return worth, ""


def _of_hold(worth: Any, *, cash: float) -> dict[str, float]:
    return {
        "final": float(worth[-1]),
        "total_return": float(worth[-1] / cash - 1),
        "max_drawdown": float(-reporting.drawdown(worth, cash=cash).min()),
    }


def _series(market: dict[str, Any]) -> Candles:
    """The very candles of the run, proven by their hash. Raises BadInput when they have changed since."""
    found = candles_of(exchange=market["exchange"], symbol=market["symbol"], interval=Interval(market["interval"]))
    series = found.prefix(market["rows"])
    if len(series) != market["rows"] or content_sha256(series) != market["content_sha256"]:
        raise BadInput(f"The candles of {market['symbol']} have changed since this backtest, so they are not drawn beside it.")
    return series


def _nanoseconds(text: str) -> int:
    return to_nanoseconds(datetime.fromisoformat(text))


def _reasons(trades: TradeTable) -> list[dict[str, Any]]:
    """Why positions were left: how often, and what they returned on average, the most frequent first."""
    names, counts = np.unique(trades.reason, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [
        {"reason": str(names[at]), "count": int(counts[at]), "mean": float(np.mean(trades.profit_fraction[trades.reason == names[at]]))}
        for at in order
    ]


def _trades(trades: TradeTable, *, newest: int) -> list[dict[str, Any]]:
    """The newest closed positions, newest first."""
    places = range(len(trades) - 1, max(-1, len(trades) - 1 - newest), -1)
    return [
        {
            "number": at + 1,
            "symbol": str(trades.symbol[at]),
            "side": "long" if trades.side[at] > 0 else "short",
            "entry_at": from_nanoseconds(int(trades.entry_at[at])).isoformat(),
            "exit_at": from_nanoseconds(int(trades.exit_at[at])).isoformat(),
            "entry_s": int(trades.entry_at[at]) // reporting.NS,
            "exit_s": int(trades.exit_at[at]) // reporting.NS,
            "entry_price": float(trades.entry_price[at]),
            "exit_price": float(trades.exit_price[at]),
            "profit": float(trades.profit[at]),
            "profit_fraction": float(trades.profit_fraction[at]),
            "reason": str(trades.reason[at]),
        }
        for at in places
    ]
