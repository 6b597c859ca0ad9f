"""Strategies: pure functions of closed candles and bounded parameters, the same for a whole series and for its last bar."""
