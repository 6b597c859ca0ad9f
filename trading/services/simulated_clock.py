"""The clock of simulated markets: kept in one row, computed alike by every process, standing while nobody ticks it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

# Between two checkpoints (one a second) this much machine time counts; a longer silence means the platform was down.
LONGEST_STEP_S = 5

SINCE = """
    least(greatest(clock_timestamp() - checkpoint_at, interval '0'), %(longest)s * interval '1 second') * speed::float8
"""
READ = f"SELECT origin + elapsed + {SINCE} FROM simulated_markets WHERE id = %(pk)s"  # noqa: S608 - constants only
CHECKPOINT = f"""
UPDATE simulated_markets SET
    elapsed = elapsed + {SINCE},
    checkpoint_at = clock_timestamp()
WHERE id = %(pk)s RETURNING origin + elapsed
"""  # noqa: S608 - constants only


@dataclass(frozen=True)
class SimulatedClock:
    """Market time of one simulated market, read from its row each time it is asked."""

    market_pk: int

    def now(self) -> datetime:
        """Aware UTC market time. Raises LookupError when the market is gone."""
        return _one(READ, pk=self.market_pk)


def checkpoint(*, market_pk: int) -> datetime:
    """Fold the time since the last checkpoint into the row and go on from there."""
    return _one(CHECKPOINT, pk=market_pk)


def _one(sql: str, *, pk: int) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute(sql, {"pk": pk, "longest": LONGEST_STEP_S})
        row = cursor.fetchone()
    if row is None:
        raise LookupError(f"there is no simulated market {pk}")
    return row[0]


def hour_slots(*, after: datetime, until: datetime, most: int) -> list[datetime]:
    """The full hours in (after, until], oldest first, at most `most`."""
    first = after.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    count = max(0, int((until - first) // timedelta(hours=1)) + 1)
    return [first + timedelta(hours=number) for number in range(min(count, most))]
