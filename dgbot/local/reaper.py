"""Ends the supervisor's children when the supervisor itself was killed: `python -m dgbot.local.reaper PIDS_FILE`.

Its standard input is a pipe that only the supervisor holds; the end of it means that the supervisor is gone. Needed on
macOS, where the kernel does not tell children. It leads a session of its own, so a killed group does not take it along.
"""

import sys
from pathlib import Path

from dgbot.local import processes

GRACE_S = 3.0


def main() -> None:
    """Wait for the end of standard input, then end whoever is left."""
    sys.stdin.buffer.read()
    processes.end(processes.recall(Path(sys.argv[1])), grace_s=GRACE_S)


if __name__ == "__main__":
    main()
