"""Every set of a sweep as columns: for the ranking, the heat map, and how much each parameter matters. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.research.sampling import Range
from backtests.research.searching import Scored

METRICS = ("total_return", "max_drawdown", "trades", "win_rate", "profit_factor")
BINS = 12
FEWEST_IN_A_BIN = 3


def table_of(scored: Sequence[Scored], *, first_set: int, space: Mapping[str, Range]) -> dict[str, NDArray[Any]]:
    """set: its number. Parameters that were searched, score, sharpe (per bar) and metrics: float64, NaN unknown."""
    columns: dict[str, NDArray[Any]] = {"set": np.arange(first_set, first_set + len(scored), dtype=np.int64)}
    for name, one in space.items():
        if one.low != one.high:
            columns[name] = np.array([float(getattr(each.parameters, name)) for each in scored])
    columns["score"] = _numbers(each.score for each in scored)
    columns["sharpe"] = _numbers(each.sharpe for each in scored)
    for name in METRICS:
        columns[name] = _numbers(getattr(each.metrics, name) for each in scored)
    return columns


def joined(parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Column behind column; nothing yet: no columns."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def importance_of(columns: Mapping[str, NDArray[Any]], space: Mapping[str, Range]) -> dict[str, float]:
    """Share of the score's variance that each parameter explains alone, largest first; nothing where no score varies.

    The variance of the mean scores of BINS equally full bins, over the whole variance: the first-order index of Sobol 1993, estimated
    by binning. What parameters do together is in none of them, so the shares need not add up to one.
    """
    if not columns:
        return {}
    score = columns["score"]
    is_known = np.isfinite(score)
    score = score[is_known]
    if len(score) < 2 * FEWEST_IN_A_BIN or not np.var(score) > 0:
        return {}
    shares = {name: _explained(columns[name][is_known], score) for name, one in space.items() if one.low != one.high}
    return dict(sorted(shares.items(), key=lambda pair: -pair[1]))


def heat_map(columns: Mapping[str, NDArray[Any]], *, x: str, y: str, bins: int = BINS) -> dict[str, Any]:
    """The best score in each cell of two parameters. x, y: edges of the bins, ascending; cells: rows by y, null where none is known."""
    edges_x, edges_y = _edges(columns[x], bins), _edges(columns[y], bins)
    cells = np.full((len(edges_y) - 1, len(edges_x) - 1), np.nan)
    at_x, at_y = _places(columns[x], edges_x), _places(columns[y], edges_y)
    known = np.isfinite(columns["score"])
    order = np.argsort(columns["score"][known])  # the best one of a cell is written last
    cells[at_y[known][order], at_x[known][order]] = columns["score"][known][order]
    told = [[None if np.isnan(cell) else float(cell) for cell in row] for row in cells]
    return {"x": x, "y": y, "x_edges": edges_x.tolist(), "y_edges": edges_y.tolist(), "cells": told}


def _explained(values: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    order = np.argsort(values, kind="stable")
    values, score = values[order], score[order]
    starts = _bin_starts(values)
    counts = np.diff(np.append(starts, len(score)))
    means = np.add.reduceat(score, starts) / counts
    between = float(np.sum(counts * (means - score.mean()) ** 2) / len(score))
    # Means of few scores differ by luck: what luck alone makes of them is taken off.
    by_luck = float(np.var(score)) * (len(starts) - 1) / max(len(score) - 1, 1)
    return max(0.0, min(1.0, (between - by_luck) / float(np.var(score))))


def _bin_starts(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where bins of sorted values begin: equally full, and equal values never apart."""
    wanted = np.linspace(0, len(values), min(BINS, max(len(values) // FEWEST_IN_A_BIN, 1)) + 1)[:-1].astype(np.int64)
    return np.unique(np.searchsorted(values, values[wanted]))


def _edges(values: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    different = np.unique(values)
    if len(different) <= bins:  # few values: a cell for each
        middles = (different[:-1] + different[1:]) / 2
        return (
            np.concatenate([different[:1], middles, different[-1:]]) if len(different) > 1 else np.array([different[0], different[0] + 1])
        )
    return np.linspace(values.min(), values.max(), bins + 1)


def _places(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def _numbers(values: Any) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else float(value) for value in values])
