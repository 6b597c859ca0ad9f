"""The engine as one slow, obvious loop over bars: every bar is looked at, nothing is skipped, nothing is compiled.

It reads the same settings by name and combines floats in the same order, so the kernels must give the same bits. Where a rule of
`risk/domain` says the same in Decimal, `tests/properties/test_engine_rules.py` holds the two together.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from backtests.engine.layout import AT_ADVERSE, AT_FAVOURABLE, AT_OPEN, ENTRY, REASONS, SIZING_MODES, R, S
from risk.domain.sizing import SizingMode

SLACK = 1e-8
LEFT_OUT: Any = None


@dataclass
class Bar:
    """One bar with all that is said at it."""

    at_ns: int
    open: float
    high: float
    low: float
    close: float
    day: int  # trading day of its close
    funding: float = 0.0
    strength: float = math.nan
    leaves_long: bool = False
    leaves_short: bool = False
    entry: dict[str, float] | None = None


@dataclass
class Position:
    """What is held."""

    side: float
    lots: float
    entry_price: float
    cost: float
    fees: float
    opened: int
    stop: float
    target: float
    liquidation: float
    fakeout_price: float
    timeout_price: float
    strength: float
    trail: float
    water: float
    levels: list[float]
    shares: list[float]
    sold: float = 0.0
    funding: float = 0.0
    has_trailed: bool = False


@dataclass
class Account:
    """The money of a run and what may stop its entries: one symbol's own, or shared by several."""

    cash: float
    most_losses: float = 0.0  # losing positions in a row that trip the breaker; 0: off
    streak: int = 0
    is_safe: bool = False
    safe_since: int = -1
    now: int = 0

    def lost_again(self) -> None:
        self.streak += 1
        if self.most_losses and self.streak >= self.most_losses:
            self.trip()

    def trip(self) -> None:
        if not self.is_safe:
            self.is_safe, self.safe_since = True, self.now


