"""The kernels: one for spot, one for perpetuals, made of one text. Arrays in, arrays out, one pass, no objects.

Inside a bar, as DESIGN §5 has it:

    open ─ funding ─ orders decided at the last close ─ guardian: at the open ─ adverse ─ favourable ─ close
         ─ stop follows ─ equity ─ trading day, breakers ─ decide: leave, or enter at the next open

Flat bars are skipped through the list of entries; only trading days that begin among them are looked at. Floats are combined in
the order of the twin in `tests/engine_twin.py`, without fastmath, so that both give the same bits.
"""

from collections.abc import Callable
from math import isnan, nan
from typing import Any

import numpy as np
from numba import njit, types

from backtests.engine import kernel_cache
from backtests.engine.grid import band_of, market_price, on_grid, steps_down, steps_up, whole_lots
from backtests.engine.layout import AT_ADVERSE, AT_FAVOURABLE, AT_OPEN, ENTRY, SIZING_MODES, R, S, reason_code
from risk.domain.exits import ExitReason
from risk.domain.sizing import KELLY_CEILING as DECIMAL_KELLY_CEILING
from risk.domain.sizing import KELLY_FLOOR as DECIMAL_KELLY_FLOOR
from risk.domain.sizing import KELLY_TRADES, SizingMode

kernel_cache.settle()

STOP, TARGET, TRAILING = (reason_code(reason) for reason in (ExitReason.STOP, ExitReason.TARGET, ExitReason.TRAILING))
PARTIAL, LIQUIDATION, FAKEOUT = (reason_code(reason) for reason in (ExitReason.PARTIAL, ExitReason.LIQUIDATION, ExitReason.FAKEOUT))
WEAKENING, TIMEOUT = reason_code(ExitReason.WEAKENING), reason_code(ExitReason.TIMEOUT)
HOLD, SIGNAL = reason_code(ExitReason.HOLD), reason_code(ExitReason.SIGNAL)

FIXED, EQUITY_FRACTION = SIZING_MODES.index(SizingMode.FIXED), SIZING_MODES.index(SizingMode.EQUITY_FRACTION)
RISK_AT_STOP, VOLATILITY = SIZING_MODES.index(SizingMode.RISK_AT_STOP), SIZING_MODES.index(SizingMode.VOLATILITY_TARGET)
HALF_KELLY = SIZING_MODES.index(SizingMode.HALF_KELLY)
KELLY_FLOOR, KELLY_CEILING = float(DECIMAL_KELLY_FLOOR), float(DECIMAL_KELLY_CEILING)

# As plain integers: a kernel takes them as constants.
(CASH, ALLOCATION, FEE_RATE, SLIPPAGE, LOTS_PER_UNIT, QUOTE_GRAIN, MINIMUM_TOTAL) = (
    int(one) for one in (S.CASH, S.ALLOCATION, S.FEE_RATE, S.SLIPPAGE, S.LOTS_PER_UNIT, S.QUOTE_GRAIN, S.MINIMUM_TOTAL)
)
(STOP_FRACTION, TARGET_FRACTION, STOP_SCALE, TARGET_SCALE, FAKEOUT_SCALE, TRAIL_ATR) = (
    int(one) for one in (S.STOP_FRACTION, S.TARGET_FRACTION, S.STOP_SCALE, S.TARGET_SCALE, S.FAKEOUT_SCALE, S.TRAIL_ATR)
)
(FAKEOUT_BARS, WEAKENING_ADX, WEAKENING_RATIO, TIMEOUT_BARS, TIMEOUT_PROFIT, HOLD_BARS, LEVELS, PROFIT_1) = (
    int(one)
    for one in (S.FAKEOUT_BARS, S.WEAKENING_ADX, S.WEAKENING_RATIO, S.TIMEOUT_BARS, S.TIMEOUT_PROFIT, S.HOLD_BARS, S.LEVELS, S.PROFIT_1)
)
(SPACING_NS, ENTRIES_PER_DAY, DAILY_LOSS, WEEKLY_LOSS, DRAWDOWN, LOSS_STREAK) = (
    int(one) for one in (S.SPACING_NS, S.ENTRIES_PER_DAY, S.DAILY_LOSS, S.WEEKLY_LOSS, S.DRAWDOWN, S.LOSS_STREAK)
)
(SIZING, FIXED_AMOUNT, SIZE_FRACTION, LARGEST_AMOUNT, POSITION_FRACTION, LEVERAGE, MAINTENANCE, INTERVAL_NS) = (
    int(one)
    for one in (
        S.SIZING,
        S.FIXED_AMOUNT,
        S.SIZE_FRACTION,
        S.LARGEST_AMOUNT,
        S.POSITION_FRACTION,
        S.LEVERAGE,
        S.MAINTENANCE,
        S.INTERVAL_NS,
    )
)
R_FINAL, R_BARS, R_SUM, R_SQUARES, R_LOSSES = (
    int(one) for one in (R.FINAL_EQUITY, R.BARS, R.SUM_RETURNS, R.SUM_SQUARES, R.SUM_SQUARED_LOSSES)
)
R_DRAWDOWN, R_UNDER, R_POSITIONS, R_WINS, R_GROSS_WIN, R_GROSS_LOSS = (
    int(one) for one in (R.MAX_DRAWDOWN, R.LONGEST_DRAWDOWN, R.POSITIONS, R.WINS, R.GROSS_WIN, R.GROSS_LOSS)
)
R_WIN_RETURNS, R_LOSS_RETURNS, R_MOST_WINS, R_MOST_LOSSES, R_BARS_HELD = (
    int(one) for one in (R.SUM_WIN_RETURNS, R.SUM_LOSS_RETURNS, R.MOST_WINS, R.MOST_LOSSES, R.BARS_HELD)
)
R_HOLDING, R_TURNOVER, R_FEES, R_FUNDING, R_LIQUIDATIONS, R_ENTRIES, R_SAFE, R_FILLS, R_HELD = (
    int(one) for one in (R.HOLDING_BARS, R.TURNOVER, R.FEES, R.FUNDING, R.LIQUIDATIONS, R.ENTRIES, R.SAFE_SINCE, R.FILLS, R.HELD_LOTS)
)

