"""Our compiled indicators against TA-Lib's, over lengths and markets; and that nothing later changes a value."""

from collections.abc import Callable

import numpy as np
import pytest
import talib

from backtests import indicator_kernels, indicators
from backtests.candles.series import Candles
from tests.candle_factory import random_candles

CANDLES = random_candles(2 * indicator_kernels.BLOCK + 777, seed=11)  # three blocks, the last one cut
Columns = tuple[np.ndarray, ...]
Indicator = Callable[[Candles], Columns]

PAIRS: dict[str, tuple[Indicator, Indicator]] = {
    "sma": (lambda c: (indicators.sma(c.close, 50),), lambda c: (talib.SMA(c.close, 50),)),
    "max": (lambda c: (indicators.donchian(c.high, c.low, 20)[0],), lambda c: (talib.MAX(c.high, 20),)),
    "min": (lambda c: (indicators.donchian(c.high, c.low, 21)[1],), lambda c: (talib.MIN(c.low, 21),)),
    "ema": (lambda c: (indicators.ema(c.close, 20),), lambda c: (talib.EMA(c.close, 20),)),
    "bollinger": (lambda c: indicators.bollinger_bands(c.close), lambda c: talib.BBANDS(c.close, 20, 2, 2)),
    "bollinger 7, 1.5": (
        lambda c: indicators.bollinger_bands(c.close, bars=7, deviations=1.5),
        lambda c: talib.BBANDS(c.close, 7, 1.5, 1.5),
    ),
    "atr": (lambda c: (indicators.atr14(c.high, c.low, c.close),), lambda c: (talib.ATR(c.high, c.low, c.close),)),
    "atr 5": (lambda c: (indicators.atr(c.high, c.low, c.close, bars=5),), lambda c: (talib.ATR(c.high, c.low, c.close, 5),)),
    "rsi": (lambda c: (indicators.rsi14(c.close),), lambda c: (talib.RSI(c.close),)),
    "adx": (lambda c: (indicators.adx14(c.high, c.low, c.close),), lambda c: (talib.ADX(c.high, c.low, c.close),)),
}
OURS: dict[str, Indicator] = {name: ours for name, (ours, _theirs) in PAIRS.items()} | {
    "macd": lambda c: indicators.macd(c.close),
    "width": lambda c: (indicators.bollinger_width(c.close),),
    "mean before": lambda c: (indicators.mean_before(c.volume, 20),),
    "top before": lambda c: (indicators.max_before(c.high, 20),),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e8])
def test_values_are_those_of_talib(name: str, scale: float) -> None:
    ours, theirs = PAIRS[name]
    candles = Candles(
        CANDLES.exchange,
        CANDLES.symbol,
        CANDLES.interval,
        CANDLES.open_time,
        *(getattr(CANDLES, column) * scale for column in ("open", "high", "low", "close")),
        CANDLES.volume,
    )

    for found, expected in zip(ours(candles), theirs(candles), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12 if scale >= 1 else 1e-9)  # TA-Lib's σ loses digits of small prices


@pytest.mark.parametrize("lengths", [(12, 26, 9), (3, 10, 2), (20, 21, 30)])
def test_macd_is_that_of_talib_within_rounding_of_the_price(lengths: tuple[int, int, int]) -> None:
    fast, slow, signal = lengths

    ours = indicators.macd(CANDLES.close, fast_bars=fast, slow_bars=slow, signal_bars=signal)

    for found, expected in zip(ours, talib.MACD(CANDLES.close, fast, slow, signal), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * CANDLES.close.max())


@pytest.mark.parametrize("name", OURS)
def test_later_bars_change_no_bit(name: str) -> None:
    whole = OURS[name](CANDLES)

    for count in (*range(61), *range(indicator_kernels.BLOCK, indicator_kernels.BLOCK + 40), len(CANDLES) - 1):
        for part, column in zip(OURS[name](CANDLES.prefix(count)), whole, strict=True):
            np.testing.assert_array_equal(part.view(np.int64), column[:count].view(np.int64))


@pytest.mark.parametrize("bars", [1, 2, 3, 19, 64, 501])
def test_equal_prices_have_bands_without_width(bars: int) -> None:
    flat = np.full(5000, 0.1)

    width = indicators.bollinger_width(flat, bars=bars)

    assert (width[bars - 1 :] == 0).all()


@pytest.mark.parametrize("at", [0, 1, 13, 14, 27, 2500, -1])
@pytest.mark.parametrize("column", range(3))
@pytest.mark.parametrize("call", [indicators.atr14, indicators.adx14])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_found_wherever_it_stands(
    call: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray], column: int, at: int, bad: float
) -> None:
    columns = [CANDLES.high.copy(), CANDLES.low.copy(), CANDLES.close.copy()]
    columns[column][at] = bad

    with pytest.raises(ValueError, match="finite"):
        call(*columns)