@dataclass
class Twin:
    """One symbol's run. `fills` are (bar, side, reason, where, price, lots, fee)."""

    settings: Any
    bands: list[tuple[int, list[tuple[float, float, float]]]]  # since, [(start, num, den)]
    day_begin: list[int]
    depth: list[tuple[float, float]]
    is_perpetual: bool
    account: Account = LEFT_OUT
    fills: list[tuple[Any, ...]] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.account = self.account or Account(cash=self.p(S.CASH), most_losses=self.p(S.LOSS_STREAK))
        self.held: Position | None = None
        self.wins = self.losses = 0
        self.won = self.lost = self.gross_win = self.gross_loss = 0.0
        self.turnover = self.fees = self.funding = 0.0

    def p(self, name: S) -> float:
        return float(self.settings[name])

    # --- The market's grid ---
    def band(self, at_ns: int, price: float) -> tuple[float, float]:
        bands = self.bands[0][1]
        for since, later in self.bands[1:]:
            if since <= at_ns:
                bands = later
        for start, num, den in bands:
            if price >= start:
                return num, den
        return bands[-1][1:]

    def ask(self, at_ns: int, price: float, away: float) -> float:
        raw = price * (1.0 + away)
        num, den = self.band(at_ns, raw)
        return up(raw, num, den) * num / den

    def bid(self, at_ns: int, price: float, away: float) -> float:
        raw = price * (1.0 - away)
        num, den = self.band(at_ns, raw)
        return max(down(raw, num, den), 1.0) * num / den

    def market(self, is_buy: bool, at_ns: int, price: float, worth: float) -> float:
        quote = self.ask if is_buy else self.bid
        if not self.depth:
            return quote(at_ns, price, self.p(S.SLIPPAGE))
        rest, paid, bought = worth, 0.0, 0.0
        for number, (away, takes) in enumerate(self.depth):
            at = quote(at_ns, price, self.p(S.SLIPPAGE) + away)
            taken = rest if number == len(self.depth) - 1 else min(rest, takes)
            paid += taken
            bought += taken / at
            rest -= taken
            if rest <= 0.0:
                break
        return paid / bought

    # --- The walk ---
    def run(self, bars: list[Bar], *, first: int, last: int) -> None:
        leaving = 0
        entering: dict[str, float] | None = None
        last_entry_ns: int | None = None
        entry_days: list[int] = []
        day, starts, floor = -1, {}, -math.inf
        peak = self.account.cash
        interval = int(self.p(S.INTERVAL_NS))
        for t in range(first, last):
            bar, self.account.now = bars[t], t
            # The open: funding is settled, then what was decided fills.
            self.settle(bar)
            if entering is not None and self.enter(t, bar, entering, free=self.account.cash):
                last_entry_ns = bar.at_ns
                entry_days.append(self.day_of(bar.at_ns))
            entering = None
            if leaving:
                self.leave_all(t, bar, leaving)
            leaving = 0
            # The guardian walks the bar.
            self.guard(t, bar)
            # The close.
            self.follow(bar, interval)
            worth = self.worth(bar.close)
            self.equity.append(worth)
            peak = max(peak, worth)
            if bar.day != day:
                day = bar.day
                starts[day] = worth
                week = [start for past, start in sorted(starts.items()) if past > day - 7]
                base = min(self.p(S.ALLOCATION), worth) if worth > 0.0 else self.p(S.ALLOCATION)
                floor = -math.inf
                if self.p(S.DAILY_LOSS):
                    floor = worth - self.p(S.DAILY_LOSS) * base
                if self.p(S.WEEKLY_LOSS):
                    floor = max(floor, week[0] - self.p(S.WEEKLY_LOSS) * base)
            if worth <= floor or (self.p(S.DRAWDOWN) > 0.0 and worth <= peak * (1.0 - self.p(S.DRAWDOWN))):
                self.account.trip()
            # Decide.
            if self.held is not None:
                leaving = self.leave(t, bar)
                continue
            if bar.entry is None or self.account.is_safe:
                continue
            now = bar.at_ns + interval
            is_spaced = last_entry_ns is None or now - last_entry_ns >= self.p(S.SPACING_NS)
            if is_spaced and entry_days.count(day) < self.p(S.ENTRIES_PER_DAY):
                entering = self.plan(now, bar, equity=self.p(S.ALLOCATION) + (self.account.cash - self.p(S.CASH)), free=self.account.cash)

    def settle(self, bar: Bar) -> None:
        """Pay or receive the funding due at this open."""
        if self.is_perpetual and self.held is not None and not math.isnan(bar.funding) and bar.funding != 0.0:
            due = self.held.side * (self.amount() * bar.open * bar.funding)
            self.account.cash -= due
            self.held.funding += due
            self.funding += due

    def leave_all(self, t: int, bar: Bar, reason: int) -> None:
        """Sell at the open what the last close decided to leave."""
        assert self.held is not None
        self.sell(t, bar, price=bar.open, lots=self.held.lots, reason=reason, where=AT_OPEN)

    def plan(self, now: int, bar: Bar, *, equity: float, free: float, most: float = math.inf) -> dict[str, float] | None:
        assert bar.entry is not None
        said = bar.entry
        side = said["side"] if self.is_perpetual else 1.0
        expected = self.ask(now, bar.close, self.p(S.SLIPPAGE)) if side > 0 else self.bid(now, bar.close, self.p(S.SLIPPAGE))
        stop, _target = self.protect(side, expected, said, *self.band(now, expected))
        quote = self.size(side, expected, stop, said, equity=equity, free=free, most=most)
        if not quote:
            return None
        return {**said, "side": side, "quote": quote, "lots": whole(quote * self.p(S.LOTS_PER_UNIT) / expected)}

    def size(self, side: float, entry: float, stop: float, said: dict[str, float], *, equity: float, free: float, most: float) -> float:
        mode, fraction, atr, hint = SIZING_MODES[int(self.p(S.SIZING))], self.p(S.SIZE_FRACTION), said["atr"], said["hint"]
        if mode is SizingMode.FIXED:
            wanted = self.p(S.FIXED_AMOUNT)
        elif mode is SizingMode.EQUITY_FRACTION:
            wanted = equity * fraction
        elif mode is SizingMode.RISK_AT_STOP:
            left_at = stop * (1.0 - side * self.p(S.SLIPPAGE))
            wanted = equity * fraction * entry / (abs(entry - left_at) + self.p(S.FEE_RATE) * (entry + left_at))
        elif mode is SizingMode.VOLATILITY_TARGET:
            if not atr > 0.0:
                return 0.0
            wanted = equity * fraction * entry / atr
        elif mode is SizingMode.HALF_KELLY:
            count = self.wins + self.losses
            if count < 30 or not self.wins or not self.losses or self.won <= 0.0 or self.lost <= 0.0:
                return 0.0
            half = (self.won - self.lost) / (2.0 * count * (self.won / self.wins))
            if half < 0.05:
                return 0.0
            wanted = equity * min(half, 0.30)
        else:
            wanted = free * fraction
        largest = min(self.p(S.LARGEST_AMOUNT), self.p(S.ALLOCATION), self.p(S.ALLOCATION) * self.p(S.POSITION_FRACTION))
        payable = free * self.p(S.LEVERAGE) / (1.0 + self.p(S.FEE_RATE) * self.p(S.LEVERAGE))
        amount = whole(min(wanted * hint, largest, most, payable) / self.p(S.QUOTE_GRAIN)) * self.p(S.QUOTE_GRAIN)
        at_stop = (amount / entry - 1.0 / self.p(S.LOTS_PER_UNIT)) * (entry * (1.0 - side * self.p(S.STOP_FRACTION)))
        return amount if amount > 0.0 and amount >= self.p(S.MINIMUM_TOTAL) and at_stop >= self.p(S.MINIMUM_TOTAL) else 0.0

    def protect(self, side: float, entry: float, said: dict[str, float], num: float, den: float) -> tuple[float, float]:
        stop_distance, target_distance = said["stop"] * self.p(S.STOP_SCALE), said["target"] * self.p(S.TARGET_SCALE)
        if side > 0:
            lowers = [entry * (1.0 - self.p(S.STOP_FRACTION)), entry - stop_distance]
            uppers = [entry * (1.0 + self.p(S.TARGET_FRACTION)), entry + target_distance]
        else:
            lowers = [entry * (1.0 - self.p(S.TARGET_FRACTION)), entry - target_distance]
            uppers = [entry * (1.0 + self.p(S.STOP_FRACTION)), entry + stop_distance]
        lower = max(one for one in lowers if not math.isnan(one))
        upper = min(one for one in uppers if not math.isnan(one))
        lower = max(min(up(lower, num, den), up(entry, num, den) - 1.0), 1.0) * num / den
        upper = max(down(upper, num, den), down(entry, num, den) + 1.0) * num / den
        return (lower, upper) if side > 0 else (upper, lower)

    def enter(self, t: int, bar: Bar, said: dict[str, float], *, free: float) -> bool:
        side = said["side"]
        price = self.market(side > 0, bar.at_ns, bar.open, said["quote"])
        lots = said["lots"] if self.is_perpetual else whole(said["quote"] * self.p(S.LOTS_PER_UNIT) / price)
        cost = lots / self.p(S.LOTS_PER_UNIT) * price
        fee = cost * self.p(S.FEE_RATE)
        num, den = self.band(bar.at_ns, price)
        if lots <= 0.0 or up(price, num, den) < 2.0 or (self.is_perpetual and cost / self.p(S.LEVERAGE) + fee > free):
            return False
        self.account.cash -= fee if self.is_perpetual else cost + fee
        stop, target = self.protect(side, price, said, num, den)
        pairs = [(self.settings[S.PROFIT_1 + 2 * i], self.settings[S.SHARE_1 + 2 * i]) for i in range(int(self.p(S.LEVELS)))]
        self.held = Position(
            side=side,
            lots=lots,
            entry_price=price,
            cost=cost,
            fees=fee,
            opened=t,
            stop=stop,
            target=target,
            liquidation=price * (1.0 - side / self.p(S.LEVERAGE)) / (1.0 - side * self.p(S.MAINTENANCE)),
            fakeout_price=price - side * (said["fakeout"] * self.p(S.FAKEOUT_SCALE)),
            timeout_price=price * (1.0 + side * self.p(S.TIMEOUT_PROFIT)),
            strength=said["strength"],
            trail=said["atr"] * self.p(S.TRAIL_ATR),
            water=price,
            levels=[self.level(side, price, profit, num, den) for profit, _share in pairs],
            shares=[share for _profit, share in pairs],
        )
        self.turnover += cost
        self.fees += fee
        self.fills.append((t, 1 if side > 0 else -1, ENTRY, AT_OPEN, price, int(lots), fee))
        return True

    @staticmethod
    def level(side: float, entry: float, profit: float, num: float, den: float) -> float:
        if side > 0:
            return max(down(entry * (1.0 + profit), num, den), down(entry, num, den) + 1.0) * num / den
        return max(min(up(entry * (1.0 - profit), num, den), up(entry, num, den) - 1.0), 1.0) * num / den

    def guard(self, t: int, bar: Bar) -> None:  # noqa: PLR0912 - three legs, one after the other
        # At the open.
        while (held := self.held) is not None:
            if self.is_perpetual and gone(held, bar.open, held.liquidation):
                self.liquidate(t, bar, AT_OPEN)
            elif gone(held, bar.open, held.stop):
                self.sell(t, bar, price=bar.open, lots=held.lots, reason=stop_reason(held), where=AT_OPEN)
            elif earned(held, bar.open, held.target):
                self.sell(t, bar, price=bar.open, lots=held.lots, reason=code("target"), where=AT_OPEN)
            elif held.levels and earned(held, bar.open, held.levels[0]):
                self.take_part(t, bar, price=bar.open, where=AT_OPEN)
            else:
                break
        # On the way to the adverse extreme.
        if (held := self.held) is not None:
            adverse = bar.low if held.side > 0 else bar.high
            is_liquidated = self.is_perpetual and held.side * held.liquidation > held.side * held.stop
            if is_liquidated and gone(held, adverse, held.liquidation):
                self.liquidate(t, bar, AT_ADVERSE)
            elif gone(held, adverse, held.stop):
                self.sell(t, bar, price=held.stop, lots=held.lots, reason=stop_reason(held), where=AT_ADVERSE)
        # On the way to the favourable one.
        while (held := self.held) is not None:
            favourable = bar.high if held.side > 0 else bar.low
            if held.levels and held.side * held.levels[0] < held.side * held.target:
                if not earned(held, favourable, held.levels[0]):
                    break
                self.take_part(t, bar, price=held.levels[0], where=AT_FAVOURABLE)
            elif earned(held, favourable, held.target):
                self.sell(t, bar, price=held.target, lots=held.lots, reason=code("target"), where=AT_FAVOURABLE)
            else:
                break

    def take_part(self, t: int, bar: Bar, *, price: float, where: int) -> None:
        held = self.held
        assert held is not None
        held.levels.pop(0)
        lots = min(whole(held.lots * held.shares.pop(0)), held.lots)
        if (held.lots - lots) / self.p(S.LOTS_PER_UNIT) * price < self.p(S.MINIMUM_TOTAL):
            lots = held.lots
        if lots / self.p(S.LOTS_PER_UNIT) * price >= self.p(S.MINIMUM_TOTAL):
            self.sell(t, bar, price=price, lots=lots, reason=code("partial"), where=where)

    def liquidate(self, t: int, bar: Bar, where: int) -> None:
        held = self.held
        assert held is not None
        price = held.entry_price * (1.0 - held.side / self.p(S.LEVERAGE))
        self.book(t, price=price, lots=held.lots, fee=0.0, reason=code("liquidation"), where=where)

    def sell(self, t: int, bar: Bar, *, price: float, lots: float, reason: int, where: int) -> None:
        held = self.held
        assert held is not None
        part = lots / self.p(S.LOTS_PER_UNIT)
        filled = self.market(held.side < 0, bar.at_ns, price, part * price)
        self.book(t, price=filled, lots=lots, fee=part * filled * self.p(S.FEE_RATE), reason=reason, where=where)

    def book(self, t: int, *, price: float, lots: float, fee: float, reason: int, where: int) -> None:
        held = self.held
        assert held is not None
        part = lots / self.p(S.LOTS_PER_UNIT)
        if self.is_perpetual:
            self.account.cash += held.side * (price - held.entry_price) * part - fee
        else:
            self.account.cash += part * price - fee
        held.sold += part * price
        held.fees += fee
        held.lots -= lots
        self.turnover += part * price
        self.fees += fee
        self.fills.append((t, -1 if held.side > 0 else 1, reason, where, price, int(lots), fee))
        if held.lots:
            return
        net = held.side * (held.sold - held.cost) - held.fees - held.funding
        if net > 0.0:
            self.wins, self.won, self.gross_win = self.wins + 1, self.won + net / held.cost, self.gross_win + net
            self.account.streak = 0
        else:
            self.losses, self.lost, self.gross_loss = self.losses + 1, self.lost - net / held.cost, self.gross_loss - net
            self.account.lost_again()
        self.held = None

    def follow(self, bar: Bar, interval: int) -> None:
        held = self.held
        if held is None:
            return
        best = bar.high if held.side > 0 else bar.low
        if held.side * best <= held.side * held.water:
            return
        held.water = best
        if not self.p(S.TRAIL_ATR):
            return
        followed = best - held.side * held.trail
        if held.side * followed <= held.side * held.stop:
            return
        num, den = self.band(bar.at_ns + interval, followed)
        held.stop = (up(followed, num, den) if held.side > 0 else max(down(followed, num, den), 1.0)) * num / den
        held.has_trailed = True

    def leave(self, t: int, bar: Bar) -> int:
        held = self.held
        assert held is not None
        age = t - held.opened
        if gone(held, bar.close, held.stop):
            return stop_reason(held)
        if 1 <= age <= self.p(S.FAKEOUT_BARS) and held.side * bar.close < held.side * held.fakeout_price:
            return code("fakeout")
        if bar.strength < self.p(S.WEAKENING_ADX) and bar.strength < self.p(S.WEAKENING_RATIO) * held.strength:
            return code("weakening")
        if self.p(S.TIMEOUT_BARS) and age > self.p(S.TIMEOUT_BARS) and held.side * bar.close < held.side * held.timeout_price:
            return code("timeout")
        if self.p(S.HOLD_BARS) and age + 1 >= self.p(S.HOLD_BARS):
            return code("hold")
        return code("signal") if (bar.leaves_long if held.side > 0 else bar.leaves_short) else 0

    def worth(self, close: float) -> float:
        return self.account.cash if self.held is None else self.account.cash + self.value(close)

    def value(self, close: float) -> float:
        """What the position adds to the cash at this price, quote."""
        assert self.held is not None
        return self.held.side * (close - self.held.entry_price) * self.amount() if self.is_perpetual else self.amount() * close

    def amount(self) -> float:
        assert self.held is not None
        return self.held.lots / self.p(S.LOTS_PER_UNIT)

    def day_of(self, at_ns: int) -> int:
        return sum(begin <= at_ns for begin in self.day_begin) - 1

    def statistics(self) -> dict[R, float]:
        """Over the curve and the positions, one plain loop each."""
        return {**curve_statistics(self.equity, cash=self.p(S.CASH)), **self.positions(), R.SAFE_SINCE: self.account.safe_since}

    def positions(self) -> dict[R, float]:
        """What the symbol's positions came to."""
        return {
            R.POSITIONS: self.wins + self.losses,
            R.WINS: self.wins,
            R.GROSS_WIN: self.gross_win,
            R.GROSS_LOSS: self.gross_loss,
            R.SUM_WIN_RETURNS: self.won,
            R.SUM_LOSS_RETURNS: self.lost,
            R.TURNOVER: self.turnover,
            R.FEES: self.fees,
            R.FUNDING: self.funding,
            R.FILLS: len(self.fills),
        }


