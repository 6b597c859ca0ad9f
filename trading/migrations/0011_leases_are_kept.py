"""A deleted lease would begin again at epoch 1, and an old holder's epoch would count once more."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

GUARD = """
CREATE FUNCTION leases_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'lease % is kept for its epoch; let it expire', OLD.name USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER leases_kept BEFORE DELETE ON leases FOR EACH ROW EXECUTE FUNCTION leases_kept();
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0010_simulated_clock_keeps_its_place")]

    operations = [RunSQL(GUARD, "DROP TRIGGER leases_kept ON leases; DROP FUNCTION leases_kept();")]
