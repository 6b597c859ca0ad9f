"""The kernels: one for spot, one for perpetuals, made of one text. Arrays in, arrays out, one pass, no objects.

Inside a bar, as DESIGN §5 has it:

    open ─ funding ─ orders decided at the last close ─ guardian: at the open ─ adverse ─ favourable ─ close
         ─ stop follows ─ equity ─ trading day, breakers ─ decide: leave, or enter at the next open

Flat bars are skipped through the list of entries; only trading days that begin among them are looked at. Floats are combined in
the order of the twin in `tests/engine_twin.py`, without fastmath, so that both give the same bits.
"""

from collections.abc import Callable
from math import nan
from typing import Any

import numpy as np
from numba import njit, types

from backtests.engine import kernel_cache
from backtests.engine.breakers import start_day
from backtests.engine.exits import (
    LIQUIDATION,
    NOTHING,
    PARTIAL,
    SIGNAL,
    level_after,
    liquidation_price,
    next_exit,
    part_of,
    protect,
    raised_stop,
    reason_to_leave,
    triggers,
)
from backtests.engine.grid import steps_up, tick_of, walked_price, whole_lots
from backtests.engine.layout import AT_OPEN, ENTRY, R, S
from backtests.engine.sizing import plan_entry

kernel_cache.settle()

