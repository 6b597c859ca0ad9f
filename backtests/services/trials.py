"""Trials are counted: `trials.count(...)`, once each, whoever counts them and however many at once."""

from collections.abc import Sequence

import numpy as np
from django.db import connection, transaction
from numpy.typing import NDArray

from backtests.candles.archive import content_sha256
from backtests.candles.series import Candles
from backtests.engine import Account, Member, Setup
from backtests.models import DataSet
from backtests.research.splits import Span, traded, within
from backtests.research.trials import Shared, Trial, keys_of, sharpe_per_bar
from backtests.selectors import Counted, counted_on
from backtests.strategies.base import Parameters
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


def count_portfolio(members: Sequence[Member], account: Account, *, statistics: NDArray[np.float64]) -> Counted:
    """Count one run of several symbols on one cash: a trial on each of their series, with the Sharpe ratio of the whole.

    Returns what has been tried on the series that was tried most, this run included. statistics: the account's row by layout.R.
    """
    sharpe = float(sharpe_per_bar(statistics.reshape(1, -1))[0])
    symbols = tuple(member.candles.symbol for member in members)
    counted = []
    for member in members:
        span = traded(member.candles, member.setup)
        [key] = keys_of([member.parameters], Shared(within(member.setup, member.candles, span), account, symbols))
        trial = Trial(key=key, sharpe=sharpe if np.isfinite(sharpe) else None, seen_to=span.last)
        count(data_set=data_set_of(member.candles), strategy=member.strategy.name, trials=[trial])
        counted.append(counted_on(member.candles, strategy=member.strategy.name, judge_from=span.last))
    return max(counted, key=lambda one: one.tally.count)


def count_run(
    candles: Candles,
    strategy: str,
    parameters: Parameters,
    setup: Setup,
    span: Span,
    *,
    statistics: NDArray[np.float64],
    judge_from: int,
) -> Counted:
    """Count one run over the bars of `span`; what has been tried by then, it included. statistics: its row by layout.R."""
    sharpe = float(sharpe_per_bar(statistics.reshape(1, -1))[0])
    [key] = keys_of([parameters], within(setup, candles, span))
    trial = Trial(key=key, sharpe=sharpe if np.isfinite(sharpe) else None, seen_to=span.last)
    count(data_set=data_set_of(candles), strategy=strategy, trials=[trial])
    return counted_on(candles, strategy=strategy, judge_from=judge_from)
