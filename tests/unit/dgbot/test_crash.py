"""Points at which a test ends a process: named in one place, silent without a test, refused near a real exchange."""

import re
import subprocess
import sys

import pytest

from dgbot import env
from dgbot.core import crash
from dgbot.core.errors import BadInput

ON_THIS_MACHINE = {"DGBOT_UPBIT_URL": "http://127.0.0.1:1", "DGBOT_BITGET_URL": "http://localhost:2"}
DIE = "from dgbot.core import crash; crash.arm(crash.parse({!r})); [crash.crash_point('claim committed') for _ in range(3)]"


@pytest.mark.parametrize(
    ("wanted", "code"),
    [("claim committed", -9), ("claim committed:3:SIGTERM", -15), ("claim committed:4", 0), ("answer read", 0)],
)
def test_a_process_dies_where_and_how_it_was_told_to(wanted: str, code: int) -> None:
    ended = subprocess.run([sys.executable, "-c", DIE.format(wanted)], cwd=env.BASE_DIR, check=False, capture_output=True)

    assert ended.returncode == code


@pytest.mark.parametrize("text", ["claim", "claim committed:0", "claim committed:once", "claim committed:1:SIGHUP", ":1"])
def test_a_crash_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=rf"^DGBOT_CRASH_AT must be a crash point, .* was '{re.escape(text)}'"):
        env.load({**ON_THIS_MACHINE, "DGBOT_CRASH_AT": text}, dotenv=None)


@pytest.mark.parametrize("missing", sorted(ON_THIS_MACHINE))
@pytest.mark.parametrize("address", ["", "https://api.upbit.com"])
def test_nothing_dies_on_purpose_where_a_real_exchange_can_be_reached(missing: str, address: str) -> None:
    with pytest.raises(BadInput, match=r"^DGBOT_CRASH_AT ends processes on purpose and is taken only in a test build"):
        env.load({**ON_THIS_MACHINE, missing: address, "DGBOT_CRASH_AT": "claim committed"}, dotenv=None)


def test_a_build_without_tests_takes_no_crash(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(env, "BASE_DIR", tmp_path)

    with pytest.raises(BadInput, match="only in a test build"):
        env.load({**ON_THIS_MACHINE, "DGBOT_CRASH_AT": "claim committed"}, dotenv=None)


def test_a_test_build_takes_it() -> None:
    given = env.load({**ON_THIS_MACHINE, "DGBOT_CRASH_AT": "claim committed:2:SIGTERM"}, dotenv=None)

    assert str(given["DGBOT_CRASH_AT"]) == "claim committed:2:SIGTERM"


def test_every_point_in_the_code_is_listed_and_numbered() -> None:
    rooms = [env.BASE_DIR / name for name in ("dgbot", "risk", "backtests", "trading", "monitoring")]
    sources = [path.read_text() for room in rooms for path in room.rglob("*.py")]
    named = {name for source in sources for name in re.findall(r"""(?:crash_point|\bat)\("([^"]+)"\)""", source)}

    assert named <= set(crash.POINTS)
    assert sorted(set(crash.POINTS.values())) == list(range(1, 29))
