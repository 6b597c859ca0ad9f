#!/usr/bin/env python
"""How fast the volume zone breakout is, end to end, against the times the source project claimed for its own (requirements S4-20).

Signals, run, statistics and columns on candles that are already in memory, warm; medians of at least five. Efficiency is
target / actual: 100 means a hundred times faster than the target. Files go to `benchmarks/` in the data folder, or to --folder.
"""

import argparse
import csv
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))  # started as a script, Python knows this folder only
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dgbot.settings")

TARGETS_S = {100: 0.0228, 300: 0.0708, 1000: 0.2688}  # the sources' own times
DEFAULT_COUNTS = (100, 300, 1000)
FEWEST_REPEATS = 5
MONITOR_MINUTES = 5.0
EXAMPLE = """examples:
  scripts/benchmark.py                                  100, 300 and 1,000 candles
  scripts/benchmark.py --candles 8760 --repeats 101 --verbose
  scripts/benchmark.py --export json                    writes benchmark_<time>.json
  scripts/benchmark.py --compare var/data/benchmarks/benchmark_20260101T000000Z.json
  scripts/benchmark.py --monitor 2                      repeats for two minutes and watches processor and memory
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, tell, write, compare. Returns the exit code: 0, or 2 with one sentence."""
    options = _parser().parse_args(arguments)
    try:
        before = None if options.compare is None else _read(options.compare)
        _check(options)
        report = measured(options.candles or DEFAULT_COUNTS, repeats=options.repeats, told=_teller(options))
        if options.monitor is not None:
            report["monitor"] = watched(max(options.candles or DEFAULT_COUNTS), minutes=options.monitor, told=_teller(options))
        _show(report, before)
        if options.export:
            print(f"Written: {_written(report, options.export, folder=options.folder or _default_folder())}")  # noqa: T201
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return 0


def measured(counts: Sequence[int], *, repeats: int, told: Callable[[str], None] = lambda _line: None) -> dict[str, Any]:
    """One row per number of candles: median, fastest and slowest seconds, target, efficiency (None without a target)."""
    rows = []
    for count in counts:
        work = zone_breakout(count)
        work()
        took = []
        for number in range(repeats):
            begun = time.perf_counter()
            work()
            took.append(time.perf_counter() - begun)
            told(f"{count:,} candles, run {number + 1}: {took[-1] * 1000:.3f} ms")
        median, target = statistics.median(took), TARGETS_S.get(count)
        rows.append(
            {
                "candles": count,
                "median_s": median,
                "fastest_s": min(took),
                "slowest_s": max(took),
                "repeats": repeats,
                "target_s": target,
                "efficiency": None if target is None else target / median,
            }
        )
    return {"measured_at": datetime.now(tz=UTC).isoformat(timespec="seconds"), "machine": machine(), "rows": rows}


