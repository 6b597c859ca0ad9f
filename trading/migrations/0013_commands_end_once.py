"""What was asked never changes, and an answered command stays answered: it cannot be carried out a second time."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

from dgbot.base.operations import immutable

GUARD = """
CREATE FUNCTION commands_end_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN ('done', 'failed') OR (OLD.state = 'taken' AND NEW.state = 'pending') THEN
        RAISE EXCEPTION 'command % is % and is not carried out again; ask anew', OLD.id, OLD.state USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER commands_end_once BEFORE UPDATE ON commands FOR EACH ROW EXECUTE FUNCTION commands_end_once();
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0012_keys_and_commands")]

    operations = [
        immutable("commands", "kind", "account_id", "user_id", "asked_by", "payload", "created_at", "valid_until"),
        RunSQL(GUARD, "DROP TRIGGER commands_end_once ON commands; DROP FUNCTION commands_end_once();"),
    ]
