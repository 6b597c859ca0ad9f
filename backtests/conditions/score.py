"""The signal score: points for and against a rise, one line per indicator. Source: requirements §2.7, "Signal score".

Corrected: an indicator that is exactly zero counts as what it is (the source's test for truth dropped it), and OBV is asked for its
change over five bars in units of the volume traded meanwhile, since a percentage of its arbitrary level means nothing (§2.1).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from backtests import indicators
from backtests.candles.series import Candles

OBV_BARS, OBV_SHARE = 5, 0.05
FEWEST_BARS = 130  # until every recursive mean of the table has settled


@dataclass(frozen=True)
class Score:
    """points: indicator → signed points, 0 included. total: their sum; None while any indicator is unknown, which `unknown` names."""

    points: Mapping[str, float]
    unknown: tuple[str, ...]

    @property
    def total(self) -> float | None:
        """Positive for a rise."""
        return None if self.unknown else sum(self.points.values())

    @property
    def says(self) -> str:
        """In one word."""
        total = self.total
        if total is None:
            return "unknown"
        if abs(total) <= 1:
            return "neutral"
        return ("strong " if abs(total) > 3 else "") + ("buy" if total > 0 else "sell")

    @property
    def confidence(self) -> str:
        """From the strength and the number of indicators that say anything."""
        if self.total is None:
            return "unknown"
        strength, voices = abs(self.total), sum(1 for value in self.points.values() if value)
        if strength >= 5 and voices >= 8:
            return "high"
        if strength >= 3 and voices >= 5:
            return "medium"
        return "low" if strength >= 1 else "very low"


def score(candles: Candles) -> Score:
    """At the newest bar."""
    return score_of(newest_values(candles))


def score_of(values: Mapping[str, float]) -> Score:
    """values: by the names of `newest_values`; NaN is unknown."""
    told = {name: _points(name, values) for name in ASKED}
    return Score(
        points={name: value for name, value in told.items() if value is not None},
        unknown=tuple(name for name, value in told.items() if value is None),
    )


def newest_values(candles: Candles) -> dict[str, float]:
    """Every indicator the score asks for, at the newest bar; NaN unknown. Nothing is known before FEWEST_BARS."""
    if len(candles) < FEWEST_BARS:
        return {}
    high, low, close, volume = candles.high, candles.low, candles.close, candles.volume
    upper, middle, lower = indicators.bollinger_bands(close)
    line, signal, histogram = indicators.macd(close)
    plus, minus = indicators.directional14(high, low, close)
    fast_k, slow_d = indicators.stochastic(high, low, close)
    balance = indicators.obv(close, volume)
    traded = float(volume[-OBV_BARS:].sum())
    columns = {
        "sma5": indicators.sma(close, 5),
        "sma20": indicators.sma(close, 20),
        "sma60": indicators.sma(close, 60),
        "ema12": indicators.ema(close, 12),
        "ema26": indicators.ema(close, 26),
        "macd": line,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "adx14": indicators.adx14(high, low, close),
        "plus": plus,
        "minus": minus,
        "rsi14": indicators.rsi14(close),
        "stochastic_k": fast_k,
        "stochastic_d": slow_d,
        "mfi14": indicators.mfi(high, low, close, volume),
        "williams14": indicators.williams(high, low, close),
        "bollinger_upper": upper,
        "bollinger_middle": middle,
        "bollinger_lower": lower,
        "cci20": indicators.cci(high, low, close),
    }
    newest = {name: float(column[-1]) for name, column in columns.items()}
    change = (float(balance[-1]) - float(balance[-1 - OBV_BARS])) / traded if traded > 0 else np.nan
    return {"close": float(close[-1]), "obv_change": float(change), **newest}


ASKED: dict[str, tuple[str, ...]] = {
    "MA5 over MA20": ("sma5", "sma20"),
    "MA20 over MA60": ("sma20", "sma60"),
    "price over MA20": ("close", "sma20"),
    "EMA12 over EMA26": ("ema12", "ema26"),
    "MACD over its signal": ("macd", "macd_signal"),
    "MACD histogram": ("macd_histogram",),
    "ADX": ("adx14", "plus", "minus"),
    "RSI": ("rsi14",),
    "stochastic": ("stochastic_k", "stochastic_d"),
    "MFI": ("mfi14",),
    "Williams %R": ("williams14",),
    "Bollinger": ("close", "bollinger_upper", "bollinger_middle", "bollinger_lower"),
    "CCI": ("cci20",),
    "OBV": ("obv_change",),
}
WEIGHTS = {"MA5 over MA20": 1.0, "MA20 over MA60": 1.0, "price over MA20": 0.5, "EMA12 over EMA26": 1.0, "MACD over its signal": 1.5}


def _points(name: str, values: Mapping[str, float]) -> float | None:
    asked = [values.get(one, np.nan) for one in ASKED[name]]
    if any(np.isnan(value) for value in asked):
        return None
    if name in WEIGHTS:
        return WEIGHTS[name] * float(np.sign(asked[0] - asked[1]))
    return RULES[name](*asked)


def _banded(value: float, *, low: float, high: float, points: float) -> float:
    """`points` under `low`, minus as many over `high`, else nothing."""
    return points if value < low else -points if value > high else 0.0


def _rsi(value: float) -> float:
    return _banded(value, low=30, high=70, points=2) or _banded(value, low=40, high=60, points=1)


def _stochastic(k: float, d: float) -> float:
    if max(k, d) < 20:
        return 1.5
    return -1.5 if min(k, d) > 80 else 0.5 * float(np.sign(k - d))


def _bollinger(close: float, upper: float, middle: float, lower: float) -> float:
    return _banded(close, low=lower, high=upper, points=2) or 0.5 * float(np.sign(middle - close))


RULES: dict[str, Callable[..., float]] = {
    "MACD histogram": lambda value: 0.5 * float(np.sign(value)),
    "ADX": lambda adx, plus, minus: 0.5 * float(np.sign(plus - minus)) if adx > 25 else 0.0,
    "RSI": _rsi,
    "stochastic": _stochastic,
    "MFI": lambda value: _banded(value, low=20, high=80, points=1),
    "Williams %R": lambda value: _banded(value, low=-80, high=-20, points=1),
    "Bollinger": _bollinger,
    "CCI": lambda value: _banded(value, low=-100, high=100, points=1),
    "OBV": lambda change: float(np.sign(change)) if abs(change) > OBV_SHARE else 0.0,
}