def zone_breakout(count: int) -> Callable[[], Any]:
    """One end-to-end backtest over `count` hourly candles of the seeded simulated market, as a call."""
    import dgbot.settings  # noqa: F401  # names the folder of compiled kernels
    from backtests.engine import Grid, Setup, run, warm
    from backtests.strategies.registry import strategy_named
    from dgbot.core.interval import Interval
    from trading.exchanges import upbit_rules
    from trading.exchanges.simulated_market import SimulatedMarket

    warm()
    origin = datetime(2026, 1, 1, tzinfo=UTC)
    # An hour in which nothing trades has no candle, so some more hours are asked for than are kept.
    made = SimulatedMarket("KRW-BTC", 1, origin).closed_candles(Interval.HOUR_1, origin + timedelta(hours=count + count // 10 + 50))
    candles = made.opened_within(made.candle(len(made) - count).opened_at, origin + timedelta(days=36_500))
    strategy, setup = strategy_named("volume_zone_breakout"), Setup(grids=(Grid(upbit_rules.rules("KRW-BTC", origin)),))
    parameters = strategy.parameters()
    return lambda: run(candles, strategy, parameters, setup)


def watched(count: int, *, minutes: float, told: Callable[[str], None] = lambda _line: None) -> dict[str, Any]:
    """Repeat the run for `minutes`; runs a second, processor share and memory, sampled ten times a minute or more."""
    import psutil

    work, process = zone_breakout(count), psutil.Process()
    until, every_s = time.monotonic() + minutes * 60, min(6.0, max(minutes * 6, 0.1))
    samples: list[dict[str, float]] = []
    process.cpu_percent()
    while time.monotonic() < until:
        runs, begun = 0, time.monotonic()
        while time.monotonic() - begun < every_s:
            work()
            runs += 1
        seconds = time.monotonic() - begun
        sample = {"runs_per_s": runs / seconds, "cpu_percent": process.cpu_percent(), "memory_mib": process.memory_info().rss / 2**20}
        samples.append(sample)
        told(f"{sample['runs_per_s']:,.0f} runs a second, processor {sample['cpu_percent']:.0f} %, memory {sample['memory_mib']:.0f} MiB")
    return {
        "minutes": minutes,
        "candles": count,
        "samples": len(samples),
        "runs_per_s": statistics.median(sample["runs_per_s"] for sample in samples),
        "cpu_percent": statistics.median(sample["cpu_percent"] for sample in samples),
        "memory_mib_first": samples[0]["memory_mib"],
        "memory_mib_last": samples[-1]["memory_mib"],
    }


def change_percent(before: dict[str, Any] | None, row: dict[str, Any]) -> float | None:
    """How much longer a run takes than in the other file, percent; negative is faster. None where that has no such row."""
    other = next((one for one in (before or {}).get("rows", []) if one["candles"] == row["candles"]), None)
    return None if other is None else (row["median_s"] / other["median_s"] - 1) * 100


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    import numba
    import numpy as np

    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "system": platform.platform(),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candles", type=int, action="append", metavar="N", help="How many; may be repeated (default 100, 300, 1000).")
    parser.add_argument("--repeats", type=int, default=51, metavar="N", help="Runs of each (default 51, at least 5).")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="A .json or .csv of an earlier --export; shows the change in percent.")
    parser.add_argument("--export", choices=("csv", "json"), help="Write the figures, stamped with the time.")
    parser.add_argument("--folder", type=Path, help="Where to write (default: benchmarks in the data folder).")
    parser.add_argument(
        "--monitor", nargs="?", const=MONITOR_MINUTES, type=float, metavar="MINUTES", help="Watch processor and memory (default 5)."
    )
    parser.add_argument("--verbose", action="store_true", help="Tell every single run.")
    return parser


def _check(options: argparse.Namespace) -> None:
    if options.repeats < FEWEST_REPEATS:
        raise ValueError(f"--repeats must be {FEWEST_REPEATS} or more for a median, was {options.repeats}.")
    for count in options.candles or ():
        if count < 1:
            raise ValueError(f"--candles must be 1 or more, was {count}.")
    if options.monitor is not None and not options.monitor > 0:
        raise ValueError(f"--monitor takes minutes above 0, was {options.monitor:g}.")


def _teller(options: argparse.Namespace) -> Callable[[str], None]:
    return lambda line: print(line, file=sys.stderr) if options.verbose else None  # noqa: T201


def _show(report: dict[str, Any], before: dict[str, Any] | None) -> None:
    print(f"{'candles':>9} {'median':>12} {'fastest':>12} {'target':>12} {'efficiency':>12} {'change':>10}")  # noqa: T201
    for row in report["rows"]:
        target = "-" if row["target_s"] is None else f"{row['target_s'] * 1000:.1f} ms"
        efficiency = "-" if row["efficiency"] is None else f"{row['efficiency']:,.0f} x"
        change = change_percent(before, row)
        told = "-" if change is None else f"{change:+.1f} %"
        median, fastest = f"{row['median_s'] * 1000:.3f} ms", f"{row['fastest_s'] * 1000:.3f} ms"
        print(f"{row['candles']:>9,} {median:>12} {fastest:>12} {target:>12} {efficiency:>12} {told:>10}")  # noqa: T201
    if "monitor" in report:
        seen = report["monitor"]
        print(  # noqa: T201
            f"{seen['minutes']:g} minutes of {seen['candles']:,} candles: {seen['runs_per_s']:,.0f} runs a second, "
            f"processor {seen['cpu_percent']:.0f} %, memory {seen['memory_mib_first']:.0f} to {seen['memory_mib_last']:.0f} MiB."
        )


def _default_folder() -> Path:
    from dgbot import settings

    return Path(settings.DATA_DIR) / "benchmarks"


def _written(report: dict[str, Any], form: str, *, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.fromisoformat(report["measured_at"]).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"benchmark_{stamp}.{form}"
    if form == "json":
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        return path
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=["measured_at", *report["rows"][0]])
        writer.writeheader()
        writer.writerows({"measured_at": report["measured_at"]} | row for row in report["rows"])
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                return {"rows": [{"candles": int(row["candles"]), "median_s": float(row["median_s"])} for row in csv.DictReader(file)]}
        report = json.loads(path.read_text(encoding="utf-8"))
        return {"rows": [{"candles": int(row["candles"]), "median_s": float(row["median_s"])} for row in report["rows"]]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no file of an earlier --export: {error}.") from error


def _in_our_environment() -> None:
    """Started by another Python, go on with the project's own; without one, whatever started this must have the packages."""
    ours = HERE / ".venv" / "bin" / "python"
    if ours.exists() and Path(sys.prefix).resolve() != (HERE / ".venv").resolve():
        os.execv(ours, [str(ours), *sys.argv])  # noqa: S606  # our own interpreter, our own arguments


if __name__ == "__main__":
    _in_our_environment()
    sys.exit(main())
