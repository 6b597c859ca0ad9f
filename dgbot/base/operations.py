"""Migration operations for what Django cannot say: composite keys, append-only tables, guards in PL/pgSQL."""

from collections.abc import Sequence

from django.db.migrations.operations import RunSQL


def composite_unique(table: str, *columns: str) -> RunSQL:
    """Make (columns) a target for composite foreign keys."""
    name = f"{table}_key_{'_'.join(columns)}"[:63]
    return RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE ({', '.join(columns)})",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )


def composite_foreign_key(table: str, columns: Sequence[str], to: str, to_columns: Sequence[str], *, name: str) -> RunSQL:
    """Tie several columns to one row of another table, so that owner, mode and account can never disagree.

    A row with a NULL among `columns` is not checked (MATCH SIMPLE).
    """
    return RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({', '.join(columns)}) REFERENCES {to} ({', '.join(to_columns)})"
        " DEFERRABLE INITIALLY IMMEDIATE",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )


def append_only(table: str, *, deletable: str = "FALSE") -> RunSQL:
    """Refuse UPDATE, TRUNCATE and DELETE; `deletable` is an SQL condition on OLD that lets a row go."""
    return RunSQL(
        f"""
        CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'DELETE' THEN
                IF {deletable} THEN RETURN OLD; END IF;
            END IF;
            RAISE EXCEPTION '{table} is append-only: % is refused; write a correcting row instead', TG_OP
                USING ERRCODE = 'restrict_violation';
        END $$;
        CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_append_only();
        CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only();
        """,
        f"DROP TRIGGER {table}_append_only ON {table}; DROP TRIGGER {table}_no_truncate ON {table}; DROP FUNCTION {table}_append_only();",
    )


def immutable(table: str, *columns: str) -> RunSQL:
    """Refuse a change of `columns` after insert."""
    changed = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in columns)
    return RunSQL(
        f"""
        CREATE FUNCTION {table}_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF {changed} THEN
                RAISE EXCEPTION 'these columns of {table} never change: {", ".join(columns)}' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER {table}_immutable BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_immutable();
        """,
        f"DROP TRIGGER {table}_immutable ON {table}; DROP FUNCTION {table}_immutable();",
    )
