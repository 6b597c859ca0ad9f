"""The compiled part of the indicators: columns in, columns out, in blocks that stay in the processor's cache.

Two shapes do all the work:

    window     sums and extremes of 2, 4, 8 … bars, each from two halves, put together to any length: no running sum, so nothing of
               an older bar is left in a value, and no step waits for the one before
    follow     y ← keep · y + take · x, four bars at a time: yₖ = keepᵏ · y₀ + pₖ, so that only every fourth step waits for another

Value t is made of the same operations whatever comes after it, so that a prefix gives a prefix to the bit. Every function writes
whole columns, NaN over the warm-up, and returns whether all it read was finite: if not, what it wrote means nothing.
"""

from math import isfinite, nan, sqrt
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from backtests.engine import kernel_cache

kernel_cache.settle()

BLOCK = 2048  # bars; a multiple of four, as `follow` needs
SAME = 1e-15  # of the mean: a deviation under this is rounding of equal values

_IN = types.Array(types.float64, 1, "C", readonly=True)  # as candles are; writable columns fit, too
_OUT = types.Array(types.float64, 1, "C", readonly=False)
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_PART: dict[str, Any] = {"nogil": True, "error_model": "numpy", "forceinline": True}
_LOOP: dict[str, Any] = {"nogil": True, "error_model": "numpy"}  # a loop of its own vectorises: inlined, aliases get in its way


