"""What the role of dashboards may read: rows of trading and of the platform's health, no users, keys, prompts, sessions or logs."""

from django.db import connection
from psycopg2 import sql

ROLE = "dgbot_reader"
TABLES = (
    *("trades", "orders", "order_events", "ai_decisions", "portfolio_snapshots", "positions", "cycles", "stage_results"),
    *("bots", "exchange_accounts", "account_balances", "risk_states", "risk_events", "kill_switches", "krw_rates", "candle_series"),
    *("alarms", "uptime_spans", "request_minutes", "backups", "heartbeats", "job_runs", "bot_config"),
)


def grant() -> None:
    """Let the role read these tables, where it exists and we own them. Safe to repeat."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE])
        if cursor.fetchone() is None:
            return
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql.Identifier(ROLE)))
        tables = sql.SQL(", ").join(map(sql.Identifier, TABLES))
        cursor.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(tables, sql.Identifier(ROLE)))
