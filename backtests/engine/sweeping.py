"""Many parameter sets over one series: what sets share is computed once, the rest runs on all cores without the GIL.

    sets ──group by everything but exits──▶ one signal list a group ──▶ chunks of settings rows ──threads──▶ one result row a set

A group's signals live only until its chunks are done, and no set keeps fills or a curve: memory does not grow with their number
beyond the two small rows each. The statistics are bit for bit those of `run` with the same parameters.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from backtests.engine.layout import RESULTS, SETTINGS, S
from backtests.engine.metrics import Metrics, measure
from backtests.engine.running import NO_FILLS, UNIT_DISTANCES, kernel_of, shared, unit_signals
from backtests.engine.setup import Columns, Setup, columns_of
from backtests.engine.signal_list import NO_NUMBERS, SignalList, signal_list
from backtests.strategies.base import Parameters, Strategy
from backtests.strategies.exits import ExitParameters

CHUNK_SETS = 128  # some milliseconds of kernel on a year of hours: threads stay busy, a cancelled sweep stops soon
GROUPS_AHEAD = 4  # signal lists waiting for a thread at any moment


@dataclass(frozen=True, eq=False)
class Sweep:
    """settings: (sets, SETTINGS), results: (sets, RESULTS) by layout.R, both in the order of the sets. groups: signal lists computed."""

    settings: NDArray[np.float64]
    results: NDArray[np.float64]
    interval_ns: int
    groups: int

    def metrics(self, number: int) -> Metrics:
        """Those of one set."""
        return measure(self.results[number], cash=float(self.settings[number, S.CASH]), interval_ns=self.interval_ns)

    def __len__(self) -> int:
        return len(self.results)


def sweep(
    candles: Candles,
    strategy: Strategy[Any],
    sets: Sequence[Parameters],
    setup: Setup,
    *,
    allowed: NDArray[np.bool_] | None = None,
    funding: NDArray[np.float64] | None = None,
    threads: int | None = None,
) -> Sweep:
    """Run every set. allowed, funding: as in `run`. threads: one per core unless said.

    Raises BadInput for parameters out of bounds and for a series without a bar to trade.
    """
    for parameters in sets:
        parameters.validate()
    columns = columns_of(candles, setup)
    interval_ns = candles.interval.nanoseconds
    settings, results = np.empty((len(sets), SETTINGS)), np.zeros((len(sets), RESULTS))
    groups = _grouped(sets)
    workers = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(workers, thread_name_prefix="sweep") as pool:
        waiting: deque[list[Future[None]]] = deque()
        for members in groups:
            for number in members:
                rules = strategy.exit_rules(sets[number])
                settings[number] = setup.row(interval_ns=interval_ns, parameters=sets[number], rules=rules)
            signals = unit_signals(candles, strategy, sets[members[0]])
            entries = signal_list(candles, signals, setup=setup, allowed=allowed)
            columns_shared = shared(candles, columns, entries, setup=setup, funding=funding)
            waiting.append(
                [
                    pool.submit(_run_chunk, setup, columns, columns_shared, settings, results, chunk)
                    for chunk in _chunks(members, size=max(1, min(CHUNK_SETS, -(-len(members) // workers))))
                ]
            )
            if len(waiting) > GROUPS_AHEAD:
                _finish(waiting.popleft())
        while waiting:
            _finish(waiting.popleft())
    return Sweep(settings=settings, results=results, interval_ns=interval_ns, groups=len(groups))


def sweep_rows(
    candles: Candles,
    columns: Columns,
    entries: SignalList,
    settings: NDArray[np.float64],
    *,
    setup: Setup,
    funding: NDArray[np.float64] | None = None,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Run prepared settings rows over one signal list. Returns (sets, RESULTS)."""
    results = np.zeros((len(settings), RESULTS))
    columns_shared = shared(candles, columns, entries, setup=setup, funding=funding)
    members = np.arange(len(settings), dtype=np.int64)
    with ThreadPoolExecutor(threads) as pool:
        _finish(
            [
                pool.submit(_run_chunk, setup, columns, columns_shared, settings, results, chunk)
                for chunk in _chunks(members, size=CHUNK_SETS)
            ]
        )
    return results


def _grouped(sets: Sequence[Parameters]) -> list[NDArray[np.int64]]:
    """Numbers of the sets that share their signals: those that differ in exit rules and distances alone."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number, parameters in enumerate(sets):
        groups.setdefault(_signal_key(parameters), []).append(number)
    return [np.array(members, dtype=np.int64) for members in groups.values()]


def _signal_key(parameters: Parameters) -> tuple[Any, ...]:
    if not isinstance(parameters, ExitParameters):
        return astuple(parameters)
    defaults = {one.name: one.default for one in fields(ExitParameters)}
    return astuple(replace(parameters, **{**defaults, **UNIT_DISTANCES}))


def _chunks(members: NDArray[np.int64], *, size: int) -> Iterator[NDArray[np.int64]]:
    return (members[start : start + size] for start in range(0, len(members), size))


def _run_chunk(
    setup: Setup,
    columns: Columns,
    columns_shared: tuple[NDArray[Any], ...],
    settings: NDArray[np.float64],
    results: NDArray[np.float64],
    members: NDArray[np.int64],
) -> None:
    kernel_of(setup)(columns.first, columns.last, *columns_shared, members, settings, *NO_FILLS, NO_NUMBERS, results)


def _finish(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        future.result()
