"""Indicators in their textbook form: plain Python, one bar after the other, NaN where nothing is known yet."""

import math

NAN = math.nan
Values = list[float]


def mean(values: Values) -> float:
    """The plain mean."""
    return sum(values) / len(values)


def mean_before(values: Values, t: int, bars: int) -> float:
    """Mean of the `bars` values before t; NaN when there are fewer."""
    return mean(values[t - bars : t]) if t >= bars else NAN


def ema(values: Values, bars: int, *, start: int | None = None) -> Values:
    """α = 2/(bars + 1), seeded with the mean of the `bars` values that end at `start`."""
    start = bars - 1 if start is None else start
    if len(values) <= start:
        return [NAN] * len(values)
    found = [NAN] * start + [mean(values[start - bars + 1 : start + 1])]
    for value in values[start + 1 :]:
        found.append(found[-1] + 2 / (bars + 1) * (value - found[-1]))
    return found


def macd_histogram(close: Values) -> Values:
    """12, 26, 9, both means seeded at the same bar."""
    line = [fast - slow for fast, slow in zip(ema(close, 12, start=25), ema(close, 26), strict=True)]
    signal = [NAN] * 25 + ema(line[25:], 9)
    return [a - b for a, b in zip(line, signal, strict=True)]


def rsi(close: Values, bars: int = 14) -> Values:
    """Wilder's."""
    found = [NAN] * len(close)
    gain = loss = 0.0
    for t in range(1, len(close)):
        up, down = max(close[t] - close[t - 1], 0.0), max(close[t - 1] - close[t], 0.0)
        if t <= bars:
            gain, loss = gain + up / bars, loss + down / bars
        else:
            gain, loss = (gain * (bars - 1) + up) / bars, (loss * (bars - 1) + down) / bars
        if t >= bars and gain + loss > 0:
            found[t] = 100 * gain / (gain + loss)
    return found


def adx(high: Values, low: Values) -> Values:
    """Wilder's, 14 bars; the true range cancels out."""
    found = [NAN] * len(high)
    plus = minus = strength = 0.0
    directions: Values = []
    for t in range(1, len(high)):
        up, down = high[t] - high[t - 1], low[t - 1] - low[t]
        rise, fall = (up if up > down and up > 0 else 0.0), (down if down > up and down > 0 else 0.0)
        plus, minus = (plus + rise, minus + fall) if t < 14 else (plus * 13 / 14 + rise, minus * 13 / 14 + fall)
        if t >= 14:
            directions.append(100 * abs(plus - minus) / (plus + minus))
            strength = mean(directions) if len(directions) <= 14 else (strength * 13 + directions[-1]) / 14
        if len(directions) >= 14:
            found[t] = strength
    return found


def atr(high: Values, low: Values, close: Values, bars: int = 14) -> Values:
    """Wilder's."""
    found = [NAN] * len(high)
    ranges = [max(high[t], close[t - 1]) - min(low[t], close[t - 1]) for t in range(1, len(high))]
    for t in range(bars, len(high)):
        found[t] = mean(ranges[:bars]) if t == bars else (found[t - 1] * (bars - 1) + ranges[t - 1]) / bars
    return found


def bands(close: Values, t: int, *, bars: int = 20, deviations: float = 2.0) -> tuple[float, float]:
    """Lower and upper Bollinger band at t, σ of the population."""
    window = close[t - bars + 1 : t + 1]
    sigma = math.sqrt(mean([(value - mean(window)) ** 2 for value in window]))
    return mean(window) - deviations * sigma, mean(window) + deviations * sigma