CURVE_BLOCK = 1024  # bars
WEEK_DAYS_BEFORE = 6  # the week is today and the six trading days before it
YES = 1


@njit(nogil=True, forceinline=True, error_model="numpy")
def size_entry(
    p: Any,
    side: float,
    entry: float,
    stop: float,
    atr: float,
    hint: float,
    cash: float,
    wins: float,
    losses: float,
    won: float,
    lost: float,
) -> float:
    """Quote currency to spend, 0 for no trade: `risk.domain.sizing.wanted` and `size_within` in floats.

    entry, stop: expected, quote. wins, losses: closed positions; won, lost: sums of their returns, fractions, both positive.
    """
    mode = int(p[SIZING])
    equity = p[ALLOCATION] + (cash - p[CASH])
    wanted = 0.0
    if mode == FIXED:
        wanted = p[FIXED_AMOUNT]
    elif mode == EQUITY_FRACTION:
        wanted = equity * p[SIZE_FRACTION]
    elif mode == RISK_AT_STOP:
        left_at = stop * (1.0 - side * p[SLIPPAGE])
        loss = abs(entry - left_at) + p[FEE_RATE] * (entry + left_at)
        wanted = equity * p[SIZE_FRACTION] * entry / loss
    elif mode == VOLATILITY:
        if not atr > 0.0:
            return 0.0
        wanted = equity * p[SIZE_FRACTION] * entry / atr
    elif mode == HALF_KELLY:
        count = wins + losses
        if count < KELLY_TRADES or wins == 0.0 or losses == 0.0 or won <= 0.0 or lost <= 0.0:
            return 0.0
        half = (won - lost) / (2.0 * count * (won / wins))
        if half < KELLY_FLOOR:
            return 0.0
        wanted = equity * min(half, KELLY_CEILING)
    else:
        wanted = cash * p[SIZE_FRACTION]
    largest = min(p[LARGEST_AMOUNT], p[ALLOCATION], p[ALLOCATION] * p[POSITION_FRACTION])
    # Margin is a share of the notional; the fee is paid on all of it.
    payable = cash * p[LEVERAGE] / (1.0 + p[FEE_RATE] * p[LEVERAGE])
    amount = whole_lots(min(wanted * hint, largest, payable) / p[QUOTE_GRAIN]) * p[QUOTE_GRAIN]
    if not amount > 0.0 or amount < p[MINIMUM_TOTAL]:
        return 0.0
    # One lot less than could be bought must be worth an order at the profile's stop: what cannot be sold is trapped.
    if (amount / entry - 1.0 / p[LOTS_PER_UNIT]) * (entry * (1.0 - side * p[STOP_FRACTION])) < p[MINIMUM_TOTAL]:
        return 0.0
    return amount


@njit(nogil=True, forceinline=True, error_model="numpy")
def protect(p: Any, side: float, entry: float, stop_distance: float, target_distance: float, num: float, den: float) -> tuple[float, float]:
    """Stop and target: `risk.domain.exits.protect` in floats. NaN distances leave the profile's fractions alone."""
    fall = p[STOP_FRACTION] if side > 0.0 else p[TARGET_FRACTION]
    rise = p[TARGET_FRACTION] if side > 0.0 else p[STOP_FRACTION]
    fall_distance = stop_distance if side > 0.0 else target_distance
    rise_distance = target_distance if side > 0.0 else stop_distance
    lower = entry * (1.0 - fall)
    upper = entry * (1.0 + rise)
    lower = max(lower, entry - fall_distance)
    upper = min(upper, entry + rise_distance)
    below = steps_up(entry, num, den) - 1.0
    above = steps_down(entry, num, den) + 1.0
    lower_price = on_grid(max(min(steps_up(lower, num, den), below), 1.0), num, den)
    upper_price = on_grid(max(steps_down(upper, num, den), above), num, den)
    if side > 0.0:
        return lower_price, upper_price
    return upper_price, lower_price


