"""An opening order is sent once, ever: a second send row needs proof that no byte of the earlier ones left."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

GUARD = """
CREATE FUNCTION order_sends_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    sent orders%ROWTYPE;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a send is never deleted' USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.order_pk, NEW.send_no, NEW.gateway, NEW.gateway_epoch, NEW.permit_until, NEW.claimed_at)
            IS DISTINCT FROM (OLD.order_pk, OLD.send_no, OLD.gateway, OLD.gateway_epoch, OLD.permit_until, OLD.claimed_at) THEN
            RAISE EXCEPTION 'only the result of a send may be told' USING ERRCODE = 'restrict_violation';
        END IF;
        IF OLD.result <> 'claimed' THEN
            RAISE EXCEPTION 'the result of send % of order % is told already', OLD.send_no, OLD.order_pk USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF EXISTS (SELECT 1 FROM order_sends WHERE order_pk = NEW.order_pk AND result <> 'not_sent') THEN
        SELECT * INTO sent FROM orders WHERE id = NEW.order_pk;
        IF sent.purpose = 'entry' OR sent.status NOT IN ('unknown', 'submitting') THEN
            RAISE EXCEPTION 'order % may have been sent before and is not sent again', NEW.order_pk USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER order_sends_guard BEFORE INSERT OR UPDATE OR DELETE ON order_sends FOR EACH ROW EXECUTE FUNCTION order_sends_guard();

CREATE FUNCTION leases_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.epoch < OLD.epoch THEN
        RAISE EXCEPTION 'the epoch of lease % never falls', OLD.name USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER leases_guard BEFORE UPDATE ON leases FOR EACH ROW EXECUTE FUNCTION leases_guard();
"""

UNGUARD = """
DROP TRIGGER leases_guard ON leases; DROP FUNCTION leases_guard();
DROP TRIGGER order_sends_guard ON order_sends; DROP FUNCTION order_sends_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0005_order_moves")]

    operations = [RunSQL(GUARD, UNGUARD)]
