"""`manage.py prepare`: bring the database up to date and create what is missing."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection

from dgbot.base import locks, seeds
from monitoring.backups import making, upgrades
from monitoring.backups.models import BackupReason

LOCK_KEY = 0x6467_626F_7470  # two machines that start at once prepare one after the other


class Command(BaseCommand):
    """Migrate, then call every registered seed in its order."""

    help = "Migrate and create what is missing; what exists is left as it is.\n\nExample: manage.py prepare"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Only `up` passes --fresh-servers."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("--without-dump", action="store_true", help="migrate without a backup of the database before")
        parser.add_argument("--fresh-servers", action="store_true", help="the servers were just started for us alone: end all leases")

    def handle(self, *_: Any, **options: Any) -> None:
        """Print one line per seed that has something to say."""
        with locks.exclusive(LOCK_KEY, name="prepare"):
            dumped = None if options["without_dump"] else upgrades.dump_before_migrations()
            call_command("migrate", interactive=False, verbosity=0)
            if dumped:
                making.record(dumped, reason=BackupReason.UPGRADE)
                self.stdout.write(f"The database was backed up before its migrations: {dumped.path}")
            if options["fresh_servers"]:
                _end_leases()
            for seed in seeds.registered():
                said = seed.function()
                if said:
                    self.stdout.write(said)


def _end_leases() -> None:
    """Whoever held a lease is dead, since its servers were; the next holder need not wait it out. Epochs stay."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE leases SET expires_at = clock_timestamp() WHERE expires_at > clock_timestamp()")
        cursor.execute("UPDATE cycles SET lease_expires_at = clock_timestamp() WHERE status = 'running'")
