"""How a log line looks and where it goes: one rotating file per process, times in UTC, secrets masked."""

import json
import logging
import os
import re
import time
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from dgbot.redaction import redact

IDS = re.compile(r"\b(order|bot|cycle|account|user|decision|position|trade|exchange|symbol|slot)=(\S+)")
FILE_LIMIT_BYTES, FILES_KEPT = 10_000_000, 10


class UtcFormatter(logging.Formatter):
    """`2026-11-21T03:00:00.123Z WARNING trading.gateway: order=12 …`"""

    converter = time.gmtime  # type: ignore[assignment]
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the trace below it."""
        return redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, as collectors read it: timestamp (UTC), level, logger, module, message, context, trace."""

    def __init__(self, *, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        """The object. context: the ids that the message names, so that one cycle's or order's lines are found together."""
        message = redact(record.getMessage())
        said: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "module": record.module,
            "process": self.process,
            "message": message,
            "context": dict(IDS.findall(message)),
        }
        if record.exc_info:
            said["trace"] = redact(self.formatException(record.exc_info))
        return json.dumps(said, ensure_ascii=False)


class ProcessFileHandler(RotatingFileHandler):
    """`<folder>/<process>.log`, 10 MB, ten older ones kept. Opened at the first line, so that commands leave no empty files."""

    def __init__(self, *, folder: str, process: str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        super().__init__(Path(folder) / f"{process}.log", maxBytes=FILE_LIMIT_BYTES, backupCount=FILES_KEPT, encoding="utf-8", delay=True)

    def move_to(self, process: str) -> None:
        """Go on in another file: two processes must never rotate one file."""
        self.close()
        self.baseFilename = os.fspath(Path(self.baseFilename).with_name(f"{process}.log"))
