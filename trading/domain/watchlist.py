"""Which positions a price reaches, held in memory so that only a touched one costs a question. Pure.

Per market the highest stop and the lowest price above are kept: between the two a price is done with after two comparisons.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Market:
    """A symbol at an exchange; world: which simulated market, 0 for the real one."""

    exchange: str
    symbol: str
    world: int = 0

    @property
    def is_computed(self) -> bool:
        """Whether its prices are computed, so that none of them can be a mistake."""
        return self.world != 0


@dataclass(frozen=True, slots=True)
class Guarded:
    """One position: it is left at or below `stop`, in part or whole at or above `above`, quote currency; None where nothing waits."""

    key: Hashable
    account_id: int
    stop: Decimal | None
    above: Decimal | None

    def is_touched(self, price: Decimal) -> bool:
        """Whether this price reaches it."""
        return (self.stop is not None and price <= self.stop) or (self.above is not None and price >= self.above)


@dataclass
class Guards:
    """All guarded positions of one market."""

    rows: list[Guarded] = field(default_factory=list)
    highest_stop: Decimal | None = None
    lowest_above: Decimal | None = None

    def add(self, row: Guarded) -> None:
        """Watch one more."""
        self.rows.append(row)
        if row.stop is not None:
            self.highest_stop = row.stop if self.highest_stop is None else max(self.highest_stop, row.stop)
        if row.above is not None:
            self.lowest_above = row.above if self.lowest_above is None else min(self.lowest_above, row.above)

    def touched(self, price: Decimal) -> Iterator[Guarded]:
        """Whom this price reaches."""
        reaches_stop = self.highest_stop is not None and price <= self.highest_stop
        if reaches_stop or (self.lowest_above is not None and price >= self.lowest_above):
            yield from (row for row in self.rows if row.is_touched(price))


@dataclass
class Watchlist:
    """Everything that is guarded, by market. A market may hold only positions whose exit is on its way: its price still matters."""

    markets: dict[Market, Guards] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[tuple[Market, Guarded | None]]) -> "Watchlist":
        """From rows of market and position; None: its exit is planned already."""
        made = cls()
        for market, row in rows:
            guards = made.markets.setdefault(market, Guards())
            if row is not None:
                guards.add(row)
        return made

    def drop(self, keys: set[Hashable]) -> None:
        """Their exits are planned: no price matters to them until the list is read again."""
        for market, guards in self.markets.items():
            if any(row.key in keys for row in guards.rows):
                self.markets[market] = _without(guards, keys)

    def __len__(self) -> int:
        return sum(len(guards.rows) for guards in self.markets.values())


def _without(guards: Guards, keys: set[Hashable]) -> Guards:
    left = Guards()
    for row in guards.rows:
        if row.key not in keys:
            left.add(row)
    return left
