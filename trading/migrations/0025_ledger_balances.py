"""The ledger is append-only, its sources sum to zero in every asset, and its rows fit their owner; trades booked before it get their legs."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

from dgbot.base.operations import append_only, composite_foreign_key

BALANCE = """
CREATE FUNCTION ledger_entries_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong text;
BEGIN
    SELECT format('%s %s', sum(amount), asset) INTO wrong FROM ledger_entries
    WHERE account_id = NEW.account_id AND source_kind = NEW.source_kind AND source_id = NEW.source_id
    GROUP BY asset HAVING sum(amount) <> 0 LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the legs of % % do not balance: % is left over', NEW.source_kind, NEW.source_id, wrong
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_entries_balance AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_entries_balance();
"""

# Upbit writes KRW-BTC, Bitget ETH/USDT:USDT.
BOOK_OLD_TRADES = """
INSERT INTO ledger_entries
    (account_id, user_id, mode, bot_id, position_id, symbol, source_kind, source_id, leg, book, asset, amount, note, entered_by, created_at)
SELECT account_id, user_id, mode, bot_id, position_id, symbol, CASE WHEN order_pk IS NULL THEN 'external' ELSE 'trade' END, trade_id,
    row_number() OVER (PARTITION BY trade.id ORDER BY legs.number), legs.book, legs.asset, legs.amount, '', '', created_at
FROM (
    SELECT *, CASE side WHEN 'buy' THEN 1 ELSE -1 END AS sign,
        CASE WHEN symbol LIKE '%/%' THEN split_part(symbol, '/', 1) ELSE split_part(symbol, '-', 2) END AS base,
        CASE WHEN symbol LIKE '%/%' THEN split_part(split_part(symbol, '/', 2), ':', 1) ELSE split_part(symbol, '-', 1) END AS quote
    FROM trades WHERE status = 'completed'
) AS trade
CROSS JOIN LATERAL (VALUES
    (1, 'held', base, sign * trade.amount), (2, 'market', base, -sign * trade.amount),
    (3, 'held', quote, -sign * total), (4, 'market', quote, sign * total),
    (5, 'held', fee_currency, -fee), (6, 'fees', fee_currency, fee)
) AS legs (number, book, asset, amount)
WHERE legs.amount <> 0
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0024_ledger")]

    operations = [
        composite_foreign_key(
            "ledger_entries", ("account_id", "mode", "user_id"), "exchange_accounts", ("id", "mode", "user_id"), name="ledger_entries_fit_their_account"
        ),
        composite_foreign_key(
            "ledger_entries", ("bot_id", "account_id", "mode", "user_id"), "bots", ("id", "account_id", "mode", "user_id"), name="ledger_entries_fit_their_bot"
        ),
        composite_foreign_key("ledger_entries", ("position_id", "bot_id"), "positions", ("id", "bot_id"), name="ledger_entries_fit_their_position"),
        RunSQL(BOOK_OLD_TRADES, RunSQL.noop),
        append_only("ledger_entries"),
        RunSQL(BALANCE, "DROP TRIGGER ledger_entries_balance ON ledger_entries; DROP FUNCTION ledger_entries_balance();"),
    ]
