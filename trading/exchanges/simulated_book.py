"""The order book of a simulated market: both sides around a price, with uneven steps, uneven money and thin moments."""

from datetime import datetime
from decimal import Decimal

import numpy as np

from dgbot.core.money import from_float, round_down, round_up
from dgbot.core.types import Level, OrderBook, TradingRules

LEVELS = 15
LEVEL_KRW = 1.5e7  # usual money waiting at one price
USUAL_STEP = 0.00003  # usual distance between two prices, fraction; at least one tick
THIN_CHANCE = 0.04  # a moment at which most makers have stepped back
THIN_SHARE = 0.1


def book_around(random: np.random.Generator, *, price: Decimal, activity: float, rules: TradingRules, known_at: datetime) -> OrderBook:
    """A book whose best bid or best ask is the last `price`. activity: the hour's volume relative to the usual, 0 without a trade."""
    depth = (0.5 + 0.5 * activity) * float(np.exp(0.35 * random.standard_normal()))
    depth *= THIN_SHARE if random.random() < THIN_CHANCE else 1.0
    was_sold = random.random() < 0.5  # the last trade hit the bid
    above, below = _ladder(random, price, rules, direction=1), _ladder(random, price, rules, direction=-1)
    bids = [price, *below[:-1]] if was_sold else below
    asks = above if was_sold else [price, *above[:-1]]
    return OrderBook(
        symbol=rules.symbol,
        bids=_filled(random, bids, rules, depth=depth),
        asks=_filled(random, asks, rules, depth=depth),
        known_at=known_at,
    )


def _ladder(random: np.random.Generator, price: Decimal, rules: TradingRules, *, direction: int) -> list[Decimal]:
    """LEVELS prices on the grid, best first, strictly beyond `price`; fewer when a side would fall to zero."""
    ladder: list[Decimal] = []
    for stretch in random.exponential(size=LEVELS):
        tick = rules.tick(price)
        moved = price + direction * tick * max(1, round(float(price / tick) * USUAL_STEP * stretch))
        if moved <= 0:
            break
        # A step across a band's border may land between the ticks of the next band.
        price = (round_up if direction > 0 else round_down)(moved, step=rules.tick(moved))
        ladder.append(price)
    return ladder


def _filled(random: np.random.Generator, prices: list[Decimal], rules: TradingRules, *, depth: float) -> tuple[Level, ...]:
    money = LEVEL_KRW * depth * np.exp(0.8 * random.standard_normal(len(prices))) * np.linspace(0.6, 1.6, len(prices))
    amounts = (from_float(float(krw / float(price)), step=rules.lot_step) for krw, price in zip(money, prices, strict=True))
    return tuple(Level(price=price, amount=max(amount, rules.lot_step)) for price, amount in zip(prices, amounts, strict=True))
