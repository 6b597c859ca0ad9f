"""Tests of the tests: a bug planted into the order path must be found. One that is not says that the simulator is too weak."""

import logging
from collections.abc import Iterator

import pytest

from tests.simulation.planted_bugs import BUGS, MOST_SEEDS, seeds_until_found
from tests.simulation.world import World


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Every fault is logged; here they are meant."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", sorted(BUGS))
def test_a_planted_bug_is_found(name: str):
    assert seeds_until_found(name) is not None, f"no seed below {MOST_SEEDS} finds it"


def test_there_are_enough_planted_bugs():
    assert len(BUGS) >= 25


def test_without_a_bug_the_same_seeds_find_nothing():
    for seed in range(20):
        World(seed).run()
