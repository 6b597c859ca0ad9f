"""The kernel of several symbols that share cash. Arrays in, arrays out, bar by bar over the union of their times.

At each time, for the symbols that have a bar there, always in their order:

    funding ─ exits decided at their last close ─ entries decided there ─ guardian walks the bar ─ stops follow
    ─ equity with the last close of all ─ trading day, breakers ─ decide: exits, then entries while cash and limits allow

A symbol without a bar is worth its last close and does not trade; what was ordered for it waits for its next bar, and what that
will cost stays reserved. Sizing, exits and breakers are those of `kernel.py`; floats are combined in the order of the twin in
`tests/portfolio_twin.py`, and with one symbol in that of the single kernel, so that all give the same bits.
"""

from math import inf, nan
from typing import Any

import numpy as np
from numba import from_dtype, njit, types

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
)
from backtests.engine.grid import steps_up, tick_of, walked_price, whole_lots
from backtests.engine.layout import AT_OPEN, ENTRY, A, R, S
from backtests.engine.sizing import plan_entry

kernel_cache.settle()

YES = 1

# Where a symbol's rows stand in the columns that all symbols share: [from, to) of each kind.
PLACE = np.dtype([(name, np.int64, 2) for name in ("bars", "entries", "grids", "bands", "depth")])

# One symbol on its way. Prices and money in quote currency; what a name means is what it means in `kernel.py`.
STATE = np.dtype(
    [
        ("bar", np.int64),  # of this time; -1 without one
        ("next_bar", np.int64),
        ("next_entry", np.int64),
        ("close", np.float64),  # the last one seen
        ("leaving", np.int64),  # reason decided at the last close
        ("quote", np.float64),  # ordered for the next bar, 0 nothing
        ("quote_lots", np.float64),
        ("signal", np.int64),
        ("side", np.float64),
        ("lots", np.float64),
        ("amount", np.float64),
        ("entry_price", np.float64),
        ("cost", np.float64),
        ("sold", np.float64),
        ("fees", np.float64),
        ("funding", np.float64),
        ("stop", np.float64),
        ("target", np.float64),
        ("liquidation", np.float64),
        ("has_trailed", np.bool_),
        ("trail", np.float64),
        ("water", np.float64),
        ("fakeout_price", np.float64),
        ("timeout_price", np.float64),
        ("weak_under", np.float64),
        ("levels_taken", np.int64),
        ("next_level", np.float64),
        ("num", np.float64),
        ("den", np.float64),
        ("opened", np.int64),
        ("last_entry_ns", np.int64),
        ("count_day", np.int64),
        ("count", np.int64),  # entries of that day
        ("wins_run", np.int64),
        ("losses_run", np.int64),
    ],
    align=True,
)

ACCOUNT = np.dtype(
    [
        ("cash", np.float64),
        ("is_safe", np.bool_),
        ("safe_since", np.int64),  # place in the times
        ("count_day", np.int64),
        ("count", np.int64),
        ("wins_run", np.int64),
        ("losses_run", np.int64),
        ("most_wins", np.int64),
        ("most_losses", np.int64),
        ("times_held", np.int64),
        ("fills", np.int64),
    ],
    align=True,
)


@njit(nogil=True, error_model="numpy")
def _grid_of(place: Any, number: int, grids: Any) -> Any:
    """A symbol's own grid columns; `grid_offset` has one row more per symbol than there are grids."""
    grid_from, grid_offset, band_start, band_num, band_den = grids
    start, end = place.grids[0], place.grids[1]
    low, high = place.bands[0], place.bands[1]
    offsets = grid_offset[start + number : end + number + 1]
    return grid_from[start:end], offsets, band_start[low:high], band_num[low:high], band_den[low:high]


@njit(nogil=True, error_model="numpy")
def _book_of(place: Any, books: Any) -> Any:
    start, end = place.depth[0], place.depth[1]
    return books[0][start:end], books[1][start:end]


@njit(nogil=True, error_model="numpy")
def _note(
    number: int, h: Any, account: Any, side: float, reason: int, where: int, price: float, lots: float, fee: float, fills: Any
) -> None:
    """Write one fill."""
    fill_symbol, fill_bar, fill_side, fill_reason, fill_where, fill_price, fill_lots, fill_fee = fills
    at = account.fills
    fill_symbol[at] = number
    fill_bar[at] = h.bar
    fill_side[at] = 1 if side > 0.0 else -1
    fill_reason[at] = reason
    fill_where[at] = where
    fill_price[at] = price
    fill_lots[at] = int(lots)
    fill_fee[at] = fee
    account.fills += 1


