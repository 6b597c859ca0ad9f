"""A heartbeat that is late begins an alarm, its next beat ends it: whoever notices, and whatever else has died."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION heartbeats_alarm() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE about text := CASE OLD.process WHEN 'bot' THEN OLD.name ELSE 'process:' || OLD.name END;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.alarmed_at IS NOT NULL THEN
        INSERT INTO alarms (key, level, message, since, seen_at)
        VALUES (about, CASE WHEN NEW.process IN ('gateway', 'guardian') THEN 'critical' ELSE 'error' END,
                NEW.name || ' has shown no sign of life for more than ' || NEW.late_after_s || ' s.', NEW.beat_at, NEW.alarmed_at)
        ON CONFLICT (key) WHERE ended_at IS NULL DO NOTHING;
    ELSE
        UPDATE alarms SET ended_at = clock_timestamp(), seen_at = clock_timestamp() WHERE key = about AND ended_at IS NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER heartbeats_alarm AFTER UPDATE OF alarmed_at ON heartbeats
FOR EACH ROW WHEN (NEW.alarmed_at IS DISTINCT FROM OLD.alarmed_at) EXECUTE FUNCTION heartbeats_alarm();
CREATE TRIGGER heartbeats_alarm_ends AFTER DELETE ON heartbeats
FOR EACH ROW WHEN (OLD.alarmed_at IS NOT NULL) EXECUTE FUNCTION heartbeats_alarm();
"""
BACKWARD = """
DROP TRIGGER heartbeats_alarm ON heartbeats; DROP TRIGGER heartbeats_alarm_ends ON heartbeats; DROP FUNCTION heartbeats_alarm();
"""


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0007_uptime_follows_heartbeats")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
