"""An order moves only along the table of `trading.domain.lifecycle`, each move with its event in the same transaction."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

from trading.domain.lifecycle import pairs_as_sql

FIXED = (
    "bot_id account_id user_id mode cycle_id decision_key purpose client_id symbol side order_type price amount quote_amount"
    " reduce_only params_hash plan lease_epoch config_version_id created_at"
).split()

GUARD = f"""
CREATE FUNCTION orders_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'order % cannot be deleted', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'planned' OR NEW.version <> 1 OR NEW.filled_amount <> 0 THEN
            RAISE EXCEPTION 'a new order is planned, unfilled and has version 1' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF {" OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in FIXED)} THEN
        RAISE EXCEPTION 'what order % asks for never changes', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.order_id IS NOT NULL AND NEW.order_id IS DISTINCT FROM OLD.order_id THEN
        RAISE EXCEPTION 'the exchange id of order % is known and never changes', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.filled_amount < OLD.filled_amount THEN
        RAISE EXCEPTION 'the filled amount of order % never falls', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status = OLD.status THEN
        IF NEW.version <> OLD.version THEN
            RAISE EXCEPTION 'order % has no new status for version %', OLD.id, NEW.version USING ERRCODE = 'restrict_violation';
        END IF;
    ELSIF NEW.version <> OLD.version + 1 OR NOT {pairs_as_sql("OLD.status", "NEW.status")} THEN
        RAISE EXCEPTION 'order % may not move from % to %', OLD.id, OLD.status, NEW.status USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER orders_guard BEFORE INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION orders_guard();

CREATE FUNCTION orders_have_their_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM order_events WHERE order_pk = NEW.id AND seq = NEW.version AND to_status = NEW.status) THEN
        RAISE EXCEPTION 'order % became % without an event', NEW.id, NEW.status USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER orders_have_their_event AFTER INSERT OR UPDATE OF status, version ON orders
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION orders_have_their_event();

CREATE FUNCTION order_events_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seq = 1 AND NEW.from_status = '' THEN RETURN NEW; END IF;
    IF NOT EXISTS (SELECT 1 FROM order_events WHERE order_pk = NEW.order_pk AND seq = NEW.seq - 1 AND to_status = NEW.from_status) THEN
        RAISE EXCEPTION 'event % of order % does not follow the one before it', NEW.seq, NEW.order_pk USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER order_events_follow BEFORE INSERT ON order_events FOR EACH ROW EXECUTE FUNCTION order_events_follow();
"""

UNGUARD = """
DROP TRIGGER order_events_follow ON order_events; DROP FUNCTION order_events_follow();
DROP TRIGGER orders_have_their_event ON orders; DROP FUNCTION orders_have_their_event();
DROP TRIGGER orders_guard ON orders; DROP FUNCTION orders_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0004_append_only")]

    operations = [RunSQL(GUARD, UNGUARD)]
