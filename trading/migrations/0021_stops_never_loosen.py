"""What a position remembers of its exits only goes one way: the trailing stop and the highest price rise, a level is spent once."""

from django.db import migrations

GUARD = """
CREATE FUNCTION positions_never_loosen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.trailing_stop_price IS NOT NULL AND (NEW.trailing_stop_price IS NULL OR NEW.trailing_stop_price < OLD.trailing_stop_price) THEN
        RAISE EXCEPTION 'the trailing stop of position % never loosens', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.high_water IS NOT NULL AND (NEW.high_water IS NULL OR NEW.high_water < OLD.high_water) THEN
        RAISE EXCEPTION 'the highest price of position % never falls', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.levels_taken < OLD.levels_taken THEN
        RAISE EXCEPTION 'a partial level of position % is spent and stays so', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER positions_never_loosen BEFORE UPDATE ON positions FOR EACH ROW EXECUTE FUNCTION positions_never_loosen();
"""

UNGUARD = "DROP TRIGGER positions_never_loosen ON positions; DROP FUNCTION positions_never_loosen();"


class Migration(migrations.Migration):
    dependencies = [("trading", "0020_positions_remember_their_exits")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
