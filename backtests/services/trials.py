"""Trials are counted: `trials.count(...)`, once each, whoever counts them and however many at once."""

from collections.abc import Sequence

from django.db import connection, transaction

from backtests.candles.archive import content_sha256
from backtests.candles.series import Candles
from backtests.models import DataSet
from backtests.research.trials import Trial
from dgbot.core.clock import from_nanoseconds
from dgbot.core.errors import BadInput

# The same question has the same answer, so the first row stays.
COUNT = """
    INSERT INTO research_trials (data_set_id, strategy, key, sharpe, seen_to)
    SELECT %s, %s, key, sharpe, seen_to FROM unnest(%s::text[], %s::float8[], %s::int[]) AS told (key, sharpe, seen_to)
    ON CONFLICT ON CONSTRAINT research_trials_count_once DO NOTHING
"""


def data_set_of(candles: Candles) -> DataSet:
    """The row that names these candles, made if new. Raises BadInput for an empty series."""
    if not len(candles):
        raise BadInput(f"{candles.symbol} {candles.interval} holds no candle to try anything on.")
    row, _is_new = DataSet.objects.get_or_create(
        content_sha256=content_sha256(candles),
        defaults={
            "exchange": candles.exchange,
            "symbol": candles.symbol,
            "interval": candles.interval,
            "rows": len(candles),
            "first_opened_at": from_nanoseconds(int(candles.open_time[0])),
        },
    )
    return row


@transaction.atomic
def count(*, data_set: DataSet, strategy: str, trials: Sequence[Trial]) -> int:
    """Count each trial that was not counted before. Returns how many were new. Safe to repeat and to run many times at once.

    All counters go by the order of the keys, so that two which count the same trials wait for each other and never in a circle.
    """
    ordered = sorted({trial.key: trial for trial in trials}.values(), key=lambda trial: trial.key)
    columns = [trial.key for trial in ordered], [trial.sharpe for trial in ordered], [trial.seen_to for trial in ordered]
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [data_set.pk, strategy, *columns])
        return int(cursor.rowcount)
