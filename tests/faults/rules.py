"""What must hold whatever was killed, asked of the rows themselves. `sql` runs one query and gives its first row."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import psycopg2

PATIENCE_S = 60

Sql = Callable[[str], tuple[Any, ...] | None]


def assert_nothing_doubled(sql: Sql) -> None:
    """No slot, decision, order or order at the exchange exists twice, and no slot was left out."""
    assert sql("SELECT count(*) FROM (SELECT 1 FROM cycles GROUP BY bot_id, slot HAVING count(*) > 1) AS twice") == (0,)
    assert sql("SELECT count(*) FROM (SELECT 1 FROM ai_decisions GROUP BY cycle_id HAVING count(*) > 1) AS twice") == (0,)
    assert sql("SELECT count(*) FROM (SELECT 1 FROM orders GROUP BY bot_id, decision_key HAVING count(*) > 1) AS twice") == (0,)
    at_the_exchange = "SELECT count(*) FROM (SELECT 1 FROM venue_orders GROUP BY account_key, client_id HAVING count(*) > 1) AS twice"
    assert sql(at_the_exchange) == (0,)
    gaps = (
        "SELECT count(*) FROM (SELECT slot - lag(slot) OVER (ORDER BY slot) AS step FROM cycles) AS steps WHERE step <> interval '1 hour'"
    )
    assert sql(gaps) == (0,), "a slot was left out"
    unfinished = "SELECT count(*) FROM cycles c WHERE status = 'done' AND (SELECT count(*) FROM stage_results WHERE cycle_id = c.id) <> 4"
    assert sql(unfinished) == (0,)


def assert_books_balance(sql: Sql) -> None:
    """What the exchange holds is what our trades say, to the last digit."""
    fills = "SELECT count(*) FROM venue_fills f FULL JOIN trades t ON t.trade_id = f.exchange_trade_id WHERE t.id IS NULL OR f.id IS NULL"
    assert sql(fills) == (0,)
    ours = "SELECT coalesce(sum(CASE side WHEN 'buy' THEN amount ELSE -amount END), 0) FROM trades"
    theirs = "SELECT coalesce(sum(free), 0) FROM venue_accounts WHERE asset = 'BTC'"
    assert sql(ours) == sql(theirs)


def wait_until(holds: Callable[[], Any], what: str, *, seconds: float = PATIENCE_S) -> None:
    """Ask again and again; a database that is away just now is no answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(psycopg2.Error):
            if holds():
                return
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")
