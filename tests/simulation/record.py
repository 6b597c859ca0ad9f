"""What a full run has proven: the simulator's block of docs/order-path-proof.md."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

from tests.proof_page import commit, table
from trading.domain.lifecycle import CLOSED, MOVES, Status

LEAST_PER_TRANSITION, LEAST_PER_CELL = 100, 10
AT_WORK = [status for status in Status if status not in CLOSED]
# Legal moves that the order path itself never makes: who does.
MADE_BY_OTHERS: Mapping[tuple[str, str], str] = {
    ("cancelling", "open"): "nobody: a wish to cancel stands until the order ends",
    ("cancelling", "partially_filled"): "nobody: a wish to cancel stands until the order ends",
    ("partially_filled", "open"): "nobody: what is filled never falls",
    ("unknown", "failed"): "nobody yet: no exchange tells of an order that it refused",
    ("disputed", "failed"): "an operator",
    ("expired", "cancelled"): "nobody yet: an exchange that corrects itself",
    ("failed", "cancelled"): "nobody yet: an exchange that corrects itself",
    ("failed", "filled"): "nobody yet: an exchange that corrects itself",
}


def expected_transitions() -> list[tuple[str, str]]:
    """The moves that a long run must have made, birth excepted."""
    pairs = {(before.value, after.value) for before, after, _actor in MOVES if before is not None}
    return sorted(pairs - set(MADE_BY_OTHERS))


def block(
    *,
    seeds: int,
    operations: int,
    faults: Counter[str],
    transitions: Counter[tuple[str, str]],
    cells: Counter[tuple[str, str]],
    detected: Mapping[str, int | None],
) -> str:
    """The simulator's block. detected: planted bug → number of seeds until it was found."""
    lines = [
        "## The order path under the simulator (tier S)",
        "",
        f"Commit {commit()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {seeds:,} seeds, {operations:,} operations,"
        f" {faults.total():,} faults, 0 violations. The invariants and where each is checked: `tests/simulation/violations.py`.",
        "",
        *table(("fault", "times"), [(name, f"{count:,}") for name, count in faults.most_common()]),
        "",
        *table(("move", "times"), [(f"{before} → {after}", f"{transitions[before, after]:,}") for before, after in expected_transitions()]),
        "",
        "Legal moves that no run makes:",
        "",
        *[f"- {before} → {after}: {who}" for (before, after), who in MADE_BY_OTHERS.items()],
        "",
        f"A fault met an order at work in {len(cells)} pairs of state and fault, of {len(faults) * len(AT_WORK)};"
        f" {sum(count >= LEAST_PER_CELL for count in cells.values())} of them at least {LEAST_PER_CELL} times.",
        "",
        f"Planted bugs found: {sum(seeds is not None for seeds in detected.values())} of {len(detected)}.",
        "",
        *table(("planted bug", "seeds until found"), [(name, str(seeds or "not found")) for name, seeds in detected.items()]),
    ]
    return "\n".join(lines)
