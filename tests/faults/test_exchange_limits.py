"""A sample of the soak: bots, workers, ticker and gateway as real processes, and no exchange asked more than it allows."""

import sys
from pathlib import Path

import pytest

from tests.soak import exchange_load
from tests.soak.exchange_load import Load

pytestmark = pytest.mark.timeout(400)


def test_bots_of_every_kind_stay_within_the_limits_of_both_exchanges(folder: Path) -> None:
    figures = exchange_load.run(folder, Load(tickers=10, hourly=12, flow=4, seconds=5, pace_s=1.0))

    sys.stdout.write(f"\n{figures}\n")
    exchange_load.assert_within_limits(figures)