YES = 1
CURVE_BLOCK = 1024  # bars


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
            fee_rate = p[S.FEE_RATE]
            slippage = p[S.SLIPPAGE]
            allocation = p[S.ALLOCATION]
            daily_loss = p[S.DAILY_LOSS]
            weekly_loss = p[S.WEEKLY_LOSS]
            grid = (grid_from, grid_offset, band_start, band_num, band_den)
            book = (depth_offset, depth_quote)
            lots_per_unit = p[S.LOTS_PER_UNIT]
            interval_ns = int(p[S.INTERVAL_NS])
            spacing_ns = int(p[S.SPACING_NS])
            entries_per_day = int(p[S.ENTRIES_PER_DAY])
            fakeout_bars = int(p[S.FAKEOUT_BARS])
            weakening_adx = p[S.WEAKENING_ADX]
            weakening_ratio = p[S.WEAKENING_RATIO]
            timeout_bars = int(p[S.TIMEOUT_BARS])
            hold_bars = int(p[S.HOLD_BARS])
            weakens = weakening_adx > 0.0 and len(strength) > 0
            trails = p[S.TRAIL_ATR] > 0.0
            says_leave_long = len(leave_long) > 0
            says_leave_short = len(leave_short) > 0
            has_funding = is_perpetual and len(funding) > 0
            drawdown_keeps = 1.0 - p[S.DRAWDOWN] if p[S.DRAWDOWN] > 0.0 else -np.inf

            cash = p[S.CASH]
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
            pending_exit = NOTHING
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
                            floor_equity = start_day(day, cash, allocation, daily_loss, weekly_loss, day_starts)
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
                        pending_entry, expected = plan_entry(
                            p,
                            wanted_side,
                            now,
                            closes[t],
                            entry_stop[signal],
                            entry_target[signal],
                            entry_atr[signal],
                            entry_hint[signal],
                            allocation + (cash - p[S.CASH]),
                            cash,
                            np.inf,
                            wins,
                            positions - wins,
                            win_returns,
                            loss_returns,
                            grid,
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
                    entry_price = walked_price(side > 0.0, at_ns, o, pending_entry, slippage, book, grid)
                    lots = pending_lots if is_perpetual else whole_lots(pending_entry * lots_per_unit / entry_price)
                    amount = lots / lots_per_unit
                    cost = amount * entry_price
                    num, den = tick_of(at_ns, entry_price, grid)
                    fees = cost * fee_rate
                    is_payable = True
                    if is_perpetual:
                        is_payable = cost / p[S.LEVERAGE] + fees <= cash
                    pending_entry = 0.0
                    if lots <= 0.0 or steps_up(entry_price, num, den) < 2.0 or not is_payable:
                        lots = 0.0  # refused by the exchange: nothing fits under this price, or its margin is gone
                        continue
                    if is_perpetual:
                        cash -= fees
                        liquidation = liquidation_price(p, side, entry_price)
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
                        p, side, entry_price, entry_stop[signal] * p[S.STOP_SCALE], entry_target[signal] * p[S.TARGET_SCALE], num, den
                    )
                    fakeout_price = entry_price - side * (entry_fakeout[signal] * p[S.FAKEOUT_SCALE])
                    timeout_price = entry_price * (1.0 + side * p[S.TIMEOUT_PROFIT])
                    signal_strength = entry_strength[signal]
                    trail = entry_atr[signal] * p[S.TRAIL_ATR]
                    water = entry_price
                    has_trailed = False
                    levels_taken = 0
                    next_level = level_after(p, 0, side, entry_price, num, den)
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
                        where = AT_OPEN
                        while lots > 0.0:
                            reason, at, where = next_exit(
                                is_perpetual, pending_exit, where, side, o, high, low, stop, target, next_level, liquidation, has_trailed
                            )
                            if reason == NOTHING:
                                break
                            selling = lots
                            if reason == PARTIAL:
                                selling = part_of(p, lots, levels_taken, at)
                                levels_taken += 1
                                next_level = level_after(p, levels_taken, side, entry_price, num, den)
                                if selling == 0.0:
                                    continue
                            part = selling / lots_per_unit
                            if reason == LIQUIDATION:
                                price = entry_price * (1.0 - side / p[S.LEVERAGE])  # the margin is lost whole
                                fee = 0.0
                            else:
                                price = walked_price(side < 0.0, at_ns, at, part * at, slippage, book, grid)
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
                            pending_exit = NOTHING
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
                                    if p[S.LOSS_STREAK] > 0.0 and loss_run >= p[S.LOSS_STREAK] and not is_safe:
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
                            stop = raised_stop(side, followed, open_time[i] + interval_ns, grid)
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
                                floor_equity = start_day(day, worth, allocation, daily_loss, weekly_loss, day_starts)
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
                        is_weak = weakens and strength[i] < weak_under
                        pending_exit = reason_to_leave(p, side, t - opened, close, stop, has_trailed, fakeout_price, is_weak, timeout_price)
                    if pending_exit == NOTHING:
                        if side > 0.0:
                            if says_leave_long and leave_long[i] == YES:
                                pending_exit = SIGNAL
                        elif says_leave_short and leave_short[i] == YES:
                            pending_exit = SIGNAL
                    if pending_exit != NOTHING:
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
            results[number, R.FINAL_EQUITY] = final
            results[number, R.BARS] = last - first
            results[number, R.SUM_RETURNS] = sums
            results[number, R.SUM_SQUARES] = squares
            results[number, R.SUM_SQUARED_LOSSES] = squared_losses
            results[number, R.MAX_DRAWDOWN] = max_drawdown
            results[number, R.LONGEST_DRAWDOWN] = longest
            results[number, R.POSITIONS] = positions
            results[number, R.WINS] = wins
            results[number, R.GROSS_WIN] = gross_win
            results[number, R.GROSS_LOSS] = gross_loss
            results[number, R.SUM_WIN_RETURNS] = win_returns
            results[number, R.SUM_LOSS_RETURNS] = loss_returns
            results[number, R.MOST_WINS] = most_wins
            results[number, R.MOST_LOSSES] = most_losses
            results[number, R.BARS_HELD] = bars_held
            results[number, R.HOLDING_BARS] = holding_bars
            results[number, R.TURNOVER] = turnover
            results[number, R.FEES] = all_fees
            results[number, R.FUNDING] = all_funding
            results[number, R.LIQUIDATIONS] = liquidations
            results[number, R.ENTRIES] = entries
            results[number, R.SAFE_SINCE] = safe_since
            results[number, R.FILLS] = fills
            results[number, R.HELD_LOTS] = side * lots
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
    results[R.SUM_RETURNS] = sums
    results[R.SUM_SQUARES] = squares
    results[R.SUM_SQUARED_LOSSES] = squared_losses
    results[R.MAX_DRAWDOWN] = max_drawdown
    results[R.LONGEST_DRAWDOWN] = max(longest, last - 1 - peak_bar)


walk_spot = _make(is_perpetual=False)
walk_perpetual = _make(is_perpetual=True)
