"""Parameter stability: is the chosen set on a plateau or on a needle?

Each open parameter is moved a tenth of its range both ways, alone; a plateau keeps most of the score, a set that was fitted to noise
loses it at once. Source: Pardo 2008, ch. 10. Neighbours are trials like any other and are counted.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from backtests.research.searching import Scored

KEEPS_NOTHING = 0.0


@dataclass(frozen=True)
class Stability:
    """neighbours: how many. profitable: share of them that earned. kept: median of their scores over the chosen one's, None unknown."""

    neighbours: int
    profitable: float | None
    kept: float | None

    def as_row(self) -> dict[str, object]:
        """As it is stored and printed."""
        return asdict(self)


def stability_of(chosen: Scored, around: Sequence[Scored]) -> Stability:
    """chosen, around: scored on the same bars.

    A neighbour without a score keeps nothing, and counts as that: an edge whose neighbours hardly trade is not a stable one, and
    leaving them out would make it look so.
    """
    if not around:
        return Stability(neighbours=0, profitable=None, kept=None)
    earned = sum(one.metrics.total_return > 0 for one in around) / len(around)
    kept = (
        None
        if not chosen.score or chosen.score <= 0
        else median(KEEPS_NOTHING if one.score is None else one.score for one in around) / chosen.score
    )
    return Stability(neighbours=len(around), profitable=earned, kept=kept)
