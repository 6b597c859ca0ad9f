"""Facts are never changed: trades, order events, decisions and settings versions refuse UPDATE, DELETE and TRUNCATE."""

from django.db import migrations

from dgbot.base.operations import append_only


class Migration(migrations.Migration):
    dependencies = [("trading", "0003_schema_wall")]

    operations = [
        append_only("trades"),
        append_only("order_events"),
        append_only("config_versions"),
        # A simulated bot makes a decision a second; its idle cycles are cleared after a while.
        append_only("ai_decisions", deletable="OLD.mode = 'simulated'"),
    ]
