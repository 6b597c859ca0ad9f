"""A reservation is not released while its order may still be at the exchange; risk rows fit their account."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

from dgbot.base.operations import append_only, composite_foreign_key

GUARD = """
CREATE FUNCTION reservations_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (NEW.order_pk, NEW.notional) IS DISTINCT FROM (OLD.order_pk, OLD.notional) THEN
        RAISE EXCEPTION 'a reservation keeps its order and amount' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status = 'released' AND EXISTS (SELECT 1 FROM orders WHERE id = NEW.order_pk AND status IN ('submitting', 'unknown', 'disputed')) THEN
        RAISE EXCEPTION 'order % may be at the exchange; its reservation stays', NEW.order_pk USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER reservations_guard BEFORE UPDATE OR DELETE ON reservations FOR EACH ROW EXECUTE FUNCTION reservations_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("risk", "0002_states_and_reservations"), ("trading", "0003_schema_wall")]

    operations = [
        RunSQL(GUARD, "DROP TRIGGER reservations_guard ON reservations; DROP FUNCTION reservations_guard();"),
        append_only("risk_events"),
        composite_foreign_key(
            "risk_states", ("account_id", "mode", "user_id"), "exchange_accounts", ("id", "mode", "user_id"), name="risk_states_fit_their_account"
        ),
        composite_foreign_key(
            "risk_states", ("bot_id", "account_id", "mode", "user_id"), "bots", ("id", "account_id", "mode", "user_id"), name="risk_states_fit_their_bot"
        ),
        composite_foreign_key(
            "reservations", ("order_pk", "bot_id", "account_id"), "orders", ("id", "bot_id", "account_id"), name="reservations_fit_their_order"
        ),
    ]