@njit(nogil=True, forceinline=True, error_model="numpy")
def triggers(is_perpetual: bool, side: float, stop: float, target: float, next_level: float, liquidation: float) -> tuple[float, float]:
    """The two prices between which nothing happens inside a bar, lower first. next_level: NaN when none is left."""
    nearest = target
    if side * next_level < side * target:
        nearest = next_level
    worst = stop
    if is_perpetual and side * liquidation > side * stop:
        worst = liquidation
    if side > 0.0:
        return worst, nearest
    return nearest, worst


@njit(nogil=True, forceinline=True, error_model="numpy")
def level_price(side: float, entry: float, profit: float, num: float, den: float) -> float:
    """Where a partial level fires: `risk.domain.trailing.level_price` in floats."""
    if side > 0.0:
        return on_grid(max(steps_down(entry * (1.0 + profit), num, den), steps_down(entry, num, den) + 1.0), num, den)
    return on_grid(max(min(steps_up(entry * (1.0 - profit), num, den), steps_up(entry, num, den) - 1.0), 1.0), num, den)


@njit(nogil=True, forceinline=True, error_model="numpy")
def walked_price(
    is_buy: bool,
    at_ns: int,
    price: float,
    total: float,
    p: Any,
    depth_offset: Any,
    depth_quote: Any,
    grid_from: Any,
    grid_offset: Any,
    band_start: Any,
    band_num: Any,
    band_den: Any,
) -> float:
    """Average price of a market order worth `total` (quote, at the market price) in a book of assumed levels.

    Level i lies slippage + depth_offset[i] (fraction) from the price, on the grid, and takes depth_quote[i]; what the book cannot
    take pays its last level. Without levels there is one, at the slippage, as deep as needed.
    """
    if len(depth_offset) == 0:
        return market_price(is_buy, at_ns, price, p[SLIPPAGE], grid_from, grid_offset, band_start, band_num, band_den)
    rest = total
    paid = 0.0
    bought = 0.0
    last = len(depth_offset) - 1
    for level in range(last + 1):
        away = p[SLIPPAGE] + depth_offset[level]
        at = market_price(is_buy, at_ns, price, away, grid_from, grid_offset, band_start, band_num, band_den)
        taken = rest if level == last else min(rest, depth_quote[level])
        paid += taken
        bought += taken / at
        rest -= taken
        if rest <= 0.0:
            break
    return paid / bought


