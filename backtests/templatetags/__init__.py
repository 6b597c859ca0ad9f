"""Template tags of the backtests' pages."""
