"""The warm parent of processes that are to be killed: it imports the platform once and forks each of them in milliseconds.

Run as `python -m tests.faults.matrix.nursery`. Lines of JSON go in: {"role", "crash", "output", "arguments"}; out come
{"started": pid} for each, and {"ended": pid, "code": n} when one has ended, negative for a signal as in `subprocess`.
A child is a real process: its own connections, its own leases, and nothing of it left when it is killed.
"""

import ctypes
import json
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

import django

STDOUT, STDERR = 1, 2
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Fork for every line, tell every end."""
    django.setup()
    from tests.faults.matrix import roles

    roles.warm_up()
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    _tell(ready=os.getpid())
    for line in sys.stdin:
        wanted = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # a child's end is told after its start
        pid = os.fork()
        if pid == 0:
            _be(wanted)
        _tell(started=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _be(wanted: dict[str, Any]) -> NoReturn:
    """Live as a child, and never return into the parent's loop."""
    from dgbot.core import crash
    from tests.faults.matrix import roles

    code = 1
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing outlives the tests
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        output = os.open(wanted["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, STDOUT)
        os.dup2(output, STDERR)
        os.close(sys.stdin.fileno())
        crash.arm(crash.parse(wanted["crash"]) if wanted["crash"] else None)
        roles.play(wanted["role"], **wanted["arguments"])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(ended=pid, code=os.waitstatus_to_exitcode(status))


def _tell(**what: object) -> None:
    os.write(STDOUT, (json.dumps(what) + "\n").encode())  # one write, safe in a signal handler


if __name__ == "__main__":
    main()
