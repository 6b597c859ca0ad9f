"""The bars and the entries every engine gets: a seeded random walk with volume. NumPy only, as each engine has its own environment."""

import numpy as np

HOURLY, MINUTELY = 17_520, 1_051_200
STOP, FIRST_PROFIT, LAST_PROFIT, FEE, SLIPPAGE = 0.03, 0.05, 0.10, 0.0005, 0.0002


def bars(count: int) -> dict[str, np.ndarray]:
    """open, high, low, close, volume: (count,) float64; time: (count,) int64, ns UTC."""
    random = np.random.default_rng(1)
    is_hourly = count <= HOURLY
    sigma, step = (0.006, 3_600_000_000_000) if is_hourly else (0.0012, 60_000_000_000)
    close = np.round(50_000_000 * np.exp(np.cumsum(random.normal(0, sigma, count))))
    opens = np.concatenate([close[:1], close[:-1]])
    return {
        "time": 1_600_000_000_000_000_000 // step * step + np.arange(count, dtype=np.int64) * step,
        "open": opens,
        "high": np.round(np.maximum(opens, close) * (1 + random.exponential(sigma / 3, count))),
        "low": np.round(np.minimum(opens, close) * (1 - random.exponential(sigma / 3, count))),
        "close": close,
        "volume": random.lognormal(0, 1, count),
    }


def entries(market: dict[str, np.ndarray]) -> np.ndarray:
    """(n,) bool: enter at the next open. Computed outside the time of a peer, inside that of ours."""
    close, count = market["close"], len(market["close"])
    before = np.concatenate([close[:1], close[:-1]])
    ranges = np.maximum(market["high"], before) - np.minimum(market["low"], before)
    atr = np.full(count, np.nan)
    atr[14] = ranges[1:15].mean()
    for t in range(15, count):
        atr[t] = (atr[t - 1] * 13 + ranges[t]) / 14
    sums = np.concatenate([[0.0], np.cumsum(market["volume"])])
    usual = np.full(count, np.nan)
    usual[20:] = (sums[20:count] - sums[: count - 20]) / 20
    atr_before = np.concatenate([[np.nan], atr[:-1]])
    return (close > before + atr_before) & (market["volume"] > usual)
