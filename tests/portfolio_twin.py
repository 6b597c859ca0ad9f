"""Several symbols on one cash as one slow, obvious loop over times, made of the twins of single symbols."""

import math
from dataclasses import dataclass, field
from typing import Any

from backtests.engine.layout import A, R, S
from tests.engine_twin import Account, Bar, Twin, curve_statistics


@dataclass
class Desk:
    """One symbol at its place in the order: its twin, its bars by time, and what is decided for its next bar."""

    twin: Twin
    bars: dict[int, tuple[int, Bar]]  # open time → place in the symbol's candles, bar
    leaving: int = 0
    entering: dict[str, float] | None = None
    last_entry_ns: int | None = None
    entry_days: list[int] = field(default_factory=list)
    last_close: float = math.nan

    @property
    def fee_rate(self) -> float:
        return self.twin.p(S.FEE_RATE)

    def cost(self) -> float:
        """What is held, at what it cost, quote."""
        return 0.0 if self.twin.held is None else self.twin.amount() * self.twin.held.entry_price

    def margin(self) -> float:
        return self.cost() / self.twin.p(S.LEVERAGE) if self.twin.is_perpetual else 0.0

    def ordered(self) -> float:
        return 0.0 if self.entering is None else self.entering["quote"]

    def reserved(self) -> float:
        return self.ordered() / self.twin.p(S.LEVERAGE) + self.ordered() * self.fee_rate


@dataclass
class PortfolioTwin:
    """One run. limits: by layout.A. The twins' own cash and breakers are not looked at."""

    desks: list[Desk]
    limits: Any
    day_begin: list[int]
    interval_ns: int
    equity: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.account = Account(cash=self.limits[A.CASH], most_losses=self.limits[A.LOSS_STREAK])
        for desk in self.desks:
            desk.twin.account = self.account
        self.entry_days: list[int] = []

    def day_of(self, at_ns: int) -> int:
        return sum(begin <= at_ns for begin in self.day_begin) - 1

    def run(self) -> None:
        peak, day, starts, floor = self.account.cash, -1, {}, -math.inf
        for now, at_ns in enumerate(sorted({at for desk in self.desks for at in desk.bars})):
            self.account.now = now
            here = [(desk, *desk.bars[at_ns]) for desk in self.desks if at_ns in desk.bars]
            for desk, t, bar in here:
                desk.last_close = bar.close
                desk.twin.settle(bar)
                if desk.leaving:
                    desk.twin.leave_all(t, bar, desk.leaving)
                desk.leaving = 0
            for desk, t, bar in here:
                self.fill(desk, t, bar)
            for desk, t, bar in here:
                desk.twin.guard(t, bar)
                desk.twin.follow(bar, self.interval_ns)
            worth = self.worth()
            self.equity.append(worth)
            peak = max(peak, worth)
            if self.day_of(at_ns + self.interval_ns) != day:
                day = self.day_of(at_ns + self.interval_ns)
                starts[day] = worth
                floor = self.floor(worth, [start for past, start in sorted(starts.items()) if past > day - 7])
            drawdown = self.limits[A.DRAWDOWN]
            if worth <= floor or (drawdown > 0.0 and worth <= peak * (1.0 - drawdown)):
                self.account.trip()
            for desk, t, bar in here:
                if desk.twin.held is not None:
                    desk.leaving = desk.twin.leave(t, bar)
            for desk, _t, bar in here:
                if self.may_enter(desk, bar, day):
                    desk.entering = self.plan(desk, bar, worth)

    def fill(self, desk: Desk, t: int, bar: Bar) -> None:
        said, desk.entering = desk.entering, None
        if said is None or not desk.twin.enter(t, bar, said, free=self.account.cash - sum(one.margin() for one in self.desks)):
            return
        desk.last_entry_ns = bar.at_ns
        desk.entry_days.append(self.day_of(bar.at_ns))
        self.entry_days.append(self.day_of(bar.at_ns))

    def worth(self) -> float:
        worth = self.account.cash
        for desk in self.desks:
            if desk.twin.held is not None:
                worth += desk.twin.value(desk.last_close)
        return worth

    def floor(self, worth: float, week: list[float]) -> float:
        allocation, daily, weekly = self.limits[A.ALLOCATION], self.limits[A.DAILY_LOSS], self.limits[A.WEEKLY_LOSS]
        base = min(allocation, worth) if worth > 0.0 else allocation
        floor = worth - daily * base if daily else -math.inf
        return max(floor, week[0] - weekly * base) if weekly else floor

    def may_enter(self, desk: Desk, bar: Bar, day: int) -> bool:
        if self.account.is_safe or desk.twin.held is not None or bar.entry is None:
            return False
        on_their_way = sum(one.entering is not None for one in self.desks)
        is_spaced = desk.last_entry_ns is None or bar.at_ns + self.interval_ns - desk.last_entry_ns >= desk.twin.p(S.SPACING_NS)
        return (
            is_spaced
            and desk.entry_days.count(day) < desk.twin.p(S.ENTRIES_PER_DAY)
            and self.entry_days.count(day) + on_their_way < self.limits[A.ENTRIES_PER_DAY]
        )

    def plan(self, desk: Desk, bar: Bar, worth: float) -> dict[str, float] | None:
        equity = self.limits[A.ALLOCATION] + (worth - self.limits[A.CASH])
        locked = 0.0
        for one in self.desks:
            locked += one.margin()
            locked += one.reserved()
        most = min(self.limits[A.LARGEST_AMOUNT], self.room(desk, worth))
        return desk.twin.plan(bar.at_ns + self.interval_ns, bar, equity=equity, free=self.account.cash - locked, most=most)

    def room(self, desk: Desk, worth: float) -> float:
        """Quote currency the exposure limit leaves for one more entry, without its fee."""
        if not self.limits[A.EXPOSURE]:
            return math.inf
        equity, at_stake = self.account.cash, 0.0
        for one in self.desks:
            equity += 0.0 if one.twin.is_perpetual else one.cost()
            at_stake += (one.cost() + one.ordered()) * (1.0 + one.fee_rate)
        return max((self.limits[A.EXPOSURE] * max(min(equity, worth), 0.0) - at_stake) / (1.0 + desk.fee_rate), 0.0)

    def statistics(self) -> dict[R, float]:
        rows = [desk.twin.positions() for desk in self.desks]
        return {
            **curve_statistics(self.equity, cash=self.limits[A.CASH]),
            **{name: sum(row[name] for row in rows) for name in rows[0]},
            R.SAFE_SINCE: self.account.safe_since,
        }