def curve_statistics(equity: list[float], *, cash: float) -> dict[R, float]:
    """What the curve came to."""
    previous = peak = cash
    sums = squares = losses = drawdown = 0.0
    under = longest = 0
    for worth in equity:
        change = worth / previous - 1.0
        sums += change
        squares += change * change
        losses += change * change if change < 0.0 else 0.0
        previous = worth
        under = 0 if worth >= peak else under + 1
        longest = max(longest, under)
        drawdown = max(drawdown, (peak - worth) / peak)
        peak = max(peak, worth)
    return {
        R.FINAL_EQUITY: equity[-1],
        R.SUM_RETURNS: sums,
        R.SUM_SQUARES: squares,
        R.SUM_SQUARED_LOSSES: losses,
        R.MAX_DRAWDOWN: drawdown,
        R.LONGEST_DRAWDOWN: longest,
    }


def code(name: str) -> int:
    """A reason's number."""
    return REASONS.index(name)


def stop_reason(held: Position) -> int:
    """The stop of the entry, or one that has followed."""
    return code("trailing" if held.has_trailed else "stop")


def gone(held: Position, price: float, level: float) -> bool:
    """Whether `price` is at or beyond a level of loss."""
    return held.side * price <= held.side * level


def earned(held: Position, price: float, level: float) -> bool:
    """Whether `price` is at or beyond a level of profit."""
    return held.side * price >= held.side * level


def up(value: float, num: float, den: float) -> float:
    return float(math.ceil(value * den / num - SLACK))


def down(value: float, num: float, den: float) -> float:
    return float(math.floor(value * den / num + SLACK))


def whole(lots: float) -> float:
    return float(math.floor(lots + SLACK))
