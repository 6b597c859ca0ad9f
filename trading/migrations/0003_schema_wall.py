"""Tie bot, account, mode and owner together, so that a paper bot cannot reach a live account nor anyone another user's."""

from django.db import migrations

from dgbot.base.operations import composite_foreign_key, composite_unique, immutable

OWNED_BY_BOT = ("cycles", "ai_decisions", "orders", "positions")


class Migration(migrations.Migration):
    dependencies = [("trading", "0002_links_and_rules")]

    operations = [
        composite_unique("exchange_accounts", "id", "mode", "user_id"),
        composite_unique("bots", "id", "account_id", "mode", "user_id"),
        composite_unique("cycles", "id", "bot_id"),
        composite_unique("positions", "id", "bot_id"),
        composite_unique("orders", "id", "bot_id", "account_id"),
        composite_unique("orders", "id", "account_id", "mode", "user_id"),
        composite_foreign_key(
            "bots", ("account_id", "mode", "user_id"), "exchange_accounts", ("id", "mode", "user_id"), name="bot_fits_account_mode_and_owner"
        ),
        *[
            composite_foreign_key(
                table, ("bot_id", "account_id", "mode", "user_id"), "bots", ("id", "account_id", "mode", "user_id"), name=f"{table}_fit_their_bot"
            )
            for table in OWNED_BY_BOT
        ],
        composite_foreign_key("ai_decisions", ("cycle_id", "bot_id"), "cycles", ("id", "bot_id"), name="ai_decisions_fit_their_cycle"),
        composite_foreign_key("orders", ("cycle_id", "bot_id"), "cycles", ("id", "bot_id"), name="orders_fit_their_cycle"),
        composite_foreign_key("orders", ("position_id", "bot_id"), "positions", ("id", "bot_id"), name="orders_fit_their_position"),
        composite_foreign_key("trades", ("position_id", "bot_id"), "positions", ("id", "bot_id"), name="trades_fit_their_position"),
        composite_foreign_key(
            "trades", ("order_pk", "account_id", "mode", "user_id"), "orders", ("id", "account_id", "mode", "user_id"), name="trades_fit_their_order"
        ),
        composite_foreign_key("trades", ("order_pk", "bot_id", "account_id"), "orders", ("id", "bot_id", "account_id"), name="trades_fit_their_bot"),
        *[
            composite_foreign_key(
                table, ("account_id", "mode", "user_id"), "exchange_accounts", ("id", "mode", "user_id"), name=f"{table}_fit_their_account"
            )
            for table in ("trades", "portfolio_snapshots")
        ],
        immutable("exchange_accounts", "user_id", "mode", "exchange"),
        immutable("bots", "user_id", "account_id", "mode", "symbol"),
    ]
