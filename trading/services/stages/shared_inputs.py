"""What a shadow is given instead of asking: price and book exactly as its champion saw them in the same slot."""

from dataclasses import dataclass
from datetime import datetime

from dgbot.core.types import OrderBook, Ticker
from risk.domain.reasons import Reason
from trading.models import Decision
from trading.services.stages.context import Context
from trading.services.stages.inputs import book_from, ticker_from

OF_THE_MARKET = frozenset({"feed_stale", "price_unknown", "book_unknown", "book_unusable"})


@dataclass(frozen=True)
class Shared:
    """The champion's view. unknown: what of the market it did not know."""

    decision_pk: int
    ticker: Ticker | None
    book: OrderBook | None
    unknown: tuple[Reason, ...]
    known_at: datetime


def of_champion(context: Context) -> Shared | None:
    """What the champion saw in this slot; None for a bot that is no shadow, and when its champion decided nothing.

    None in a simulated market, too: there price and book are computed from the slot, for both alike.
    """
    if context.bot.shadow_of_id is None or context.venue.mode.is_recorded:
        return None
    made = Decision.objects.filter(bot=context.bot.shadow_of_id, cycle__slot=context.cycle.slot).first()
    if made is None or not made.inputs:
        return None
    row = made.inputs
    unknown = (Reason(**reason) for reason in row["unknown"])
    return Shared(
        decision_pk=made.pk,
        ticker=ticker_from(row["ticker"]),
        book=book_from(row["book"]),
        unknown=tuple(reason for reason in unknown if reason.code in OF_THE_MARKET),
        known_at=datetime.fromisoformat(row["known_at"]),
    )
