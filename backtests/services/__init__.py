"""What backtests writes."""
