"""Whatever fails, in whatever order: at most one order per decision, nothing lost, money once. Source: faults.md, section 2."""

import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests import proof_page
from tests.scale import IS_FULL, scale
from tests.simulation import record
from tests.simulation.planted_bugs import BUGS, seeds_until_found
from tests.simulation.violations import Violation
from tests.simulation.world import LEAST_FAULTS, OPERATIONS, World

SEEDS = scale(sample=1_000, full=10_000)
AGAIN = f"{'DGBOT_TEST_FULL=1 ' if IS_FULL else ''}.venv/bin/python -m tests.simulation"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Every fault is logged; here they are meant."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(1800)
def test_no_schedule_breaks_an_invariant():
    faults: Counter[Any] = Counter()
    transitions: Counter[Any] = Counter()
    cells: Counter[Any] = Counter()
    operations = 0
    for seed in range(SEEDS):
        world = World(seed)
        try:
            world.run()
        except (Violation, Exception) as wrong:
            pytest.fail(f"seed {seed}: {type(wrong).__name__}: {wrong}; run it again with `{AGAIN} {seed}`")
        assert world.operations >= OPERATIONS and world.faults.total() >= LEAST_FAULTS
        operations += world.operations
        for total, told in ((faults, world.faults), (transitions, world.transitions), (cells, world.cells)):
            total.update(told)

    least = record.LEAST_PER_TRANSITION if IS_FULL else 1
    rare = {move: transitions[move] for move in record.expected_transitions() if transitions[move] < least}
    assert not rare, f"too rare to prove anything: {rare}"
    if IS_FULL:
        found = {name: seeds_until_found(name) for name in BUGS}
        block = record.block(seeds=SEEDS, operations=operations, faults=faults, transitions=transitions, cells=cells, detected=found)
        proof_page.write_block("simulation", block)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_tells_the_same_story_twice_and_in_another_process(seed: int):
    told = World(seed).run()
    elsewhere = subprocess.run(
        [sys.executable, "-m", "tests.simulation", str(seed)],
        env={**os.environ, "PYTHONHASHSEED": "123"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert World(seed).run() == told
    assert elsewhere.stdout.rstrip().endswith(told)