def _fma(_context: Any, one: Any, _other: Any, _added: Any) -> Any:
    """one · other + added, rounded once; the same bits on every machine."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(one, one, one), build


fma: Any = intrinsic(_fma)


@njit(**_LOOP)
def _copied(values: Any, copy: Any) -> bool:
    """Copy a column into the beginning of another; returns whether every value is finite."""
    bad = 0
    for i in range(len(values)):
        value = values[i]
        copy[i] = value
        bad |= int(value - value != 0.0)
    return bad == 0


@njit(**_LOOP)
def _add(left: Any, right: Any, into: Any) -> None:
    for i in range(len(into)):
        into[i] = left[i] + right[i]


@njit(**_LOOP)
def _divide(values: Any, by: float) -> None:
    for i in range(len(values)):
        values[i] /= by


@njit(**_LOOP)
def _larger(left: Any, right: Any, into: Any) -> None:
    for i in range(len(into)):
        into[i] = left[i] if left[i] > right[i] else right[i]


@njit(**_PART)
def _window_sums(one: Any, two: Any, bars: int, count: int, total: Any) -> None:
    """total[i] = sum of one[i : i + bars] for i under `count`. one, two: at least (count + bars,), overwritten in turn."""
    width, rest, offset, is_turned = 1, bars, 0, False
    while True:
        now = two if is_turned else one
        if rest & 1:
            if offset == 0:
                _copied(now[:count], total)
            else:
                _add(total, now[offset : offset + count], total)
            offset += width
        rest >>= 1
        if rest == 0:
            return
        fits = count + bars - 2 * width
        _add(now[:fits], now[width : width + fits], (one if is_turned else two)[:fits])
        is_turned = not is_turned
        width *= 2


@njit(**_PART)
def _window_tops(one: Any, two: Any, bars: int, count: int, top: Any) -> None:
    """top[i] = largest of one[i : i + bars] for i under `count`. one, two: at least (count + bars,), overwritten in turn."""
    width, is_turned = 1, False
    while 2 * width <= bars:
        now = two if is_turned else one
        fits = count + bars - 2 * width
        _larger(now[:fits], now[width : width + fits], (one if is_turned else two)[:fits])
        is_turned = not is_turned
        width *= 2
    now = two if is_turned else one
    _larger(now[:count], now[bars - width : bars - width + count], top)  # the two may overlap


@njit(**_PART)
def _is_finite(values: Any) -> bool:
    bad = 0
    for i in range(len(values)):
        bad |= int(values[i] - values[i] != 0.0)
    return bad == 0


@njit(types.boolean(_IN, types.int64, types.int64, types.int64, _OUT), **_OPTIONS)
def window_mean(values: Any, first: int, bars: int, lag: int, out: Any) -> bool:
    """out[t + lag] = mean of the `bars` values up to t, counted from `first` on."""
    known = first + bars - 1
    out[: min(known + lag, len(out))] = nan
    if known >= len(values):
        return _is_finite(values[first:])
    one, two = np.empty(BLOCK + bars), np.empty(BLOCK + bars)
    is_finite = True
    for start in range(known, len(values), BLOCK):
        count = min(BLOCK, len(values) - start)
        is_finite &= _copied(values[start - bars + 1 : start + count], one)
        count = min(count, len(out) - lag - start)
        if count > 0:
            total = out[start + lag : start + lag + count]
            _window_sums(one, two, bars, count, total)
            _divide(total, float(bars))
    return is_finite


@njit(types.boolean(_IN, types.int64, types.int64, types.int64, types.float64, _OUT), **_OPTIONS)
def window_top(values: Any, first: int, bars: int, lag: int, sign: float, out: Any) -> bool:
    """out[t + lag] = the largest (sign 1) or smallest (sign −1) of the `bars` values up to t, counted from `first` on."""
    known = first + bars - 1
    out[: min(known + lag, len(out))] = nan
    if known >= len(values):
        return _is_finite(values[first:])
    one, two = np.empty(BLOCK + bars), np.empty(BLOCK + bars)
    is_finite = True
    for start in range(known, len(values), BLOCK):
        count = min(BLOCK, len(values) - start)
        is_finite &= _copied(values[start - bars + 1 : start + count], one)
        if sign < 0.0:
            for i in range(count + bars - 1):
                one[i] = -one[i]
        count = min(count, len(out) - lag - start)
        if count > 0:
            top = out[start + lag : start + lag + count]
            _window_tops(one, two, bars, count, top)
            if sign < 0.0:
                for i in range(count):
                    top[i] = -top[i]
    return is_finite


@njit(**_LOOP)
def _join(
    sums: Any, squares: Any, bars: float, sums_after: Any, squares_after: Any, bars_after: float, sum_of: Any, square_of: Any
) -> None:
    """Sums and summed squared deviations of two neighbouring windows into those of both: Chan, Golub, LeVeque 1979."""
    scale = 1.0 / (bars * bars_after * (bars + bars_after))
    for i in range(len(sum_of)):
        gap = bars_after * sums[i] - bars * sums_after[i]
        square_of[i] = squares[i] + squares_after[i] + gap * gap * scale
        sum_of[i] = sums[i] + sums_after[i]


@njit(**_PART)
def _window_spreads(one: Any, two: Any, one_square: Any, two_square: Any, bars: int, count: int, total: Any, square: Any) -> None:
    """As `_window_sums`, with square[i] = Σ (x − mean)² of the same window. No difference of large numbers is taken."""
    width, rest, offset, is_turned = 1, bars, 0, False
    for i in range(count + bars - 1):
        one_square[i] = 0.0
    while True:
        now, now_square = (two, two_square) if is_turned else (one, one_square)
        if rest & 1:
            part, part_square = now[offset : offset + count], now_square[offset : offset + count]
            if offset == 0:
                _copied(part, total)
                _copied(part_square, square)
            else:
                _join(total, square, float(offset), part, part_square, float(width), total, square)
            offset += width
        rest >>= 1
        if rest == 0:
            return
        fits = count + bars - 2 * width
        then, then_square = (one, one_square) if is_turned else (two, two_square)
        _join(
            now[:fits],
            now_square[:fits],
            float(width),
            now[width : width + fits],
            now_square[width : width + fits],
            float(width),
            then[:fits],
            then_square[:fits],
        )
        is_turned = not is_turned
        width *= 2


@njit(**_LOOP)
def _to_deviations(bars: int, mean: Any, sigma: Any) -> None:
    """Sums and summed squares become means and σ of the population; 0 where all values are equal."""
    share = 1.0 / bars
    for i in range(len(mean)):
        centre = mean[i] * share
        deviation = sqrt(sigma[i] * share)
        mean[i] = centre
        sigma[i] = 0.0 if deviation <= SAME * abs(centre) else deviation


@njit(**_LOOP)
def _reach(mean: Any, sigma: Any, deviations: float, out: Any) -> None:
    for i in range(len(out)):
        out[i] = mean[i] + deviations * sigma[i]


@njit(**_LOOP)
def _widths(mean: Any, sigma: Any, deviations: float, out: Any) -> None:
    for i in range(len(out)):
        reach = deviations * sigma[i]
        out[i] = ((mean[i] + reach) - (mean[i] - reach)) / mean[i]


@njit(types.boolean(_IN, types.int64, types.float64, _OUT, _OUT, _OUT), **_OPTIONS)
def bands(close: Any, bars: int, deviations: float, upper: Any, middle: Any, lower: Any) -> bool:
    """Bollinger's bands; where `middle` is empty, (upper − lower) / middle goes into `upper` instead, and `lower` is left alone."""
    n = len(close)
    is_width = len(middle) == 0
    upper[: min(bars - 1, n)] = nan
    if not is_width:
        middle[: min(bars - 1, n)] = nan
        lower[: min(bars - 1, n)] = nan
    if bars > n:
        return _is_finite(close)
    one, two, one_square, two_square = np.empty(BLOCK + bars), np.empty(BLOCK + bars), np.empty(BLOCK + bars), np.empty(BLOCK + bars)
    means, sigmas = np.empty(BLOCK), np.empty(BLOCK)
    is_finite = True
    for start in range(bars - 1, n, BLOCK):
        count = min(BLOCK, n - start)
        mean, sigma = means[:count], sigmas[:count]
        is_finite &= _copied(close[start - bars + 1 : start + count], one)
        _window_spreads(one, two, one_square, two_square, bars, count, mean, sigma)
        _to_deviations(bars, mean, sigma)
        if is_width:
            _widths(mean, sigma, deviations, upper[start : start + count])
        else:
            _copied(mean, middle[start : start + count])
            _reach(mean, sigma, deviations, upper[start : start + count])
            _reach(mean, sigma, -deviations, lower[start : start + count])
    return is_finite