def _make(is_perpetual: bool) -> Callable[..., int]:  # noqa: PLR0915 - the statements are those of the kernel
    """The kernel's text, compiled once for spot and once for perpetuals: what the other needs is folded away."""

    @njit(_SIGNATURE, cache=True, nogil=True, error_model="numpy")
    def walk(  # noqa: PLR0915, PLR0912 - one straight story; calls would hand two dozen numbers back and forth
        first: int,
        last: int,
        open_time: Any,
        opens: Any,
        highs: Any,
        lows: Any,
        closes: Any,
        funding: Any,
        entry_bar: Any,
        entry_side: Any,
        entry_stop: Any,
        entry_target: Any,
        entry_fakeout: Any,
        entry_atr: Any,
        entry_strength: Any,
        entry_hint: Any,
        strength: Any,
        leave_long: Any,
        leave_short: Any,
        day_first: Any,
        day_begin: Any,
        grid_from: Any,
        grid_offset: Any,
        band_start: Any,
        band_num: Any,
        band_den: Any,
        depth_offset: Any,
        depth_quote: Any,
        members: Any,
        settings: Any,
        fill_bar: Any,
        fill_side: Any,
        fill_reason: Any,
        fill_where: Any,
        fill_price: Any,
        fill_lots: Any,
        fill_fee: Any,
        equity: Any,
        results: Any,
    ) -> int:
        """Trade bars [first, last) of the columns once for each of `members`, rows of settings (sets, SETTINGS).

        Each writes its row of results (sets, RESULTS). Returns the number of fills of the last one, which writes them and `equity`:
        give room for both to a single member only. An empty `equity` keeps no curve: its statistics are then summed on the way.
        Empty fill columns keep no list.
        """
        fills = 0
        for number in members:
            p = settings[number]
            keeps_curve = len(equity) > 0
            keeps_fills = len(fill_bar) > 0
            # Taken out once: settings may not change, but the compiler cannot know that.
            fee_rate = p[FEE_RATE]
            slippage = p[SLIPPAGE]
            sizes_by_stop = int(p[SIZING]) == RISK_AT_STOP
            lots_per_unit = p[LOTS_PER_UNIT]
            interval_ns = int(p[INTERVAL_NS])
            spacing_ns = int(p[SPACING_NS])
            entries_per_day = int(p[ENTRIES_PER_DAY])
            fakeout_bars = int(p[FAKEOUT_BARS])
            weakening_adx = p[WEAKENING_ADX]
            weakening_ratio = p[WEAKENING_RATIO]
            timeout_bars = int(p[TIMEOUT_BARS])
            hold_bars = int(p[HOLD_BARS])
            level_count = int(p[LEVELS])
            weakens = weakening_adx > 0.0 and len(strength) > 0
            trails = p[TRAIL_ATR] > 0.0
            says_leave_long = len(leave_long) > 0
            says_leave_short = len(leave_short) > 0
            has_funding = is_perpetual and len(funding) > 0
            drawdown_keeps = 1.0 - p[DRAWDOWN] if p[DRAWDOWN] > 0.0 else -np.inf
            minimum_total = p[MINIMUM_TOTAL]

            cash = p[CASH]
            previous = cash
            peak = cash
            drawdown_floor = peak * drawdown_keeps
            peak_bar = first - 1
            lowest = np.inf  # since the peak
            sums = 0.0
            squares = 0.0
            squared_losses = 0.0
            max_drawdown = 0.0
            longest = 0
            positions = 0.0
            wins = 0.0
            gross_win = 0.0
            gross_loss = 0.0
            win_returns = 0.0
            loss_returns = 0.0
            win_run = 0
            loss_run = 0
            most_wins = 0
            most_losses = 0
            holding_bars = 0
            turnover = 0.0
            all_fees = 0.0
            all_funding = 0.0
            liquidations = 0
            entries = 0
            is_safe = False
            safe_since = -1
            fills = 0

            day = -1
            next_day = first
            day_starts = np.full(len(day_first), nan)
            floor_equity = -np.inf
            count_day = -1
            count = 0
            last_entry_ns = 0

            cursor = 0
            signal = 0
            pending_exit = 0
            pending_entry = 0.0
            pending_lots = 0.0

            # The open position.
            lots = 0.0
            amount = 0.0
            side = 1.0
            entry_price = 0.0
            stop = 0.0
            target = 0.0
            liquidation = 0.0
            low_trigger = 0.0
            high_trigger = 0.0
            trail = 0.0
            water = 0.0
            has_trailed = False
            fakeout_price = 0.0
            timeout_price = 0.0
            signal_strength = 0.0
            weak_under = -np.inf
            levels_taken = 0
            next_level = nan
            opened = 0
            cost = 0.0
            sold = 0.0
            fees = 0.0
            paid_funding = 0.0
            num = 1.0
            den = 1.0

            t = first
            while t < last:
                if lots == 0.0 and pending_entry == 0.0:
                    # Flat: on to the next entry. Closes t … end - 1 all see the same equity.
                    while cursor < len(entry_bar) and entry_bar[cursor] < t:
                        cursor += 1
                    end = last
                    if not is_safe and cursor < len(entry_bar) and entry_bar[cursor] < last:
                        end = entry_bar[cursor] + 1
                    if keeps_curve:
                        equity[t - first : end - first] = cash
                    else:
                        change = cash / previous - 1.0
                        sums += change
                        squares += change * change
                        if change < 0.0:
                            squared_losses += change * change
                        lowest = min(lowest, cash)
                        previous = cash
                    if cash >= peak:
                        if not keeps_curve:
                            longest = max(longest, t - peak_bar - 1)
                            if lowest < peak:
                                max_drawdown = max(max_drawdown, (peak - lowest) / peak)
                            lowest = np.inf
                        peak = cash
                        peak_bar = end - 1
                        drawdown_floor = peak * drawdown_keeps
                    if not is_safe:
                        if (cash <= floor_equity and t < next_day) or cash <= drawdown_floor:
                            is_safe = True
                            safe_since = t
                        while next_day < end:
                            begun = next_day
                            while begun >= day_first[day + 1]:
                                day += 1
                            next_day = day_first[day + 1]
                            day_starts[day] = cash
                            week_start = cash
                            for past in range(max(day - WEEK_DAYS_BEFORE, 0), day):
                                if not isnan(day_starts[past]):
                                    week_start = day_starts[past]
                                    break
                            base = p[ALLOCATION]
                            if 0.0 < cash < base:
                                base = cash
                            floor_equity = -np.inf
                            if p[DAILY_LOSS] > 0.0:
                                floor_equity = cash - p[DAILY_LOSS] * base
                            if p[WEEKLY_LOSS] > 0.0:
                                floor_equity = max(floor_equity, week_start - p[WEEKLY_LOSS] * base)
                            if not is_safe and cash <= floor_equity:
                                is_safe = True
                                safe_since = begun
                        if is_safe and end < last:
                            # What was planned to be looked at is blocked; the rest of the way is flat.
                            t = end
                            continue
                    t = end - 1
                    if is_safe or cursor >= len(entry_bar) or entry_bar[cursor] != t:
                        t = end
                        continue
                    # Decide at the close of t.
                    now = open_time[t] + interval_ns
                    is_free = entries == 0 or now - last_entry_ns >= spacing_ns
                    if is_free and (count_day != day or count < entries_per_day):
                        signal = cursor
                        wanted_side = 1.0
                        if is_perpetual:
                            wanted_side = float(entry_side[cursor])
                        expected = market_price(
                            wanted_side > 0.0, now, closes[t], slippage, grid_from, grid_offset, band_start, band_num, band_den
                        )
                        expected_stop = 0.0
                        if sizes_by_stop:
                            band = band_of(now, expected, grid_from, grid_offset, band_start)
                            expected_stop, _target = protect(
                                p,
                                wanted_side,
                                expected,
                                entry_stop[signal] * p[STOP_SCALE],
                                entry_target[signal] * p[TARGET_SCALE],
                                band_num[band],
                                band_den[band],
                            )
                        pending_entry = size_entry(
                            p,
                            wanted_side,
                            expected,
                            expected_stop,
                            entry_atr[signal],
                            entry_hint[signal],
                            cash,
                            wins,
                            positions - wins,
                            win_returns,
                            loss_returns,
                        )
                        if is_perpetual and pending_entry > 0.0:
                            pending_lots = whole_lots(pending_entry * lots_per_unit / expected)
                            side = wanted_side
                    t += 1
                    continue

                # Something is held or comes in at this open.
                o = opens[t]
                at_ns = open_time[t]
                if pending_entry > 0.0:
                    entry_price = walked_price(
                        side > 0.0,
                        at_ns,
                        o,
                        pending_entry,
                        p,
                        depth_offset,
                        depth_quote,
                        grid_from,
                        grid_offset,
                        band_start,
                        band_num,
                        band_den,
                    )
                    lots = pending_lots if is_perpetual else whole_lots(pending_entry * lots_per_unit / entry_price)
                    amount = lots / lots_per_unit
                    cost = amount * entry_price
                    band = band_of(at_ns, entry_price, grid_from, grid_offset, band_start)
                    num = band_num[band]
                    den = band_den[band]
                    fees = cost * fee_rate
                    is_payable = True
                    if is_perpetual:
                        is_payable = cost / p[LEVERAGE] + fees <= cash
                    pending_entry = 0.0
                    if lots <= 0.0 or steps_up(entry_price, num, den) < 2.0 or not is_payable:
                        lots = 0.0  # refused by the exchange: nothing fits under this price, or its margin is gone
                        continue
                    if is_perpetual:
                        cash -= fees
                        liquidation = entry_price * (1.0 - side / p[LEVERAGE]) / (1.0 - side * p[MAINTENANCE])
                    else:
                        cash -= cost + fees
                    sold = 0.0
                    paid_funding = 0.0
                    turnover += cost
                    all_fees += fees
                    opened = t
                    entries += 1
                    last_entry_ns = at_ns
                    fill_day = day
                    while fill_day + 1 < len(day_begin) and day_begin[fill_day + 1] <= at_ns:
                        fill_day += 1
                    if fill_day != count_day:
                        count_day = fill_day
                        count = 0
                    count += 1
                    stop, target = protect(
                        p, side, entry_price, entry_stop[signal] * p[STOP_SCALE], entry_target[signal] * p[TARGET_SCALE], num, den
                    )
                    fakeout_price = entry_price - side * (entry_fakeout[signal] * p[FAKEOUT_SCALE])
                    timeout_price = entry_price * (1.0 + side * p[TIMEOUT_PROFIT])
                    signal_strength = entry_strength[signal]
                    trail = entry_atr[signal] * p[TRAIL_ATR]
                    water = entry_price
                    has_trailed = False
                    levels_taken = 0
                    next_level = nan
                    if level_count > 0:
                        next_level = level_price(side, entry_price, p[PROFIT_1], num, den)
                    if keeps_fills:
                        fill_bar[fills] = t
                        fill_side[fills] = 1 if side > 0.0 else -1
                        fill_reason[fills] = ENTRY
                        fill_where[fills] = AT_OPEN
                        fill_price[fills] = entry_price
                        fill_lots[fills] = int(lots)
                        fill_fee[fills] = fees
                    fills += 1

                    # Not a number compares false, so that an unknown strength weakens nothing.
                    weak_under = -np.inf
                    if weakens and weakening_ratio * signal_strength == weakening_ratio * signal_strength:
                        weak_under = min(weakening_adx, weakening_ratio * signal_strength)

                low_trigger, high_trigger = triggers(is_perpetual, side, stop, target, next_level, liquidation)
                guard = -np.inf if is_safe else max(floor_equity, drawdown_floor)
                watch = side * stop
                next_event = t
                while True:
                    # Bar t of a position. Whatever happens inside it is found by two comparisons, and at its close by four more:
                    # a bar held through costs a dozen instructions, everything else stands behind branches rarely taken.
                    i = np.uintp(t)  # an unsigned index needs no test for counting from the end
                    high = highs[i]
                    low = lows[i]
                    if has_funding and opened < t:
                        rate = funding[i]
                        if rate == rate and rate != 0.0:  # noqa: PLR0124 - NaN is "none due here"
                            due = side * (amount * opens[i] * rate)
                            cash -= due
                            paid_funding += due
                            all_funding += due
                    if low <= low_trigger or high >= high_trigger:
                        o = opens[t]
                        at_ns = open_time[t]
                        adverse = low if side > 0.0 else high
                        favourable = high if side > 0.0 else low
                        where = AT_OPEN
                        while lots > 0.0:
                            reason = 0
                            at = o
                            if pending_exit != 0:
                                reason = pending_exit
                            elif where == AT_OPEN:
                                if is_perpetual and side * o <= side * liquidation:
                                    reason = LIQUIDATION
                                elif side * o <= side * stop:
                                    reason = TRAILING if has_trailed else STOP
                                elif side * o >= side * target:
                                    reason = TARGET
                                elif levels_taken < level_count and side * o >= side * next_level:
                                    reason = PARTIAL
                                else:
                                    where = AT_ADVERSE
                                    continue
                            elif where == AT_ADVERSE:
                                if is_perpetual and side * liquidation > side * stop and side * adverse <= side * liquidation:
                                    reason = LIQUIDATION
                                    at = liquidation
                                elif side * adverse <= side * stop:
                                    reason = TRAILING if has_trailed else STOP
                                    at = stop
                                else:
                                    where = AT_FAVOURABLE
                                    continue
                            elif levels_taken < level_count and side * next_level < side * target:
                                if side * favourable < side * next_level:
                                    break
                                reason = PARTIAL
                                at = next_level
                            else:
                                if side * favourable < side * target:
                                    break
                                reason = TARGET
                                at = target
                            selling = lots
                            if reason == PARTIAL:
                                selling = min(whole_lots(lots * p[PROFIT_1 + 2 * levels_taken + 1]), lots)
                                if (lots - selling) / lots_per_unit * at < minimum_total:
                                    selling = lots
                                if selling / lots_per_unit * at < minimum_total:
                                    selling = 0.0
                                levels_taken += 1
                                next_level = nan
                                if levels_taken < level_count:
                                    next_level = level_price(side, entry_price, p[PROFIT_1 + 2 * levels_taken], num, den)
                                if selling == 0.0:
                                    continue
                            part = selling / lots_per_unit
                            if reason == LIQUIDATION:
                                price = entry_price * (1.0 - side / p[LEVERAGE])  # the margin is lost whole
                                fee = 0.0
                            else:
                                price = walked_price(
                                    side < 0.0,
                                    at_ns,
                                    at,
                                    part * at,
                                    p,
                                    depth_offset,
                                    depth_quote,
                                    grid_from,
                                    grid_offset,
                                    band_start,
                                    band_num,
                                    band_den,
                                )
                                fee = part * price * fee_rate
                            total = part * price
                            if is_perpetual:
                                cash += side * (price - entry_price) * part - fee
                            else:
                                cash += total - fee
                            sold += total
                            fees += fee
                            turnover += total
                            all_fees += fee
                            lots -= selling
                            amount = lots / lots_per_unit
                            pending_exit = 0
                            if keeps_fills:
                                fill_bar[fills] = t
                                fill_side[fills] = -1 if side > 0.0 else 1
                                fill_reason[fills] = reason
                                fill_where[fills] = where
                                fill_price[fills] = price
                                fill_lots[fills] = int(selling)
                                fill_fee[fills] = fee
                            fills += 1
                            if lots == 0.0:
                                net = side * (sold - cost) - fees - paid_funding
                                positions += 1.0
                                holding_bars += t - opened
                                if reason == LIQUIDATION:
                                    liquidations += 1
                                if net > 0.0:
                                    wins += 1.0
                                    gross_win += net
                                    win_returns += net / cost
                                    win_run += 1
                                    loss_run = 0
                                    most_wins = max(most_wins, win_run)
                                else:
                                    gross_loss -= net
                                    loss_returns -= net / cost
                                    loss_run += 1
                                    win_run = 0
                                    most_losses = max(most_losses, loss_run)
                                    if p[LOSS_STREAK] > 0.0 and loss_run >= p[LOSS_STREAK] and not is_safe:
                                        is_safe = True
                                        safe_since = t
                        if lots == 0.0:
                            break  # the close of this bar is flat
                        low_trigger, high_trigger = triggers(is_perpetual, side, stop, target, next_level, liquidation)
                    close = closes[i]
                    # The stop follows the best price seen at closes.
                    best = high if side > 0.0 else low
                    if side * best > side * water:
                        water = best
                        followed = best - side * trail
                        if trails and side * followed > side * stop:
                            band = band_of(open_time[i] + interval_ns, followed, grid_from, grid_offset, band_start)
                            num_then = band_num[band]
                            den_then = band_den[band]
                            steps = steps_up(followed, num_then, den_then)
                            if side < 0.0:
                                steps = max(steps_down(followed, num_then, den_then), 1.0)
                            stop = on_grid(steps, num_then, den_then)
                            has_trailed = True
                            watch = max(watch, side * stop)
                            low_trigger, high_trigger = triggers(is_perpetual, side, stop, target, next_level, liquidation)
                    worth = cash + side * (close - entry_price) * amount if is_perpetual else cash + amount * close
                    if keeps_curve:
                        equity[np.uintp(t - first)] = worth
                    else:
                        change = worth / previous - 1.0
                        sums += change
                        squares += change * change
                        if change < 0.0:
                            squared_losses += change * change
                        lowest = min(lowest, worth)
                        previous = worth
                    if worth >= peak:
                        if not keeps_curve:
                            longest = max(longest, t - peak_bar - 1)
                            if lowest < peak:
                                max_drawdown = max(max_drawdown, (peak - lowest) / peak)
                            lowest = np.inf
                        peak = worth
                        peak_bar = t
                        drawdown_floor = peak * drawdown_keeps
                        if not is_safe:
                            guard = max(floor_equity, drawdown_floor)
                    if t >= next_event:
                        # A trading day begins, or a rule of the close starts or ends to hold.
                        next_event = last
                        if not is_safe:
                            if t >= next_day:
                                while t >= day_first[day + 1]:
                                    day += 1
                                next_day = day_first[day + 1]
                                day_starts[day] = worth
                                week_start = worth
                                for past in range(max(day - WEEK_DAYS_BEFORE, 0), day):
                                    if not isnan(day_starts[past]):
                                        week_start = day_starts[past]
                                        break
                                base = p[ALLOCATION]
                                if 0.0 < worth < base:
                                    base = worth
                                floor_equity = -np.inf
                                if p[DAILY_LOSS] > 0.0:
                                    floor_equity = worth - p[DAILY_LOSS] * base
                                if p[WEEKLY_LOSS] > 0.0:
                                    floor_equity = max(floor_equity, week_start - p[WEEKLY_LOSS] * base)
                                guard = max(floor_equity, drawdown_floor)
                            next_event = min(next_event, next_day)
                        watch = side * stop
                        if t < opened + 1:
                            next_event = min(next_event, opened + 1)
                        elif t <= opened + fakeout_bars:
                            next_event = min(next_event, opened + fakeout_bars + 1)
                            watch = max(watch, side * fakeout_price)
                        if timeout_bars > 0:
                            if t <= opened + timeout_bars:
                                next_event = min(next_event, opened + timeout_bars + 1)
                            elif side * timeout_price > watch:
                                watch = side * timeout_price
                        if hold_bars > 0:
                            if t + 1 < opened + hold_bars:
                                next_event = min(next_event, opened + hold_bars - 1)
                            else:
                                watch = np.inf
                    if worth <= guard:
                        is_safe = True
                        safe_since = t
                        guard = -np.inf
                    # Leave at the next open? The order is that of the rules; `watch` is the highest price any of them asks for.
                    if side * close <= watch or (weakens and strength[i] < weak_under):
                        age = t - opened
                        if side * close <= side * stop:
                            pending_exit = TRAILING if has_trailed else STOP
                        elif 1 <= age <= fakeout_bars and side * close < side * fakeout_price:
                            pending_exit = FAKEOUT
                        elif weakens and strength[i] < weak_under:
                            pending_exit = WEAKENING
                        elif age > timeout_bars > 0 and side * close < side * timeout_price:
                            pending_exit = TIMEOUT
                        elif hold_bars > 0 and age + 1 >= hold_bars:
                            pending_exit = HOLD
                    if pending_exit == 0:
                        if side > 0.0:
                            if says_leave_long and leave_long[i] == YES:
                                pending_exit = SIGNAL
                        elif says_leave_short and leave_short[i] == YES:
                            pending_exit = SIGNAL
                    if pending_exit != 0:
                        low_trigger = np.inf  # whatever the next bar does, its open is looked at
                    t += 1
                    if t >= last:
                        break

            final = cash
            bars_held = holding_bars
            if lots > 0.0:
                bars_held += last - opened
                final = cash + side * (closes[last - 1] - entry_price) * amount if is_perpetual else cash + amount * closes[last - 1]
            if not keeps_curve:
                longest = max(longest, last - 1 - peak_bar)
                if lowest < peak:
                    max_drawdown = max(max_drawdown, (peak - lowest) / peak)
            results[number, R_FINAL] = final
            results[number, R_BARS] = last - first
            results[number, R_SUM] = sums
            results[number, R_SQUARES] = squares
            results[number, R_LOSSES] = squared_losses
            results[number, R_DRAWDOWN] = max_drawdown
            results[number, R_UNDER] = longest
            results[number, R_POSITIONS] = positions
            results[number, R_WINS] = wins
            results[number, R_GROSS_WIN] = gross_win
            results[number, R_GROSS_LOSS] = gross_loss
            results[number, R_WIN_RETURNS] = win_returns
            results[number, R_LOSS_RETURNS] = loss_returns
            results[number, R_MOST_WINS] = most_wins
            results[number, R_MOST_LOSSES] = most_losses
            results[number, R_BARS_HELD] = bars_held
            results[number, R_HOLDING] = holding_bars
            results[number, R_TURNOVER] = turnover
            results[number, R_FEES] = all_fees
            results[number, R_FUNDING] = all_funding
            results[number, R_LIQUIDATIONS] = liquidations
            results[number, R_ENTRIES] = entries
            results[number, R_SAFE] = safe_since
            results[number, R_FILLS] = fills
            results[number, R_HELD] = side * lots
        return fills

    return walk  # type: ignore[no-any-return]


