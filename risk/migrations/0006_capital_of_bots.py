"""A bot's capital is its allocation: rows from before count their profit from it, so that no day begins with a false loss."""

from django.db import migrations
from django.db.migrations.operations import RunSQL


class Migration(migrations.Migration):
    dependencies = [("risk", "0005_limits_in_every_direction")]

    operations = [
        RunSQL(
            "UPDATE risk_states SET capital = bots.allocation, start_capital = bots.allocation"
            " FROM bots WHERE risk_states.bot_id = bots.id AND bots.allocation IS NOT NULL",
            "UPDATE risk_states SET capital = 0, start_capital = 0 WHERE bot_id IS NOT NULL",
        )
    ]
