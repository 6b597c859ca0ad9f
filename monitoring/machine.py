"""How the machine does: processor, memory, disk, and what of it needs an eye."""

from dataclasses import dataclass

import psutil
from django.conf import settings

WARN_PERCENT = 80.0
MIB, GIB = 2**20, 2**30


@dataclass(frozen=True)
class Machine:
    """At one instant. Percentages from 0 to 100."""

    cpu_percent: float
    memory_percent: float
    memory_available_mb: float
    disk_percent: float
    disk_free_gb: float

    @property
    def warnings(self) -> list[str]:
        """One sentence for each that is over the limit."""
        used = {"CPU": self.cpu_percent, "Memory": self.memory_percent, "Disk": self.disk_percent}
        return [f"{name} {value:.1f} % is over {WARN_PERCENT:.0f} %" for name, value in used.items() if value > WARN_PERCENT]

    @property
    def status(self) -> str:
        """In one word."""
        return "WARNING" if self.warnings else "OK"


def look() -> Machine:
    """Now; the processor's share is since the last look of this process. The disk is that of the data folder."""
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(settings.DATA_DIR))
    return Machine(
        cpu_percent=psutil.cpu_percent(interval=None),
        memory_percent=memory.percent,
        memory_available_mb=round(memory.available / MIB, 1),
        disk_percent=disk.percent,
        disk_free_gb=round(disk.free / GIB, 2),
    )