@njit(**_PART)
def _follow(x: Any, count: int, y: float, keep: float, take: float, out: Any) -> float:
    """out[i] ← keep · out[i − 1] + take · x[i], from `y` on, which is also returned at last. See the module's drawing."""
    keep2 = keep * keep
    keep3 = keep2 * keep
    keep4 = keep2 * keep2
    whole = count // 4
    for quarter in range(whole):
        i = np.uintp(4 * quarter)
        p1 = take * x[i]
        p2 = fma(keep, p1, take * x[i + np.uintp(1)])
        p3 = fma(keep, p2, take * x[i + np.uintp(2)])
        p4 = fma(keep, p3, take * x[i + np.uintp(3)])
        out[i] = fma(keep, y, p1)
        out[i + np.uintp(1)] = fma(keep2, y, p2)
        out[i + np.uintp(2)] = fma(keep3, y, p3)
        y = fma(keep4, y, p4)
        out[i + np.uintp(3)] = y
    power = keep
    part = 0.0
    begin = y
    for last in range(4 * whole, count):  # the same sums, as far as they go
        if last == 4 * whole:
            part = take * x[last]
            power = keep
        else:
            part = fma(keep, part, take * x[last])
            power = keep2 if last == 4 * whole + 1 else keep3
        y = fma(power, begin, part)
        out[last] = y
    return y


@njit(**_PART)
def _plain_mean(x: Any) -> float:
    total = 0.0
    for i in range(len(x)):
        total += x[i]
    return total / len(x)


@njit(types.boolean(_IN, types.int64, types.int64, _OUT), **_OPTIONS)
def exponential(values: Any, first: int, bars: int, out: Any) -> bool:
    """Exponential mean with α = 2 / (bars + 1), seeded with the mean of the first `bars` values from `first` on."""
    known, n = first + bars - 1, len(values)
    out[: min(known, n)] = nan
    if known >= n:
        return _is_finite(values[first:])
    take = 2.0 / (bars + 1.0)
    out[known] = _plain_mean(values[first : known + 1])
    last = _follow(values[known + 1 :], n - known - 1, out[known], 1.0 - take, take, out[known + 1 :])
    return isfinite(last)


