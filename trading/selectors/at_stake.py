"""What is at stake in an account and what is free, from our own rows alone and in one statement, so that no fill falls between two.

The balance row is older than our newest fills: what entries have spent since the gateway asked for it is still in it and is taken off.
"""

from dataclasses import dataclass
from decimal import Decimal

from django.db import connection

from risk.domain.exposure import AtStake

READ = """
WITH cash AS (
    SELECT free, free + locked AS whole, recorded_at FROM account_balances WHERE account_id = %(account)s AND asset = %(quote)s
), unseen AS (
    SELECT coalesce(sum(CASE side WHEN 'buy' THEN total + fee ELSE 0 END), 0) AS spent FROM trades
    WHERE account_id = %(account)s AND recorded_at >= (SELECT recorded_at FROM cash)
), costs AS (
    SELECT symbol, coalesce(bought_total * amount / nullif(bought_amount, 0), 0) AS amount FROM positions
    WHERE account_id = %(account)s AND closed_at IS NULL
)
SELECT 'stake', symbol, sum(amount) FROM (
    SELECT symbol, amount FROM costs
    UNION ALL
    SELECT orders.symbol, greatest(notional - coalesce((SELECT sum(total + fee) FROM trades WHERE trades.order_pk = orders.id), 0), 0)
    FROM reservations JOIN orders ON orders.id = reservations.order_pk
    WHERE reservations.account_id = %(account)s AND reservations.status = 'held'
) AS held GROUP BY symbol
UNION ALL SELECT 'cost', '', coalesce(sum(amount), 0) FROM costs
UNION ALL
SELECT 'reserved', '', coalesce(sum(notional), 0) FROM reservations WHERE account_id = %(account)s AND status = 'held'
UNION ALL SELECT 'free', '', free - spent FROM cash, unseen
UNION ALL SELECT 'cash', '', whole - spent FROM cash, unseen
UNION ALL (
    SELECT 'equity', '', equity FROM risk_states
    WHERE account_id = %(account)s AND bot_id IS NULL AND equity IS NOT NULL ORDER BY trading_day DESC LIMIT 1
)
UNION ALL
SELECT DISTINCT 'group', member, 0::numeric FROM symbol_groups, jsonb_array_elements_text(symbols) AS member
WHERE symbols @> to_jsonb(%(symbol)s::text)
"""


@dataclass(frozen=True)
class AccountMoney:
    """One account at one instant, quote currency. free_cash: what no order has a claim to; None until the gateway has told it.

    The equity that limits refer to is cash plus positions at cost, or what was last observed where that is less.
    """

    at_stake: AtStake
    free_cash: Decimal | None
    group: frozenset[str]


def read(*, account_id: int, quote: str, symbol: str, is_margin: bool = False) -> AccountMoney:
    """Call it while holding the account (`risk.services.hold_account`) where a decision hangs on it.

    is_margin: positions are derivatives, so what they cost is still in the balance as their margin and is not counted twice.
    """
    with connection.cursor() as cursor:
        cursor.execute(READ, {"account": account_id, "quote": quote, "symbol": symbol})
        rows = cursor.fetchall()
    single = {kind: amount for kind, _name, amount in rows}
    by_symbol = {name: amount for kind, name, amount in rows if kind == "stake"}
    cash, reserved = single.get("cash"), single["reserved"]
    worth = cash if cash is None or is_margin else cash + single["cost"]
    seen = single.get("equity")
    equity = worth if worth is None or seen is None else min(worth, seen)
    free = single.get("free")
    return AccountMoney(
        at_stake=AtStake(by_symbol=by_symbol, equity=equity),
        free_cash=None if free is None else free - reserved,
        group=frozenset(name for kind, name, _amount in rows if kind == "group"),
    )
