"""Candle series, their archive and their import."""
