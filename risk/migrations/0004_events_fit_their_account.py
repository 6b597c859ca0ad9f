"""A risk event belongs to the owner of its account, and a kill switch has a known scope."""

from django.db import migrations, models

from dgbot.base.operations import composite_foreign_key, composite_unique


class Migration(migrations.Migration):
    dependencies = [("risk", "0003_reservations_outlive_doubt"), ("trading", "0010_simulated_clock_keeps_its_place")]

    operations = [
        composite_unique("exchange_accounts", "id", "user_id"),
        composite_foreign_key(
            "risk_events", ("account_id", "user_id"), "exchange_accounts", ("id", "user_id"), name="risk_events_fit_their_account"
        ),
        migrations.AddConstraint(
            model_name="killswitch",
            constraint=models.CheckConstraint(
                condition=models.Q(scope__in=["platform", "exchange", "account", "user", "bot", "market"]), name="kill_switch_scope_known"
            ),
        ),
    ]
