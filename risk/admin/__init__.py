"""Faces of the risk room: limits, states, and the kill switch."""

from risk.admin import kill, limits, states

__all__ = ["kill", "limits", "states"]