@njit(nogil=True, error_model="numpy")
def _close(now: int, h: Any, account: Any, limits: Any, row: Any, reason: int) -> None:
    """Count a position that has ended."""
    net = h.side * (h.sold - h.cost) - h.fees - h.funding
    row[R.POSITIONS] += 1.0
    row[R.HOLDING_BARS] += h.bar - h.opened
    if reason == LIQUIDATION:
        row[R.LIQUIDATIONS] += 1.0
    if net > 0.0:
        row[R.WINS] += 1.0
        row[R.GROSS_WIN] += net
        row[R.SUM_WIN_RETURNS] += net / h.cost
        h.wins_run += 1
        h.losses_run = 0
        row[R.MOST_WINS] = max(row[R.MOST_WINS], float(h.wins_run))
        account.wins_run += 1
        account.losses_run = 0
        account.most_wins = max(account.most_wins, account.wins_run)
        return
    row[R.GROSS_LOSS] -= net
    row[R.SUM_LOSS_RETURNS] -= net / h.cost
    h.losses_run += 1
    h.wins_run = 0
    row[R.MOST_LOSSES] = max(row[R.MOST_LOSSES], float(h.losses_run))
    account.losses_run += 1
    account.wins_run = 0
    account.most_losses = max(account.most_losses, account.losses_run)
    if limits[A.LOSS_STREAK] > 0.0 and account.losses_run >= limits[A.LOSS_STREAK] and not account.is_safe:
        account.is_safe = True
        account.safe_since = now


@njit(nogil=True, error_model="numpy")
def _sell(
    now: int,
    number: int,
    is_perpetual: bool,
    p: Any,
    h: Any,
    account: Any,
    limits: Any,
    row: Any,
    at_ns: int,
    at: float,
    selling: float,
    reason: int,
    where: int,
    grid: Any,
    book: Any,
    fills: Any,
) -> None:
    """Sell lots (buy them back, short) at the market price `at`; a liquidation takes the margin whole."""
    part = selling / p[S.LOTS_PER_UNIT]
    if reason == LIQUIDATION:
        price = h.entry_price * (1.0 - h.side / p[S.LEVERAGE])
        fee = 0.0
    else:
        price = walked_price(h.side < 0.0, at_ns, at, part * at, p[S.SLIPPAGE], book, grid)
        fee = part * price * p[S.FEE_RATE]
    total = part * price
    if is_perpetual:
        account.cash += h.side * (price - h.entry_price) * part - fee
    else:
        account.cash += total - fee
    h.sold += total
    h.fees += fee
    row[R.TURNOVER] += total
    row[R.FEES] += fee
    row[R.FILLS] += 1.0
    h.lots -= selling
    h.amount = h.lots / p[S.LOTS_PER_UNIT]
    _note(number, h, account, -h.side, reason, where, price, selling, fee, fills)
    if h.lots == 0.0:
        _close(now, h, account, limits, row, reason)


@njit(nogil=True, error_model="numpy")
def _enter(
    number: int,
    is_perpetual: bool,
    p: Any,
    h: Any,
    account: Any,
    row: Any,
    at_ns: int,
    at: float,
    free: float,
    fill_day: int,
    said: Any,
    grid: Any,
    book: Any,
    fills: Any,
) -> None:
    """Fill what was ordered, or let the exchange refuse it: nothing fits under this price, or its margin is gone."""
    _side, entry_stop, entry_target, entry_fakeout, entry_atr, entry_strength, _hint = said
    signal, quote = h.signal, h.quote
    h.quote = 0.0
    price = walked_price(h.side > 0.0, at_ns, at, quote, p[S.SLIPPAGE], book, grid)
    lots = h.quote_lots if is_perpetual else whole_lots(quote * p[S.LOTS_PER_UNIT] / price)
    amount = lots / p[S.LOTS_PER_UNIT]
    cost = amount * price
    fee = cost * p[S.FEE_RATE]
    num, den = tick_of(at_ns, price, grid)
    if lots <= 0.0 or steps_up(price, num, den) < 2.0 or (is_perpetual and not cost / p[S.LEVERAGE] + fee <= free):
        return
    if is_perpetual:
        account.cash -= fee
    else:
        account.cash -= cost + fee
    side = h.side
    h.lots, h.amount, h.entry_price, h.cost, h.fees = lots, amount, price, cost, fee
    h.sold, h.funding, h.num, h.den, h.opened = 0.0, 0.0, num, den, h.bar
    h.liquidation = liquidation_price(p, side, price)
    h.stop, h.target = protect(p, side, price, entry_stop[signal] * p[S.STOP_SCALE], entry_target[signal] * p[S.TARGET_SCALE], num, den)
    h.fakeout_price = price - side * (entry_fakeout[signal] * p[S.FAKEOUT_SCALE])
    h.timeout_price = price * (1.0 + side * p[S.TIMEOUT_PROFIT])
    h.trail, h.water, h.has_trailed = entry_atr[signal] * p[S.TRAIL_ATR], price, False
    h.levels_taken, h.next_level = 0, level_after(p, 0, side, price, num, den)
    weak = p[S.WEAKENING_RATIO] * entry_strength[signal]
    h.weak_under = min(p[S.WEAKENING_ADX], weak) if p[S.WEAKENING_ADX] > 0.0 and weak == weak else -inf  # noqa: PLR0124 - NaN: unknown
    h.last_entry_ns = at_ns
    h.count = h.count + 1 if h.count_day == fill_day else 1
    h.count_day = fill_day
    account.count = account.count + 1 if account.count_day == fill_day else 1
    account.count_day = fill_day
    row[R.ENTRIES] += 1.0
    row[R.TURNOVER] += cost
    row[R.FEES] += fee
    row[R.FILLS] += 1.0
    _note(number, h, account, side, ENTRY, AT_OPEN, price, lots, fee, fills)


