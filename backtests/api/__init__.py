"""The REST faces of strategies and candles."""
