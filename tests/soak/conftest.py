"""The same platform as under faults."""

from tests.faults.conftest import folder, platform, prepared

__all__ = ["folder", "platform", "prepared"]
