"""Any change of a schedule is noticed by beat, whoever made it and by whichever statement, and begins a new plan.

django-celery-beat raises its change mark only in `save()`, so a bulk update or a deletion of several rows goes unseen for minutes.
A changed plan counts from its own instant: what it would have named before is neither run nor missed. `date_changed` tells when
the plan changed, not when a run was written down.
"""

from django.db import migrations

MARK = """
CREATE FUNCTION schedules_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO django_celery_beat_periodictasks (ident, last_update) VALUES (1, clock_timestamp())
    ON CONFLICT (ident) DO UPDATE SET last_update = clock_timestamp();
    RETURN NULL;
END $$;

CREATE FUNCTION schedule_begins_anew() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.enabled, NEW.crontab_id, NEW.interval_id, NEW.solar_id, NEW.clocked_id, NEW.start_time, NEW.task)
       IS DISTINCT FROM (OLD.enabled, OLD.crontab_id, OLD.interval_id, OLD.solar_id, OLD.clocked_id, OLD.start_time, OLD.task) THEN
        NEW.date_changed := clock_timestamp();
        NEW.last_run_at := clock_timestamp();
    ELSE
        NEW.date_changed := OLD.date_changed;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION plan_begins_anew() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'UPDATE django_celery_beat_periodictask SET date_changed = clock_timestamp(), last_run_at = clock_timestamp() WHERE %I = $1',
        TG_ARGV[0]
    ) USING NEW.id;
    RETURN NULL;
END $$;

CREATE TRIGGER schedule_begins_anew BEFORE UPDATE ON django_celery_beat_periodictask
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION schedule_begins_anew();
CREATE TRIGGER schedules_changed_row AFTER UPDATE ON django_celery_beat_periodictask
    FOR EACH ROW WHEN (
        (to_jsonb(OLD) - '{last_run_at,total_run_count,date_changed}'::text[])
        IS DISTINCT FROM (to_jsonb(NEW) - '{last_run_at,total_run_count,date_changed}'::text[])
    ) EXECUTE FUNCTION schedules_changed();
CREATE TRIGGER schedules_changed_set AFTER INSERT OR DELETE ON django_celery_beat_periodictask
    FOR EACH STATEMENT EXECUTE FUNCTION schedules_changed();
"""

UNMARK = """
DROP TRIGGER schedule_begins_anew ON django_celery_beat_periodictask;
DROP TRIGGER schedules_changed_row ON django_celery_beat_periodictask;
DROP TRIGGER schedules_changed_set ON django_celery_beat_periodictask;
"""

PLANS = ("crontabschedule", "intervalschedule", "solarschedule", "clockedschedule")
PLAN = """
CREATE TRIGGER plan_begins_anew AFTER UPDATE ON django_celery_beat_{table}
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION plan_begins_anew('{column}');
CREATE TRIGGER plans_changed AFTER UPDATE OR DELETE ON django_celery_beat_{table}
    FOR EACH STATEMENT EXECUTE FUNCTION schedules_changed();
"""
UNPLAN = """
DROP TRIGGER plan_begins_anew ON django_celery_beat_{table};
DROP TRIGGER plans_changed ON django_celery_beat_{table};
"""
FUNCTIONS = "DROP FUNCTION schedules_changed(); DROP FUNCTION schedule_begins_anew(); DROP FUNCTION plan_begins_anew();"


def _for_each(sql: str) -> str:
    return "".join(sql.format(table=table, column=table.removesuffix("schedule") + "_id") for table in PLANS)


class Migration(migrations.Migration):
    dependencies = [("trading", "0015_looks_are_counted"), ("django_celery_beat", "0019_alter_periodictasks_options")]

    operations = [migrations.RunSQL(MARK + _for_each(PLAN), _for_each(UNPLAN) + UNMARK + FUNCTIONS)]
