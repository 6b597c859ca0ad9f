"""Lists of trades, orders, decisions and positions at a million rows: an index for each filter, in the order the list is shown.

Built concurrently: bots go on trading while they grow.
"""

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.contrib.postgres.search import SearchVector
from django.db import migrations, models
from django.db.models import Q


def _index(model: str, name: str, *fields: str, condition: Q | None = None) -> AddIndexConcurrently:
    return AddIndexConcurrently(model, models.Index(fields=fields, name=name, condition=condition))


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("trading", "0036_parity_runs"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        _index("trade", "trades_user_created_at", "user", "created_at"),
        _index("trade", "trades_bot_created_at", "bot", "created_at"),
        _index("trade", "trades_mode_created_at", "mode", "created_at"),
        _index("trade", "trades_exit_reason_created_at", "exit_reason", "created_at", condition=~Q(exit_reason="")),
        _index("order", "orders_user_created_at", "user", "created_at"),
        _index("order", "orders_bot_created_at", "bot", "created_at"),
        _index("order", "orders_symbol_created_at", "symbol", "created_at"),
        _index("order", "orders_status_created_at", "status", "created_at"),
        _index("order", "orders_mode_created_at", "mode", "created_at"),
        _index("order", "orders_exit_reason_created_at", "exit_reason", "created_at", condition=~Q(exit_reason="")),
        _index("decision", "ai_decisions_user_time", "user", "created_at"),
        _index("decision", "ai_decisions_bot_time", "bot", "created_at"),
        _index("decision", "ai_decisions_symbol_time", "symbol", "created_at"),
        _index("decision", "ai_decisions_decision_time", "decision", "created_at"),
        _index("decision", "ai_decisions_analyst_time", "analyst", "created_at"),
        _index("decision", "ai_decisions_mode_time", "mode", "created_at"),
        AddIndexConcurrently("decision", GinIndex(SearchVector("reason", config="simple"), name="ai_decisions_reason_words")),
        _index("position", "positions_opened_at", "opened_at"),
        _index("position", "positions_user_opened_at", "user", "opened_at"),
        _index("position", "positions_user_closed_at", "user", "closed_at"),
        _index("position", "positions_bot_closed_at", "bot", "closed_at"),
        _index("position", "positions_closed_at", "closed_at", condition=Q(closed_at__isnull=False)),
    ]
