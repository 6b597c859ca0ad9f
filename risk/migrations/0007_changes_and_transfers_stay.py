"""Changes of limits and transfers are never rewritten, and a transfer belongs to the owner of its account."""

from django.db import migrations

from dgbot.base.operations import append_only, composite_foreign_key


class Migration(migrations.Migration):
    dependencies = [("risk", "0006_capital_of_bots")]

    operations = [
        append_only("limit_changes"),
        append_only("transfers"),
        composite_foreign_key("transfers", ("account_id", "user_id"), "exchange_accounts", ("id", "user_id"), name="transfers_fit_their_account"),
    ]