def _column(kind: types.Type, *, is_input: bool) -> types.Array:
    return types.Array(kind, 1, "C", readonly=is_input)


_TIMES, _NUMBERS, _ANSWERS = (_column(kind, is_input=True) for kind in (types.int64, types.float64, types.int8))
_OUT_INDEX, _OUT_NUMBERS, _OUT_CODES = (_column(kind, is_input=False) for kind in (types.int64, types.float64, types.int8))
_ROWS_IN, _ROWS_OUT = (types.Array(types.float64, 2, "C", readonly=is_input) for is_input in (True, False))
_SIGNATURE = types.int64(
    types.int64,  # first bar
    types.int64,  # last bar, not included
    _TIMES,
    *[_NUMBERS] * 5,  # open, high, low, close, funding
    _TIMES,  # entry bar
    _ANSWERS,  # entry side
    *[_NUMBERS] * 7,  # stop, target, fake-out, ATR, strength, hint; strength of every bar
    *[_ANSWERS] * 2,  # leave long, leave short
    *[_TIMES] * 4,  # trading days: first bar, begin; grids: from, offset
    *[_NUMBERS] * 5,  # bands, book
    _TIMES,  # members
    _ROWS_IN,  # settings
    _OUT_INDEX,
    *[_OUT_CODES] * 3,
    _OUT_NUMBERS,
    _OUT_INDEX,
    *[_OUT_NUMBERS] * 2,
    _ROWS_OUT,  # results
)


