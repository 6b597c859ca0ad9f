"""What `manage.py` does around a command: the servers run for as long as it does."""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dgbot import env
from dgbot.core.errors import DgbotError
from dgbot.local.servers import Servers, needed, places_of

# These read files only; everything else may touch the database.
WITHOUT_SERVERS = frozenset(
    ("check", "collectstatic", "compilemessages", "diffsettings", "findstatic", "help", "makemessages", "startapp", "version", "--version")
)

# Processes, however they were started.
LOOPS = {"run_gateway": "gateway", "run_guardian": "guardian", "run_ticker": "ticker", "run_notifier": "notifier"}


def run(arguments: Sequence[str]) -> int:
    """Run `manage.py …`. A refusal is one sentence and exit code 2."""
    try:
        if arguments[1:2] and arguments[1] in LOOPS:
            os.environ.setdefault("DGBOT_PROCESS", LOOPS[arguments[1]])
        environment = env.load()
        if arguments[1:2] == ["up"]:
            from dgbot.local import up

            return up.main(arguments[2:])
        with servers_for(arguments[1:], environment):
            _execute(arguments)
    except DgbotError as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def servers_for(arguments: Sequence[str], environment: env.Environment) -> AbstractContextManager[Any]:
    """The embedded servers that this command needs; nothing when it needs none or the supervisor holds them."""
    if not arguments or arguments[0] in WITHOUT_SERVERS or {"-h", "--help"} & set(arguments) or environment["DGBOT_SUPERVISED"]:
        return nullcontext()
    names = needed(environment)
    return Servers(places_of(environment), names=names) if names else nullcontext()


def _execute(arguments: Sequence[str]) -> None:
    from django.core.management import execute_from_command_line

    execute_from_command_line(list(arguments))
