"""What a face does, for a crew's platform: archive candles, ask for backtests and sweeps, cancel them. Prints JSON."""

import json
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dgbot.settings")

import django

django.setup()

from backtests import tasks  # noqa: E402
from backtests.models import BacktestRun  # noqa: E402
from backtests.services import jobs, runs, sweeps  # noqa: E402
from tests import run_factory  # noqa: E402


def main(deed: str, *numbers: int) -> object:
    """archive CANDLES · submit RUNS PERMUTATIONS · cancel PK… · sweep SETS."""
    if deed == "archive":
        run_factory.archive(count=numbers[0])
        return numbers[0]
    if deed == "submit":
        rows = [runs.submit(spec=run_factory.run_spec(permutations=numbers[1], seed=seed)) for seed in range(1, numbers[0] + 1)]
        for row in rows:
            tasks.run_backtest.delay(row.pk)
        return [row.pk for row in rows]
    if deed == "cancel":
        return [jobs.cancel(BacktestRun, pk) for pk in numbers]
    row = sweeps.submit(spec=run_factory.sweep_spec(sets=numbers[0], folds=0))
    tasks.work_on_sweep.delay(row.pk)
    return row.pk


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], *(int(word) for word in sys.argv[2:]))))  # noqa: T201
