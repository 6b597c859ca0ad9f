"""Faces of the risk room: limits, states, and the kill switch."""

from risk.admin import limits, states

__all__ = ["limits", "states"]
