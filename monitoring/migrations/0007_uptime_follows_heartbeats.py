"""Each heartbeat lengthens its process's uptime, or begins another stretch when it comes late."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION heartbeats_uptime() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE uptime_spans SET until = greatest(until, NEW.beat_at)
    WHERE id = (SELECT id FROM uptime_spans WHERE process = NEW.process ORDER BY until DESC LIMIT 1)
      AND until >= NEW.beat_at - NEW.late_after_s * interval '1 second';
    IF NOT FOUND THEN
        INSERT INTO uptime_spans (process, began_at, until) VALUES (NEW.process, NEW.beat_at, NEW.beat_at);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER heartbeats_uptime AFTER INSERT OR UPDATE OF beat_at ON heartbeats
FOR EACH ROW WHEN (NEW.process <> 'bot') EXECUTE FUNCTION heartbeats_uptime();
"""
BACKWARD = "DROP TRIGGER heartbeats_uptime ON heartbeats; DROP FUNCTION heartbeats_uptime();"


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0006_system"), ("accounts", "0003_job_runs_and_late_heartbeats")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
