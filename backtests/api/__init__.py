"""Strategies, candles, backtests and sweeps under /api/v1/."""
