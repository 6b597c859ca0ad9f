"""JSON results of the older platforms as columns: what each calls a trade and a point of its curve, by whatever name. Pure.

    one market:   {"trades": […], "equity_curve": […], …}                         bots of KRW and of USDT markets
    several:      {"symbols": [{"symbol", "signals": […], "performance_curve": […], …}], …}

A point of a curve is an object with a time and an equity, a pair, or a bare number. Everything else stays as it is, in `rest`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgbot.core.clock import to_nanoseconds
from dgbot.core.errors import BadInput

CURVES, TRADES = ("equity_curve", "performance_curve"), ("trades", "signals")
TIME_NAMES, EQUITY_NAMES = ("timestamp", "time", "date", "datetime"), ("equity", "value", "balance", "total")
MILLISECONDS_FROM = 100_000_000_000  # a number of seconds beyond the year 5000


@dataclass(frozen=True, eq=False)
class OldResult:
    """equity, trades: columns of equal length, empty where there were none. rest: what is left of the JSON."""

    equity: dict[str, NDArray[Any]]
    trades: dict[str, NDArray[Any]]
    rest: dict[str, Any]


def read(data: Any) -> OldResult:
    """Raises BadInput for JSON that holds neither trades nor a curve."""
    if not isinstance(data, dict):
        raise BadInput("This is no result: it must be one JSON object with trades or an equity curve.")
    parts = [data, *(part for part in data.get("symbols") or [] if isinstance(part, dict))]
    curve = [_point(point, part) for part in parts for point in _listed(part, CURVES)]
    trades = [{"symbol": part.get("symbol", ""), **trade} for part in parts for trade in _listed(part, TRADES) if isinstance(trade, dict)]
    if not curve and not trades:
        raise BadInput(f"This is no result: it holds none of {', '.join((*CURVES, *TRADES))}.")
    return OldResult(equity=_columns(curve), trades=_columns(trades), rest=_without(data))


def _listed(part: Mapping[str, Any], names: Iterable[str]) -> list[Any]:
    return next((part[name] for name in names if isinstance(part.get(name), list)), [])


def _point(point: Any, part: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(point, Mapping):
        at = next((point[name] for name in TIME_NAMES if name in point), None)
        equity = next((point[name] for name in EQUITY_NAMES if name in point), None)
    else:
        at, equity = point if isinstance(point, list | tuple) and len(point) == 2 else (None, point)
    if equity is None:
        raise BadInput(f"A point of the curve has no equity: {str(point)[:80]}.")
    return {"symbol": part.get("symbol", ""), "time": at, "equity": equity}


def _columns(rows: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: _column([row.get(name) for row in rows], name=name) for name in names}


def _column(values: list[Any], *, name: str) -> NDArray[Any]:
    """Times as int64 ns, numbers as float64 (NaN unknown), everything else as text."""
    if name == "time" or name.endswith(("_time", "_at", "timestamp")):
        times = [_instant(value) for value in values]
        if all(time is not None for time in times):
            return np.array(times, dtype=np.int64)
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return np.array([math.nan if value is None else float(value) for value in values])
    return np.array(["" if value is None else str(value) for value in values], dtype=np.str_)


def _instant(value: Any) -> int | None:
    """ns since 1970; a text without a zone is taken as UTC. None: not a time."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, int | float):
        return int(value * 1_000_000) if value > MILLISECONDS_FROM else int(value * 1_000_000_000)
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return to_nanoseconds(found if found.tzinfo else found.replace(tzinfo=UTC))


def _without(data: dict[str, Any]) -> dict[str, Any]:
    bulky = {*CURVES, *TRADES}
    rest = {name: value for name, value in data.items() if name not in bulky}
    if isinstance(rest.get("symbols"), list):
        rest["symbols"] = [
            {name: value for name, value in part.items() if name not in bulky} if isinstance(part, dict) else part
            for part in rest["symbols"]
        ]
    return rest