@njit(nogil=True, error_model="numpy")
def _locked(is_perpetual: bool, settings: Any, states: Any, with_orders: bool) -> float:
    """Cash that is not free though it is there: margin of open perpetuals and, `with_orders`, what ordered entries will cost."""
    locked = 0.0
    for number in range(len(states)):
        h = states[number]
        if is_perpetual and h.lots > 0.0:
            locked += h.amount * h.entry_price / settings[number, S.LEVERAGE]
        if with_orders and h.quote > 0.0:
            locked += h.quote / settings[number, S.LEVERAGE] + h.quote * settings[number, S.FEE_RATE]
    return locked


@njit(nogil=True, error_model="numpy")
def _room(is_perpetual: bool, limits: Any, settings: Any, states: Any, cash: float, worth: float, fee_rate: float) -> float:
    """What the exposure limit leaves for one more entry, quote without its fee: `risk.domain.exposure` in floats."""
    if not limits[A.EXPOSURE] > 0.0:
        return inf
    at_stake = 0.0
    equity = cash
    for number in range(len(states)):
        h = states[number]
        cost = h.amount * h.entry_price if h.lots > 0.0 else 0.0
        if not is_perpetual:
            equity += cost
        at_stake += (cost + h.quote) * (1.0 + settings[number, S.FEE_RATE])
    return max((limits[A.EXPOSURE] * max(min(equity, worth), 0.0) - at_stake) / (1.0 + fee_rate), 0.0)


def _column(kind: types.Type, *, is_input: bool) -> types.Array:
    return types.Array(kind, 1, "C", readonly=is_input)


_TIMES, _NUMBERS, _ANSWERS = (_column(kind, is_input=True) for kind in (types.int64, types.float64, types.int8))
_OUT_INDEX, _OUT_NUMBERS, _OUT_CODES = (_column(kind, is_input=False) for kind in (types.int64, types.float64, types.int8))
_SIGNATURE = types.void(
    _TIMES,
    types.boolean,  # is_perpetual
    _NUMBERS,  # limits
    types.Array(types.float64, 2, "C", readonly=True),  # settings
    types.Array(from_dtype(PLACE), 1, "C", readonly=True),
    types.Tuple((_TIMES, *[_NUMBERS] * 6, *[_ANSWERS] * 2)),  # bars
    _TIMES,  # entry bar
    types.Tuple((_ANSWERS, *[_NUMBERS] * 6)),  # what is said there
    types.Tuple((_TIMES, _TIMES)),  # trading days: first time, begin
    types.Tuple((_TIMES, _TIMES, _NUMBERS, _NUMBERS, _NUMBERS)),  # grids
    types.Tuple((_NUMBERS, _NUMBERS)),  # books
    types.Array(from_dtype(STATE), 1, "C"),
    types.Array(from_dtype(ACCOUNT), 1, "C"),
    types.Tuple((_OUT_INDEX, _OUT_INDEX, *[_OUT_CODES] * 3, _OUT_NUMBERS, _OUT_INDEX, _OUT_NUMBERS)),  # fills
    _OUT_NUMBERS,  # equity
    types.Array(types.float64, 2, "C"),  # results
)


