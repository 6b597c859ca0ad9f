"""Run one seed again, as a failing test prints it: `python -m tests.simulation SEED [PLANTED BUG]`."""

import logging
import sys
from contextlib import nullcontext

from tests.simulation.planted_bugs import planted
from tests.simulation.world import World


def main() -> None:
    """Print the event log and how it ended."""
    logging.disable(logging.CRITICAL)
    seed, bug = int(sys.argv[1]), " ".join(sys.argv[2:])
    with planted(bug) if bug else nullcontext():
        world = World(seed, tell=sys.stdout.write)
        sys.stdout.write(f"seed {seed}: {world.exchange.dialect.name}\n")
        digest = world.run()
    sys.stdout.write(f"seed {seed}: no violation, event log {digest}\n")


if __name__ == "__main__":
    main()
