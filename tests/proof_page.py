"""docs/order-path-proof.md: what was proven, when and on which commit. Each tier rewrites its own block and leaves the others.

A block stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.
"""

import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from dgbot.env import BASE_DIR
from dgbot.local.lock import held

PAGE = BASE_DIR / "docs" / "order-path-proof.md"
LOCK = BASE_DIR / "var" / "order-path-proof.lock"
LOCK_WITHIN_S = 10.0
HEAD = """# Proof of the order path

Written by `scripts/test.sh faults --full`; nothing here is edited by hand.
"""


def write_block(name: str, text: str, *, page: Path = PAGE) -> None:
    """Put `text` in the place of the block `name`, or at the end when there is none."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with held(LOCK, timeout_s=LOCK_WITHIN_S):
        content = page.read_text() if page.exists() else HEAD
        block = f"{begin}\n{text.rstrip()}\n{end}"
        if begin in content and end in content:
            before, _, rest = content.partition(begin)
            content = before + block + rest.partition(end)[2]
        else:
            content = f"{content.rstrip()}\n\n{block}\n"
        page.write_text(content)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(str(one) for one in line)} |" for line in lines]


@cache
def commit() -> str:
    """The commit that is proven, with a mark when files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    run = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, check=False)
    return run.stdout.strip() or "unknown"
