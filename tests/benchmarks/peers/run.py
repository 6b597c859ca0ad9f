"""Ours and the peers on the same work, each in a process of its own: `python tests/benchmarks/peers/run.py`. Prints JSON."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ENVIRONMENT = ROOT / "var" / "peers"
SIZES = {"hourly": (17_520, 15), "minute": (1_051_200, 5)}  # bars, repeats
MINUTE_REPEATS = {"with_backtesting.py": 1}  # ten seconds each


def main() -> None:
    """Make the environment if there is none, run all, print."""
    python = environment()
    found: dict[str, Any] = {"load": os.getloadavg()[0], "cores": os.cpu_count()}
    for name, (bars, repeats) in SIZES.items():
        ours = answer(sys.executable, "-m", "tests.benchmarks.peers.ours", str(bars), str(repeats))
        found[name] = {"ours": ours}
        for script in ("with_vectorbt.py", "with_backtesting.py"):
            times = MINUTE_REPEATS.get(script, repeats) if name == "minute" else repeats
            theirs = answer(python, str(HERE / script), str(bars), str(times))
            seconds = theirs.get("with_statistics_s", theirs["s"])
            found[name][script] = {**theirs, "times_ours": seconds / ours["s"]}
    print(json.dumps(found, indent=2))  # noqa: T201


def environment() -> str:
    """The peers' Python; made on first use from the configured package index."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)
    return str(python)


def answer(*words: str) -> dict[str, Any]:
    """The JSON a script prints."""
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
