"""The same platform as under faults."""

from tests.faults.conftest import folder, platform

__all__ = ["folder", "platform"]