@njit(types.void(types.int64, types.int64, _NUMBERS, types.float64, _OUT_NUMBERS), cache=True, nogil=True, error_model="numpy")
def measure_curve(first: int, last: int, equity: Any, cash: float, results: Any) -> None:
    """The statistics of a kept curve, in the order of the walk that keeps none. equity: (last - first,), closes of [first, last)."""
    changes = np.empty(CURVE_BLOCK)
    peak = cash
    peak_bar = first - 1
    lowest = np.inf
    sums = 0.0
    squares = 0.0
    squared_losses = 0.0
    max_drawdown = 0.0
    longest = 0
    for start in range(0, last - first, CURVE_BLOCK):
        # The quotients wait for nothing, so they are taken together; the sums keep their order.
        part = equity[start : min(start + CURVE_BLOCK, last - first)]
        changes[0] = part[0] / (cash if start == 0 else equity[start - 1]) - 1.0
        now, before, rest = part[1:], part[:-1], changes[1:]
        for i in range(len(now)):
            rest[i] = now[i] / before[i] - 1.0
        for i in range(len(part)):
            change = changes[i]
            sums += change
            squares += change * change
            squared_losses += change * change if change < 0.0 else 0.0
            worth = part[i]
            lowest = min(lowest, worth)
            if worth >= peak:
                t = first + start + i
                longest = max(longest, t - peak_bar - 1)
                if lowest < peak:
                    max_drawdown = max(max_drawdown, (peak - lowest) / peak)
                lowest = np.inf
                peak = worth
                peak_bar = t
    if lowest < peak:
        max_drawdown = max(max_drawdown, (peak - lowest) / peak)
    results[R_SUM] = sums
    results[R_SQUARES] = squares
    results[R_LOSSES] = squared_losses
    results[R_DRAWDOWN] = max_drawdown
    results[R_UNDER] = max(longest, last - 1 - peak_bar)


walk_spot = _make(is_perpetual=False)
walk_perpetual = _make(is_perpetual=True)