@njit(types.boolean(_IN, types.int64, types.int64, types.int64, _OUT, _OUT, _OUT), **_OPTIONS)
def convergence(close: Any, fast: int, slow: int, smooth: int, line: Any, signal: Any, histogram: Any) -> bool:
    """MACD: both means seeded at bar slow − 1, the signal with the mean of the line's first `smooth`."""
    n, begin = len(close), slow + smooth - 2
    for column in (line, signal, histogram):
        column[: min(begin, n)] = nan
    if begin >= n:
        return _is_finite(close)
    take_fast, take_slow, take = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0), 2.0 / (smooth + 1.0)
    y_fast, y_slow = _plain_mean(close[slow - fast : slow]), _plain_mean(close[:slow])
    lead = np.empty(smooth)
    one, two = np.empty(max(BLOCK, smooth)), np.empty(max(BLOCK, smooth))
    lead[0] = y_fast - y_slow
    y_fast = _follow(close[slow : slow + smooth - 1], smooth - 1, y_fast, 1.0 - take_fast, take_fast, one)
    y_slow = _follow(close[slow : slow + smooth - 1], smooth - 1, y_slow, 1.0 - take_slow, take_slow, two)
    for i in range(smooth - 1):
        lead[i + 1] = one[i] - two[i]
    y = _plain_mean(lead)
    line[begin], signal[begin], histogram[begin] = lead[smooth - 1], y, lead[smooth - 1] - y
    for start in range(begin + 1, n, BLOCK):
        count = min(BLOCK, n - start)
        part = close[start : start + count]
        y_fast = _follow(part, count, y_fast, 1.0 - take_fast, take_fast, one)
        y_slow = _follow(part, count, y_slow, 1.0 - take_slow, take_slow, two)
        said, mean, gap = line[start : start + count], signal[start : start + count], histogram[start : start + count]
        for i in range(count):
            said[i] = one[i] - two[i]
        y = _follow(said, count, y, 1.0 - take, take, mean)
        for i in range(count):
            gap[i] = said[i] - mean[i]
    return isfinite(y)


@njit(types.boolean(_IN, _IN, _IN, types.int64, _OUT), **_OPTIONS)
def true_range(high: Any, low: Any, close: Any, bars: int, out: Any) -> bool:
    """Average true range as Wilder smooths it, seeded with the mean of bars 1 … `bars`."""
    n = len(close)
    out[: min(bars, n)] = nan
    if n <= bars:
        return _is_finite(high) and _is_finite(low) and _is_finite(close)
    ranges = np.empty(max(BLOCK, bars))
    bad = int(high[0] - high[0] != 0.0) | int(low[0] - low[0] != 0.0)
    y, start = 0.0, 1
    while start < n:
        count = bars if start == 1 else min(BLOCK, n - start)
        tops, bottoms, befores = high[start : start + count], low[start : start + count], close[start - 1 : start - 1 + count]
        for i in range(count):
            top, bottom, before = tops[i], bottoms[i], befores[i]
            ranges[i] = (top if top > before else before) - (bottom if bottom < before else before)
            together = (top + bottom) + before
            bad |= int(together - together != 0.0)
        if start == 1:
            y = _plain_mean(ranges[:bars])
            out[bars] = y
        else:
            y = _follow(ranges, count, y, (bars - 1.0) / bars, 1.0 / bars, out[start : start + count])
        start += count
    return bad == 0 and isfinite(close[n - 1])


