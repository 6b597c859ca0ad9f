"""Fourteen candle patterns as TA-Lib recognises them, each with the history it needs.

Corrected from W-32: the source gave TA-Lib ten bars, of which thirteen of the fourteen patterns need more.
"""

from backtests.candles.series import Candles
from backtests.indicators import candle_pattern

PATTERNS = {
    "CDLDOJI": "doji",
    "CDLHAMMER": "hammer",
    "CDLINVERTEDHAMMER": "inverted hammer",
    "CDLHANGINGMAN": "hanging man",
    "CDLSHOOTINGSTAR": "shooting star",
    "CDLENGULFING": "engulfing",
    "CDLHARAMI": "harami",
    "CDLPIERCING": "piercing line",
    "CDLDARKCLOUDCOVER": "dark cloud cover",
    "CDLMORNINGSTAR": "morning star",
    "CDLEVENINGSTAR": "evening star",
    "CDL3WHITESOLDIERS": "three white soldiers",
    "CDL3BLACKCROWS": "three black crows",
    "CDLSPINNINGTOP": "spinning top",
}
BARS = 60  # more than the longest look-back of the fourteen, which a test asserts


def patterns(candles: Candles) -> dict[str, int] | None:
    """Pattern → 1 bullish, −1 bearish, of those that end at the newest bar; None with fewer than BARS bars."""
    if len(candles) < BARS:
        return None
    columns = [getattr(candles, name)[-BARS:] for name in ("open", "high", "low", "close")]
    found = {words: int(candle_pattern(name, *columns)[-1]) for name, words in PATTERNS.items()}
    return {words: 1 if sign > 0 else -1 for words, sign in found.items() if sign}
