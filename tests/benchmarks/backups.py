"""How long a backup of millions of rows takes, and its way back: `python -m tests.benchmarks.backups --rows 2000000`.

A throwaway server with one table of fills; backed up, dropped, restored, every row compared. Done when 2,000,000 are back within 30 s.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from dgbot.local.paths import Places
from dgbot.local.servers import POSTGRES, Servers

TARGET_S = 30.0
FILL = """
CREATE TABLE fills AS
SELECT n AS id, 'KRW-BTC' AS symbol, (n %% 2 = 0) AS is_buy, (100000000 + n)::numeric(38, 18) AS price,
       (1 / n::numeric)::numeric(38, 18) AS amount,
       '2026-01-01Z'::timestamptz + n * interval '1 s' AS created_at
FROM generate_series(1, %s) n
"""


def main() -> int:
    """Measure and tell. Returns 1 when the restore took longer than its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the table (default: 2,000,000)")
    rows = parser.parse_args().rows
    folder = Path(tempfile.mkdtemp(prefix="dgbot-test.", dir="/tmp"))
    folder.chmod(0o755)  # as root the servers run as another user, who must get in
    with Servers(Places(folder), names=(POSTGRES,), throwaway=True):
        return measure(Places(folder), rows)


def measure(places: Places, rows: int) -> int:
    """Backup, destroy, restore."""
    os.environ |= {"DGBOT_DATA_DIR": str(places.data), "DATABASE_URL": places.database_url(), "DJANGO_SETTINGS_MODULE": "dgbot.settings"}
    import django

    django.setup()
    from monitoring.backups import making, postgres, restoring

    session = postgres.connect("dgbot")
    with session.cursor() as cursor:
        cursor.execute(FILL, [rows])
        cursor.execute("CREATE TABLE django_migrations (app text, name text)")
    session.close()
    written = making.write("postgres")
    admin = postgres.connect("postgres")
    with admin.cursor() as cursor:
        cursor.execute("DROP DATABASE dgbot")
    admin.close()
    began = time.monotonic()
    done = restoring.restore(written.path)
    seconds = time.monotonic() - began
    print(f"{rows} rows: backup {written.seconds:.1f} s, {written.bytes / 1e6:.1f} MB; restore and comparison {seconds:.1f} s")  # noqa: T201
    return 0 if done.rows == rows and seconds < TARGET_S else 1


if __name__ == "__main__":
    sys.exit(main())
