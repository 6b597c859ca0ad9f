"""`python -m dgbot.local.alive gateway`: exit 0 while that process of this host beats. A container's health check.

Asked every few seconds beside the process itself, so it loads no Django.
"""

import socket
import sys
from collections.abc import Sequence

import psycopg2

from dgbot import env
from dgbot.core.errors import BadInput
from dgbot.local.servers import places_of

FRESH_S = 60.0  # several heartbeats, with slack for a database that is just restarting
YOUNGEST = "SELECT extract(epoch FROM clock_timestamp() - max(beat_at))::float8 FROM heartbeats WHERE process = %s AND host = %s"


def age_s(process: str, *, host: str, database_url: str) -> float | None:
    """Seconds since the youngest heartbeat of `process` on `host`, machine time; None when it never beat."""
    connection = psycopg2.connect(database_url, connect_timeout=5)
    try:
        with connection.cursor() as cursor:
            cursor.execute(YOUNGEST, [process, host])
            (age,) = cursor.fetchone() or (None,)
            return age
    finally:
        connection.close()


def main(arguments: Sequence[str]) -> int:
    """Returns 0 for alive, 1 for late or silent, each with one sentence; raises BadInput for a wrong call."""
    if len(arguments) != 1:
        raise BadInput("name one process, for example: python -m dgbot.local.alive gateway")
    (process,), host = arguments, socket.gethostname()
    environment = env.load()
    url = environment["DATABASE_URL"] or places_of(environment).database_url()
    try:
        age = age_s(process, host=host, database_url=url)
    except psycopg2.OperationalError as error:
        print(f"{process} cannot be judged: the database did not answer ({str(error).strip()}).")  # noqa: T201
        return 1
    if age is None or age > FRESH_S:
        seen = "has never beaten" if age is None else f"beat {age:.0f} s ago"
        print(f"{process} on {host} {seen}; alive means within {FRESH_S:.0f} s.")  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BadInput as error:
        sys.exit(str(error))
