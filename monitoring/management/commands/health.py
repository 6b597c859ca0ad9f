"""`manage.py health`: every part of the platform looked at, for people, programs and cron."""

import http.client
import json
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

import psutil
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from monitoring.system import alarms, readings
from monitoring.system.readings import Health, Reading

SIGNS = {Health.OK: "ok     ", Health.UNKNOWN: "unknown", Health.WARNING: "WARNING", Health.ERROR: "ERROR  "}
EVERY_S = 5.0
SLOW_S, WEB_TIMEOUT_S = 1.0, 5.0
MODES = ("once", "verbose", "alert", "monitor")


class Command(BaseCommand):
    """Exit code 1 when anything is an error, so that cron and scripts notice."""

    help = (
        "Look at databases, queues, processes, orders, candles, backups and the machine.\n"
        "once: what is not ok, and the summary · verbose: everything · alert: begin, end and tell alarms · monitor: again every 5 s\n\n"
        "Example: manage.py health verbose --json"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("mode", nargs="?", default="once", choices=MODES, help="default: once")
        parser.add_argument("--json", action="store_true", help="answer for a program")

    def handle(self, *_: Any, **options: Any) -> None:
        """Look, tell, fail when something is wrong."""
        psutil.cpu_percent(interval=0.3)  # what follows is measured from here
        while True:
            found = [*readings.read(), web()]
            self._tell(found, options)
            if options["mode"] == "alert":
                self.stdout.write(f"{alarms.look()} alarms are open")
            if options["mode"] != "monitor":
                break
            time.sleep(EVERY_S)
        counted = readings.summary(found)
        if counted.error:
            raise CommandError(f"{counted.error} of {counted.total} checks are errors")

    def _tell(self, found: list[Reading], options: dict[str, Any]) -> None:
        counted = readings.summary(found)
        if options["json"]:
            totals = {"total": counted.total, "ok": counted.ok, "warning": counted.warning, "error": counted.error}
            self.stdout.write(json.dumps({"overall": counted.overall, **totals, "readings": [each.as_dict() for each in found]}))
            return
        if options["mode"] == "monitor" and sys.stdout.isatty():
            self.stdout.write("\x1b[2J\x1b[H", ending="")
        shown = found if options["mode"] in ("verbose", "monitor") else [each for each in found if each.health is not Health.OK]
        for each in shown:
            self.stdout.write(f"{SIGNS[each.health]}  {each.area:10} {each.name}: {each.said}")
        self.stdout.write(
            f"{counted.total} checks: {counted.ok} ok, {counted.warning} warnings, {counted.error} errors → {counted.overall}"
        )


def web() -> Reading:
    """Whether the web server on this machine is ready, and how fast it says so."""
    host = settings.ENV["DGBOT_HOST"]
    connection = http.client.HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, settings.ENV["DGBOT_PORT"], timeout=WEB_TIMEOUT_S)  # noqa: S104
    began = time.monotonic()
    try:
        connection.request("GET", "/health/ready", headers={"Host": "localhost"})
        status = connection.getresponse().status
    except OSError as error:
        return Reading("processes", "http", "web over HTTP", Health.ERROR, f"does not answer: {error}")
    finally:
        connection.close()
    seconds = time.monotonic() - began
    if status != http.client.OK:
        return Reading("processes", "http", "web over HTTP", Health.ERROR, f"says {status}: it is not ready", seconds)
    health = Health.WARNING if seconds > SLOW_S else Health.OK
    return Reading("processes", "http", "web over HTTP", health, f"ready, answered in {seconds * 1000:.0f} ms", seconds)