@njit(types.boolean(_IN, types.int64, _OUT), **_OPTIONS)
def relative_strength(close: Any, bars: int, out: Any) -> bool:
    """RSI as Wilder smooths it: the share of the rises in all moves, in %. NaN (0/0) before any move."""
    n = len(close)
    out[: min(bars, n)] = nan
    if n <= bars:
        return _is_finite(close)
    rises, moves, mean_rise = np.empty(max(BLOCK, bars)), np.empty(max(BLOCK, bars)), np.empty(BLOCK)
    y_rise = y_move = 0.0
    start = 1
    while start < n:
        count = bars if start == 1 else min(BLOCK, n - start)
        now, before = close[start : start + count], close[start - 1 : start - 1 + count]
        for i in range(count):
            move = now[i] - before[i]
            moves[i] = abs(move)
            rises[i] = move if move > 0.0 else 0.0
        if start == 1:
            y_rise, y_move = _plain_mean(rises[:bars]), _plain_mean(moves[:bars])
            out[bars] = 100.0 * y_rise / y_move
        else:
            said = out[start : start + count]
            y_rise = _follow(rises, count, y_rise, (bars - 1.0) / bars, 1.0 / bars, mean_rise)
            y_move = _follow(moves, count, y_move, (bars - 1.0) / bars, 1.0 / bars, said)
            for i in range(count):
                said[i] = 100.0 * mean_rise[i] / said[i]
        start += count
    return isfinite(y_move)


@njit(types.boolean(_IN, _IN, _IN, types.int64, _OUT), **_OPTIONS)
def directional(high: Any, low: Any, close: Any, bars: int, out: Any) -> bool:
    """ADX as Wilder smooths it, counted from the first directional movement; the true range cancels out of DX."""
    n = len(close)
    begin = 0
    is_finite = True
    while begin + 1 < n:
        up, down = high[begin + 1] - high[begin], low[begin] - low[begin + 1]
        if (up > down and up > 0.0) or (down > up and down > 0.0):
            break
        is_finite &= up - up == 0.0 and down - down == 0.0 and close[begin] - close[begin] == 0.0
        begin += 1
    if begin < n:
        is_finite &= isfinite(high[begin]) and isfinite(low[begin]) and isfinite(close[begin])
    known = begin + 2 * bars - 1
    out[: min(known, n)] = nan
    ups, downs = np.empty(max(BLOCK, bars)), np.empty(max(BLOCK, bars))
    bad = 0
    y_up = y_down = y = 0.0
    stage, start = 0, begin + 1
    keep, take = (bars - 1.0) / bars, 1.0 / bars
    while start < n:
        count = min((bars - 1, bars, BLOCK)[stage], n - start)
        tops, tops_before = high[start : start + count], high[start - 1 : start - 1 + count]
        bottoms, bottoms_before = low[start : start + count], low[start - 1 : start - 1 + count]
        closes = close[start : start + count]
        for i in range(count):
            up, down = tops[i] - tops_before[i], bottoms_before[i] - bottoms[i]
            ups[i] = up if up > down and up > 0.0 else 0.0
            downs[i] = down if down > up and down > 0.0 else 0.0
            together = (up + down) + closes[i]
            bad |= int(together - together != 0.0)
        if stage == 0:
            for i in range(count):
                y_up += ups[i]
                y_down += downs[i]
        else:
            y_up = _follow(ups, count, y_up, keep, 1.0, ups)
            y_down = _follow(downs, count, y_down, keep, 1.0, downs)
            for i in range(count):
                ups[i] = 100.0 * abs(ups[i] - downs[i]) / (ups[i] + downs[i])
            if stage == 2:
                y = _follow(ups, count, y, keep, take, out[start : start + count])
            elif count == bars:
                y = _plain_mean(ups[:bars])
                out[known] = y
        stage = min(stage + 1, 2)
        start += count
    return is_finite and bad == 0


@njit(types.void(_IN, types.float64, _IN, types.float64, types.Array(types.int8, 1, "C")), **_OPTIONS)
def compare(left: Any, left_times: float, right: Any, right_times: float, out: Any) -> None:
    """out[t] = 1 where left_times · left > right_times · right, 0 where not, −1 where either is not finite."""
    for i in range(len(out)):
        one, other = left_times * left[i], right_times * right[i]
        is_known = (left[i] - left[i] == 0.0) & (right[i] - right[i] == 0.0)
        out[i] = np.int8(int(one > other) if is_known else -1)


KERNELS: dict[str, Any] = {
    "window_mean": window_mean,
    "window_top": window_top,
    "bands": bands,
    "exponential": exponential,
    "convergence": convergence,
    "true_range": true_range,
    "relative_strength": relative_strength,
    "directional": directional,
    "compare": compare,
}
