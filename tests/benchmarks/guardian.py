"""How fast the guardian is: `python -m tests.benchmarks.guardian`. 50 symbols at 10 updates/s, 1,000 positions; no Redis, worker or web.

A fake Upbit in a process of its own tells prices over a real websocket, the guardian is `manage.py run_guardian`, PostgreSQL is real.
Time runs from the moment the fake begins to tell the price until another connection sees the committed order.

    rounds   the 20 stops of one symbol at once: p99 at most 100 ms
    crash    all 1,000 stops at once: within 2 s
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from dgbot.local.paths import Places
from dgbot.local.servers import POSTGRES, Servers

SYMBOLS = [f"KRW-C{number:02d}" for number in range(50)]
PER_SYMBOL = 20
UPDATES_PER_S = 10
PRICE = 1_000_000  # KRW
FALLEN = 800_000  # under every stop
ROUNDS = 10
SETTLE_S = 4.0
GIVE_UP_S = 30.0
NOWHERE = "redis://127.0.0.1:1/0"
ROOT = Path(__file__).parents[2]


def main() -> int:
    """Measure and print; the exit code tells whether both goals were met."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", action="store_true", help="Print JSON.")
    options.add_argument("--fake", action="store_true", help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.fake:
        tell_prices()
        return 0
    folder = Path(tempfile.mkdtemp(prefix="dgbot-bench.", dir="/tmp"))
    folder.chmod(0o755)
    try:
        found = measure(Places(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found) if asked.json else "\n".join(f"{name:28} {value}" for name, value in found.items()))  # noqa: T201
    return 0 if found["p99_ms"] <= 100 and found["crash_s"] <= 2 else 1


def measure(places: Places) -> dict[str, Any]:
    """The figures, with what the machine was doing beside."""
    os.environ.update(DATABASE_URL=places.database_url(user="postgres"), REDIS_URL=NOWHERE, DGBOT_DATA_DIR=str(places.data))
    os.environ["DJANGO_SETTINGS_MODULE"] = "dgbot.settings"
    with Servers(places, names=(POSTGRES,), throwaway=True):
        create_rows()
        fake = Fake()
        guardian = subprocess.Popen([sys.executable, "manage.py", "run_guardian"], cwd=ROOT, env={**os.environ, **fake.addresses})
        try:
            return rounds_and_crash(fake, guardian.pid)
        finally:
            guardian.terminate()
            fake.close()
            guardian.wait(30)


def rounds_and_crash(fake: "Fake", pid: int) -> dict[str, Any]:
    """First one symbol after the other, then all at once."""
    with Observer() as seen:
        time.sleep(SETTLE_S)
        before, begun = cpu_s(pid), time.monotonic()
        time.sleep(SETTLE_S)
        idle = (cpu_s(pid) - before) / (time.monotonic() - begun)
        latencies = []
        for symbol in SYMBOLS[:ROUNDS]:
            fell_at = fake.fall([symbol])
            latencies += [at - fell_at for at in seen.wait_for(PER_SYMBOL)]
        fake.rise(SYMBOLS[:ROUNDS])
        time.sleep(SETTLE_S)
        seen.sql(AGAIN)
        time.sleep(SETTLE_S)
        fell_at = fake.fall(SYMBOLS)
        crash = [at - fell_at for at in seen.wait_for(len(SYMBOLS) * PER_SYMBOL)]
    return {
        "orders": len(latencies),
        "p50_ms": round(median(latencies) * 1000, 1),
        "p99_ms": round(quantiles(latencies, n=100)[98] * 1000, 1),
        "worst_ms": round(max(latencies) * 1000, 1),
        "crash_orders": len(crash),
        "crash_first_ms": round(min(crash) * 1000, 1),
        "crash_s": round(max(crash), 3),
        "guardian_cpu_share": round(idle, 3),
        "load_average": round(os.getloadavg()[0], 1),
        "processors": os.cpu_count(),
    }


AGAIN = "UPDATE positions SET exit_version = exit_version + 1 WHERE EXISTS (SELECT 1 FROM orders WHERE position_id = positions.id)"


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def create_rows() -> None:
    """A thousand paper positions over fifty symbols and ten accounts."""
    import django

    django.setup()
    from django.core.management import call_command

    from dgbot.core.types import Mode
    from risk.seeds import create_profiles
    from tests import factories
    from trading.models import Bot, Position

    call_command("migrate", verbosity=0)
    create_profiles()
    homes = [factories.account(mode=Mode.PAPER) for _ in range(10)]
    price = factories.D(PRICE)
    for number in range(PER_SYMBOL * len(SYMBOLS)):
        home = homes[number % len(homes)]
        bot = Bot.objects.create(
            user=home.user, account=home, mode=home.mode, name=f"bot {number}", symbol=SYMBOLS[number % len(SYMBOLS)], strategy="ai"
        )
        factories.position(bot, amount=factories.D("0.1"), price=price)
    assert Position.objects.open().count() == PER_SYMBOL * len(SYMBOLS)


class Observer:
    """Another connection that looks every few milliseconds how many exits are committed."""

    def __init__(self) -> None:
        import psycopg2

        self.connection = psycopg2.connect(os.environ["DATABASE_URL"])
        self.connection.autocommit = True
        self.arrivals: list[float] = []
        self.taken = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._lock = threading.Lock()

    def __enter__(self) -> "Observer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(5)
        self.connection.close()

    def sql(self, text: str) -> list[Any]:
        """Run one statement."""
        with self._lock, self.connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else []

    def wait_for(self, count: int) -> list[float]:
        """When the next `count` exits were seen."""
        until = time.monotonic() + GIVE_UP_S
        while len(self.arrivals) < self.taken + count:
            if time.monotonic() > until:
                raise TimeoutError(f"only {len(self.arrivals) - self.taken} of {count} exits within {GIVE_UP_S:g} s")
            time.sleep(0.01)
        found = self.arrivals[self.taken : self.taken + count]
        self.taken += count
        return found

    def _look(self) -> None:
        while not self._is_over.is_set():
            ((count,),) = self.sql("SELECT count(*) FROM orders WHERE purpose = 'exit'")
            self.arrivals += [time.time()] * (count - len(self.arrivals))
            time.sleep(0.005)


class Fake:
    """The process that is Upbit."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.guardian", "--fake"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addresses: dict[str, str] = json.loads(self._read())

    def fall(self, symbols: list[str]) -> float:
        """Let them fall under every stop; when the first of it was told."""
        return float(self._ask("fall", symbols))

    def rise(self, symbols: list[str]) -> None:
        """Back to where they were."""
        self._ask("rise", symbols)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)

    def _ask(self, what: str, symbols: list[str]) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([what, symbols]) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def tell_prices() -> None:
    """The fake's own process: fifty markets that move a little ten times a second, and fall when told to."""
    from decimal import Decimal

    from dgbot.core.types import Side
    from tests.fakes.core.books import ladder
    from tests.fakes.upbit.server import FakeUpbit

    levels = dict.fromkeys(SYMBOLS, PRICE)
    lock = threading.Lock()

    def set_level(symbol: str, price: int) -> None:
        levels[symbol] = price
        fake.engine.set_book(symbol, ladder(price, step=1000, amount=Decimal(1)))

    def obey() -> None:
        for line in sys.stdin:
            what, symbols = json.loads(line)
            with lock:
                at = time.time()
                for symbol in symbols:
                    set_level(symbol, FALLEN if what == "fall" else PRICE)
                    fake.engine.stranger_trades(symbol, price=levels[symbol], amount="0.001", taker_side=Side.SELL)
            print(at, flush=True)  # noqa: T201

    with FakeUpbit(has_limits=False) as fake, suppress(KeyboardInterrupt):
        fake.open_market()  # which is asked for the time
        for symbol in SYMBOLS:
            fake.open_market(symbol, price=PRICE)
            fake.engine.stranger_trades(symbol, price=PRICE, amount="0.001", taker_side=Side.SELL)
        print(json.dumps({"DGBOT_UPBIT_URL": fake.url, "DGBOT_UPBIT_WEBSOCKET_URL": fake.websocket_url}), flush=True)  # noqa: T201
        threading.Thread(target=obey, daemon=True).start()
        for number in range(10**9):
            begun = time.monotonic()
            with lock:
                for symbol in SYMBOLS:
                    price = levels[symbol] + 1000 * (number % 3)
                    fake.engine.stranger_trades(symbol, price=price, amount="0.001", taker_side=Side.SELL)
            time.sleep(max(0.0, 1 / UPDATES_PER_S - (time.monotonic() - begun)))


if __name__ == "__main__":
    sys.exit(main())
