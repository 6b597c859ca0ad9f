"""An event without its move would leave the order's next move no number: both come in one transaction or not at all."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

GUARD = """
CREATE FUNCTION order_events_have_their_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM orders WHERE id = NEW.order_pk AND version >= NEW.seq) THEN
        RAISE EXCEPTION 'event % of order % came without its move', NEW.seq, NEW.order_pk USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER order_events_have_their_move AFTER INSERT ON order_events
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION order_events_have_their_move();
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0008_trades_fit_their_bot")]

    operations = [RunSQL(GUARD, "DROP TRIGGER order_events_have_their_move ON order_events; DROP FUNCTION order_events_have_their_move();")]