@njit(_SIGNATURE, cache=True, nogil=True, error_model="numpy")
def walk_portfolio(  # noqa: PLR0912, PLR0915 - one straight story, a leg after another
    times: Any,
    is_perpetual: bool,
    limits: Any,
    settings: Any,
    places: Any,
    bars: Any,
    entry_bar: Any,
    said: Any,
    days: Any,
    grids: Any,
    books: Any,
    states: Any,
    accounts: Any,
    fills: Any,
    equity: Any,
    results: Any,
) -> None:
    """Trade `times` (t,), the sorted union of the symbols' open times. settings: (symbols, SETTINGS), limits: (A,) float64.

    bars: open_time, open, high, low, close, funding, strength, leave_long, leave_short, each symbol's behind the other's as
    `places` says; funding NaN or 0 where none is due. entry_bar: places in those columns; said: side, stop, target, fake-out, ATR,
    strength, hint there. Writes states, accounts (1,), fills, equity (t,) and results (symbols, RESULTS).
    """
    open_time, opens, highs, lows, closes, funding, strength, leave_long, leave_short = bars
    entry_stop, entry_target, entry_atr, entry_hint = said[1], said[2], said[4], said[6]
    day_first, day_begin = days
    account = accounts[0]
    account.cash = limits[A.CASH]
    account.safe_since = -1
    account.count_day = -1
    count = len(states)
    for number in range(count):
        states[number].next_bar = places[number].bars[0]
        states[number].next_entry = places[number].entries[0]
        states[number].count_day = -1
    interval_ns = int(settings[0, S.INTERVAL_NS])
    day_starts = np.full(len(day_first), nan)
    day = -1
    fill_day = 0
    floor = -inf
    peak = account.cash
    keeps = 1.0 - limits[A.DRAWDOWN] if limits[A.DRAWDOWN] > 0.0 else -inf

    for now in range(len(times)):
        at_ns = times[now]
        has_orders = False
        has_held = False
        wants = False
        for number in range(count):
            h, place = states[number], places[number]
            h.bar = -1
            if h.next_bar < place.bars[1] and open_time[h.next_bar] == at_ns:
                h.bar = h.next_bar
                h.next_bar += 1
                h.close = closes[h.bar]
                while h.next_entry < place.entries[1] and entry_bar[h.next_entry] < h.bar:
                    h.next_entry += 1
                wants = wants or (h.next_entry < place.entries[1] and entry_bar[h.next_entry] == h.bar)
            has_orders = has_orders or (h.bar >= 0 and h.quote > 0.0)
            has_held = has_held or h.lots > 0.0

        if has_held or has_orders:
            # The open: funding, exits, entries.
            for number in range(count):
                h = states[number]
                if h.bar < 0 or h.lots == 0.0:
                    continue
                p = settings[number]
                rate = funding[h.bar]
                if is_perpetual and rate == rate and rate != 0.0:  # noqa: PLR0124 - NaN is "none due here"
                    due = h.side * (h.amount * opens[h.bar] * rate)
                    account.cash -= due
                    h.funding += due
                    results[number, R.FUNDING] += due
                if h.leaving != NOTHING:
                    grid, book = _grid_of(places[number], number, grids), _book_of(places[number], books)
                    reason, row, at = h.leaving, results[number], opens[h.bar]
                    h.leaving = NOTHING
                    _sell(now, number, is_perpetual, p, h, account, limits, row, at_ns, at, h.lots, reason, AT_OPEN, grid, book, fills)
            if has_orders:
                while fill_day + 1 < len(day_begin) and day_begin[fill_day + 1] <= at_ns:
                    fill_day += 1
                for number in range(count):
                    h = states[number]
                    if h.bar < 0 or h.quote == 0.0:
                        continue
                    p = settings[number]
                    grid, book = _grid_of(places[number], number, grids), _book_of(places[number], books)
                    free = account.cash - _locked(is_perpetual, settings, states, False)
                    row, at = results[number], opens[h.bar]
                    _enter(number, is_perpetual, p, h, account, row, at_ns, at, free, fill_day, said, grid, book, fills)

            # The guardian walks the bar, then the stop follows the best price seen.
            for number in range(count):
                h = states[number]
                if h.bar < 0 or h.lots == 0.0:
                    continue
                p = settings[number]
                high, low, where = highs[h.bar], lows[h.bar], AT_OPEN
                while h.lots > 0.0:
                    reason, at, where = next_exit(
                        is_perpetual,
                        NOTHING,
                        where,
                        h.side,
                        opens[h.bar],
                        high,
                        low,
                        h.stop,
                        h.target,
                        h.next_level,
                        h.liquidation,
                        h.has_trailed,
                    )
                    if reason == NOTHING:
                        break
                    grid, book = _grid_of(places[number], number, grids), _book_of(places[number], books)
                    selling = h.lots
                    if reason == PARTIAL:
                        selling = part_of(p, h.lots, h.levels_taken, at)
                        h.levels_taken += 1
                        h.next_level = level_after(p, h.levels_taken, h.side, h.entry_price, h.num, h.den)
                        if selling == 0.0:
                            continue
                    row = results[number]
                    _sell(now, number, is_perpetual, p, h, account, limits, row, at_ns, at, selling, reason, where, grid, book, fills)
                best = high if h.side > 0.0 else low
                if h.lots > 0.0 and h.side * best > h.side * h.water:
                    h.water = best
                    followed = best - h.side * h.trail
                    if p[S.TRAIL_ATR] > 0.0 and h.side * followed > h.side * h.stop:
                        h.stop = raised_stop(h.side, followed, at_ns + interval_ns, _grid_of(places[number], number, grids))
                        h.has_trailed = True

        # The close: equity, the trading day, breakers.
        worth = account.cash
        if has_held or has_orders:
            has_held = False
            for number in range(count):
                h = states[number]
                if h.lots > 0.0:
                    has_held = True
                    worth += h.side * (h.close - h.entry_price) * h.amount if is_perpetual else h.amount * h.close
                    results[number, R.BARS_HELD] += 1.0 if h.bar >= 0 else 0.0
            account.times_held += 1 if has_held else 0
        equity[now] = worth
        peak = max(peak, worth)
        if now >= day_first[day + 1]:
            while now >= day_first[day + 1]:
                day += 1
            floor = start_day(day, worth, limits[A.ALLOCATION], limits[A.DAILY_LOSS], limits[A.WEEKLY_LOSS], day_starts)
        if not account.is_safe and (worth <= floor or worth <= peak * keeps):
            account.is_safe = True
            account.safe_since = now

        # Decide: exits first.
        if has_held:
            for number in range(count):
                h = states[number]
                if h.bar < 0 or h.lots == 0.0:
                    continue
                is_weak = strength[h.bar] < h.weak_under
                age = h.bar - h.opened
                h.leaving = reason_to_leave(
                    settings[number], h.side, age, h.close, h.stop, h.has_trailed, h.fakeout_price, is_weak, h.timeout_price
                )
                says_leave = leave_long[h.bar] if h.side > 0.0 else leave_short[h.bar]
                if h.leaving == NOTHING and says_leave == YES:
                    h.leaving = SIGNAL
        if not wants or account.is_safe:
            continue
        ordered = account.count if account.count_day == day else 0
        for number in range(count):
            ordered += 1 if states[number].quote > 0.0 else 0
        close_ns = at_ns + interval_ns
        for number in range(count):
            h, signal = states[number], states[number].next_entry
            if h.bar < 0 or h.lots > 0.0 or h.quote > 0.0 or ordered >= limits[A.ENTRIES_PER_DAY]:
                continue
            if signal >= places[number].entries[1] or entry_bar[signal] != h.bar:
                continue
            p = settings[number]
            is_spaced = results[number, R.ENTRIES] == 0.0 or close_ns - h.last_entry_ns >= int(p[S.SPACING_NS])
            if not is_spaced or (h.count_day == day and h.count >= p[S.ENTRIES_PER_DAY]):
                continue
            row = results[number]
            side = float(said[0][signal]) if is_perpetual else 1.0
            room = _room(is_perpetual, limits, settings, states, account.cash, worth, p[S.FEE_RATE])
            quote, expected = plan_entry(
                p,
                side,
                close_ns,
                h.close,
                entry_stop[signal],
                entry_target[signal],
                entry_atr[signal],
                entry_hint[signal],
                limits[A.ALLOCATION] + (worth - limits[A.CASH]),
                account.cash - _locked(is_perpetual, settings, states, True),
                min(limits[A.LARGEST_AMOUNT], room),
                row[R.WINS],
                row[R.POSITIONS] - row[R.WINS],
                row[R.SUM_WIN_RETURNS],
                row[R.SUM_LOSS_RETURNS],
                _grid_of(places[number], number, grids),
            )
            if quote > 0.0:
                h.quote, h.side, h.signal = quote, side, signal
                h.quote_lots = whole_lots(quote * p[S.LOTS_PER_UNIT] / expected)
                ordered += 1

    for number in range(count):
        results[number, R.BARS] = places[number].bars[1] - places[number].bars[0]
        results[number, R.HELD_LOTS] = states[number].side * states[number].lots
