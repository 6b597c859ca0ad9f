"""A job moves only along the table of `backtests.models.jobs`; its epoch and its progress never fall, what was asked never changes."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

PAIRS = (  # as backtests.models.jobs.MOVES was when this was written; a test compares them
    "('queued','running'), ('queued','cancelled'), ('queued','failed'), ('queued','dead'), ('running','queued'), ('running','cancelling'),"
    " ('running','finished'), ('running','failed'), ('running','dead'), ('cancelling','cancelled'), ('dead','queued')"
)


def guard(table: str) -> RunSQL:
    return RunSQL(
        f"""
        CREATE FUNCTION {table}_guard() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN ({PAIRS}) THEN
                RAISE EXCEPTION '{table} % may not move from % to %', OLD.id, OLD.status, NEW.status USING ERRCODE = 'restrict_violation';
            END IF;
            IF NEW.progress_done < OLD.progress_done OR NEW.epoch < OLD.epoch THEN
                RAISE EXCEPTION 'progress and epoch of {table} % never fall', OLD.id USING ERRCODE = 'restrict_violation';
            END IF;
            IF NEW.spec IS DISTINCT FROM OLD.spec OR NEW.progress_total <> OLD.progress_total OR NEW.requested_at <> OLD.requested_at THEN
                RAISE EXCEPTION 'what {table} % was asked for never changes', OLD.id USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER {table}_guard BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_guard();
        """,
        f"DROP TRIGGER {table}_guard ON {table}; DROP FUNCTION {table}_guard();",
    )


class Migration(migrations.Migration):
    dependencies = [("backtests", "0004_runs_and_sweeps")]

    operations = [guard("backtest_runs"), guard("sweeps")]
