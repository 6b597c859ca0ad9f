"""A trade without an order or a position is tied to its bot, too: a NULL among a composite key's columns had let it escape."""

from django.db import migrations, models
from django.db.models import Q

from dgbot.base.operations import composite_foreign_key


class Migration(migrations.Migration):
    dependencies = [("trading", "0007_venue_rows_are_bounded")]

    operations = [
        migrations.AddConstraint(
            model_name="trade",
            constraint=models.CheckConstraint(condition=Q(position=None) | Q(bot__isnull=False), name="trade_position_names_its_bot"),
        ),
        composite_foreign_key(
            "trades", ("bot_id", "account_id", "mode", "user_id"), "bots", ("id", "account_id", "mode", "user_id"), name="trades_fit_their_own_bot"
        ),
    ]
