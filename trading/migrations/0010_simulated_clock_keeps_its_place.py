"""A simulated market goes on from where it is when somebody changes its speed, whoever that is: time never goes back."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

# Five seconds: LONGEST_STEP_S of trading.services.simulated_clock.
GUARD = """
CREATE FUNCTION simulated_markets_keep_their_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.elapsed := OLD.elapsed + least(greatest(clock_timestamp() - OLD.checkpoint_at, interval '0'), interval '5 seconds') * OLD.speed::float8;
    NEW.checkpoint_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER simulated_markets_keep_their_place BEFORE UPDATE ON simulated_markets
    FOR EACH ROW WHEN (NEW.speed <> OLD.speed) EXECUTE FUNCTION simulated_markets_keep_their_place();
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0009_events_come_with_their_move")]

    operations = [
        RunSQL(
            GUARD,
            "DROP TRIGGER simulated_markets_keep_their_place ON simulated_markets; DROP FUNCTION simulated_markets_keep_their_place();",
        )
    ]
