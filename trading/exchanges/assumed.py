"""Quotes made from a bare price: one level a side at the price ± slippage, with a stated depth, marked as assumed."""

from decimal import Decimal

from dgbot.core.money import round_down, round_up
from dgbot.core.types import Level, OrderBook, Ticker, TradingRules

SLIPPAGE = Decimal("0.0002")  # 0.02 % in replays and backtests unless a book says better
DEPTH_QUOTE = Decimal(100_000_000)  # KRW that can be traded at that one level


def assumed_book(*, ticker: Ticker, rules: TradingRules, slippage: Decimal = SLIPPAGE, depth_quote: Decimal = DEPTH_QUOTE) -> OrderBook:
    """Both sides one level deep, rounded to the tick against us. slippage: fraction. depth_quote: quote currency."""
    ask_raw, bid_raw = ticker.price * (1 + slippage), ticker.price * (1 - slippage)
    ask = round_up(ask_raw, step=rules.tick(ask_raw))
    bid = round_down(bid_raw, step=rules.tick(bid_raw))
    return OrderBook(
        symbol=ticker.symbol,
        # At the lowest tick nobody bids: the side is empty rather than free of charge.
        bids=(Level(price=bid, amount=round_down(depth_quote / bid, step=rules.lot_step)),) if bid else (),
        asks=(Level(price=ask, amount=round_down(depth_quote / ask, step=rules.lot_step)),),
        known_at=ticker.known_at,
        is_assumed=True,
    )
