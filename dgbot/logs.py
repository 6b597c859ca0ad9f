"""How a log line looks and where it goes: one rotating file per process, times in UTC."""

import logging
import os
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

FILE_LIMIT_BYTES, FILES_KEPT = 10_000_000, 10


class UtcFormatter(logging.Formatter):
    """`2026-11-21T03:00:00.123Z WARNING trading.gateway: order=12 …`"""

    converter = time.gmtime  # type: ignore[assignment]
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


class ProcessFileHandler(RotatingFileHandler):
    """`<folder>/<process>.log`, 10 MB, ten older ones kept. Opened at the first line, so that commands leave no empty files."""

    def __init__(self, *, folder: str, process: str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        super().__init__(Path(folder) / f"{process}.log", maxBytes=FILE_LIMIT_BYTES, backupCount=FILES_KEPT, encoding="utf-8", delay=True)

    def move_to(self, process: str) -> None:
        """Go on in another file: two processes must never rotate one file."""
        self.close()
        self.baseFilename = os.fspath(Path(self.baseFilename).with_name(f"{process}.log"))
