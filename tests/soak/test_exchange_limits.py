"""50 five-second and 500 hourly bots for five minutes at both fakes with their documented limits (issue C, "Done when" 2)."""

import sys
from pathlib import Path

import pytest

from tests.scale import scale
from tests.soak import exchange_load
from tests.soak.exchange_load import Load

MINUTES = scale(sample=1, full=5)
LOAD = Load(tickers=scale(sample=20, full=50), hourly=scale(sample=60, full=500), flow=8, seconds=MINUTES * 60, pace_s=4.0)

pytestmark = pytest.mark.timeout(MINUTES * 60 + LOAD.hourly * 2 + 300)


def test_bots_of_every_kind_stay_within_the_limits_of_both_exchanges(folder: Path) -> None:
    figures = exchange_load.run(folder, LOAD)

    sys.stdout.write(f"\n{figures}\n")
    exchange_load.assert_within_limits(figures)
