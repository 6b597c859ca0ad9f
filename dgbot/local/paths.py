"""Where the platform keeps its files on this machine.

An ordinary user's data lies in `var/` of the checkout. PostgreSQL refuses to run as root, so root's servers run as
`nobody`, who cannot enter a checkout below a 0700 home: root's data lies in /var/lib/dgbot. The checkout's path is
hashed into the name, so two checkouts never share a database.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

SYSTEM_DIR = Path("/var/lib/dgbot")
SOCKET_PATH_LIMIT = 103  # macOS: 104 bytes with the closing zero; Linux allows 107
POSTGRES_SOCKET, VALKEY_SOCKET = ".s.PGSQL.5432", "valkey.sock"


@dataclass(frozen=True)
class Places:
    """The folders below one data directory."""

    data: Path

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def valkey(self) -> Path:
        return self.data / "valkey"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def static(self) -> Path:
        return self.data / "static"

    @property
    def run(self) -> Path:
        """Folder of the sockets: in the data directory, or a short one when that would be too long for a socket."""
        usual = self.data / "run"
        if len(os.fsencode(usual / POSTGRES_SOCKET)) <= SOCKET_PATH_LIMIT:
            return usual
        return Path("/tmp") / f"dgbot-{os.getuid()}-{_hash(self.data)}"  # noqa: S108  its owner and mode are checked before use

    @property
    def valkey_socket(self) -> Path:
        return self.run / VALKEY_SOCKET

    def database_url(self, *, user: str = "dgbot", name: str = "dgbot") -> str:
        """URL of the embedded PostgreSQL, over its socket."""
        return f"postgres://{user}@{str(self.run).replace('/', '%2F')}/{name}"

    def redis_url(self) -> str:
        """URL of the embedded Valkey, over its socket."""
        return f"unix://{self.valkey_socket}"


def default_data_dir(checkout: Path) -> Path:
    """The data directory when DGBOT_DATA_DIR is not set."""
    if os.getuid() == 0:
        return SYSTEM_DIR / f"{checkout.name}-{_hash(checkout)}"
    return checkout / "var"


def _hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
