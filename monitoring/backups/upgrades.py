"""The dump before migrations: an upgrade that goes wrong can be undone."""

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from dgbot.core.errors import BadInput
from monitoring.backups import making
from monitoring.backups.files import Written


def dump_before_migrations() -> Written | None:
    """A dump when migrations wait for a database that holds something; else None. Raises BadInput when it cannot be made.

    It is recorded by `making.record` after the migrations: the table of backups may be one of theirs.
    """
    executor = MigrationExecutor(connection)
    waiting = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if not waiting or not executor.loader.applied_migrations:
        return None
    try:
        return making.write("postgres")
    except BadInput as error:
        raise BadInput(
            f"{waiting} migrations wait, and the dump before them failed, so nothing was changed: {error}."
            " Cure that, or go without a dump: manage.py prepare --without-dump"
        ) from error
