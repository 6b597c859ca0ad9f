"""A protective stop belongs to the bot, account and owner of its position."""

from django.db import migrations

from dgbot.base.operations import composite_foreign_key


class Migration(migrations.Migration):
    dependencies = [("trading", "0033_protective_stops")]

    operations = [
        composite_foreign_key("protective_stops", ("position_id", "bot_id"), "positions", ("id", "bot_id"), name="protective_stops_fit_their_position"),
        composite_foreign_key(
            "protective_stops",
            ("bot_id", "account_id", "mode", "user_id"),
            "bots",
            ("id", "account_id", "mode", "user_id"),
            name="protective_stops_fit_their_bot",
        ),
    ]
