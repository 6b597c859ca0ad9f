"""The archive in the admin; importing it registers every page."""

from backtests.admin import candles, downloads, runs, sweeps

__all__ = ["candles", "downloads", "runs", "sweeps"]
