"""Run a fake exchange on this machine: real protocols, pretended money, nothing leaves loopback."""

import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib import import_module
from typing import Any

from django.core.management.base import BaseCommand, CommandError

EXAMPLE = """example:
  manage.py fake_exchange upbit --port 8901
  DGBOT_UPBIT_URL=http://127.0.0.1:8901 manage.py doctor --exchange
"""
NAMES = ("upbit", "bitget")


class Command(BaseCommand):
    """The fakes live with the tests, which an installation for trading does not need to have."""

    help = "Run a fake Upbit or Bitget on loopback, for development and demonstrations."
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the example's line breaks."""
        return super().create_parser(prog_name, subcommand, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("exchange", choices=NAMES, help="Whose protocol it speaks.")
        parser.add_argument("--port", type=int, default=8901, help="Where it listens on 127.0.0.1 (default 8901; 0: any free port).")
        parser.add_argument("--seed", type=int, default=1, help="Seed of its prices (default 1).")
        parser.add_argument("--seconds", type=float, default=None, help="Stop by itself after so long (default: until Ctrl-C).")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until told to stop."""
        if not 0 <= options["port"] <= 65535:
            raise CommandError(f"--port must lie in 0…65535, was {options['port']}.")
        fake, told = _made(options["exchange"], port=options["port"], seed=options["seed"])
        try:
            fake.server.start()
        except OSError as error:
            raise CommandError(f"Port {options['port']} cannot be used ({error.strerror}); choose another with --port.") from None
        try:
            self.stdout.write(f"Fake {options['exchange']} at {fake.url}, websocket at {fake.websocket_url}. Ctrl-C stops it.")
            for line in told:
                self.stdout.write(line.format(url=fake.url, websocket_url=fake.websocket_url))
            self.stdout.flush()
            _wait(options["seconds"])
        finally:
            fake.server.stop()


def _made(exchange: str, *, port: int, seed: int) -> Any:
    try:
        demo = import_module("tests.fakes.demo")
    except ModuleNotFoundError as error:
        raise CommandError(
            f"The fake exchanges come with the tests and the development packages, and {error.name!r} is not installed here;"
            " run it from a checkout after `uv sync`."
        ) from None
    return demo.EXCHANGES[exchange](port=port, seed=seed)


def _wait(seconds: float | None) -> None:
    try:
        end = time.monotonic() + seconds if seconds is not None else None
        while end is None or time.monotonic() < end:
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass  # that is how it is stopped
