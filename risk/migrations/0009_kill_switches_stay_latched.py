"""A kill switch is never deleted, its level changes only with its epoch, and its history is never rewritten."""

from django.db import migrations

from dgbot.base.operations import append_only

GUARD = """
CREATE FUNCTION kill_switches_stay_latched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'the kill switch of % % is set to 0, never deleted', OLD.scope, OLD.scope_id USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.epoch < OLD.epoch OR (NEW.level <> OLD.level) <> (NEW.epoch = OLD.epoch + 1) THEN
        RAISE EXCEPTION 'the level of the kill switch of % % changes together with its epoch', OLD.scope, OLD.scope_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER kill_switches_stay_latched BEFORE UPDATE OR DELETE ON kill_switches
    FOR EACH ROW EXECUTE FUNCTION kill_switches_stay_latched();
"""

UNGUARD = "DROP TRIGGER kill_switches_stay_latched ON kill_switches; DROP FUNCTION kill_switches_stay_latched();"


class Migration(migrations.Migration):
    dependencies = [("risk", "0008_kill_switch_history")]

    operations = [append_only("kill_switch_changes"), migrations.RunSQL(GUARD, UNGUARD)]
