"""Candles to look at, with what was bought and sold marked on them, and whether they are the very ones a decision was made from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from backtests import selectors as archive
from backtests.candles.series import Candles
from dgbot.core.errors import BadInput, DgbotError
from dgbot.core.interval import Interval
from dgbot.core.types import Mode
from trading.models import Bot, Decision, Trade
from trading.services.stages.inputs import CandlesOf
from trading.services.venues import venue_for

BARS_BEFORE, BARS_AFTER, MOST_BARS = 90, 30, 1500
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Picture:
    """bars: time in s UTC, open, high, low, close. marks: time of the bar, side, price, text. Empty bars come with the reason."""

    bars: list[dict[str, float]]
    marks: list[dict[str, Any]]
    why_empty: str = ""

    def as_json(self) -> dict[str, Any]:
        """As the page's script reads it."""
        return {"bars": self.bars, "marks": self.marks, "why_empty": self.why_empty}


def candles_of(bot: Bot, *, until: datetime) -> CandlesOf:
    """Where the candles of a bot's market lie, without asking any exchange: the archive, or its simulated market up to `until`."""
    if bot.mode == Mode.SIMULATED:
        history = venue_for(bot.account).history
        return lambda symbol, interval: history.closed(symbol, interval, until=until, anchor_at=None)
    return lambda symbol, interval: archive.candles_of(exchange=bot.account.exchange, symbol=symbol, interval=interval)


def picture(bot: Bot, *, symbol: str, since: datetime, until: datetime, trades: Iterable[Trade]) -> Picture:
    """The bars from a while before `since` to a while after `until`, at most MOST_BARS of them, the newest kept."""
    interval = Interval(bot.interval)
    end = until + BARS_AFTER * interval.length
    try:
        candles = candles_of(bot, until=end)(symbol, interval).opened_within(since - BARS_BEFORE * interval.length, end)
    except (DgbotError, ValueError) as error:
        return Picture(bars=[], marks=[], why_empty=str(error))
    if not len(candles):
        return Picture(
            bars=[], marks=[], why_empty=f"No {interval} candle of {symbol} is stored between {since:%Y-%m-%d} and {until:%Y-%m-%d}."
        )
    shown = _newest(candles)
    return Picture(bars=_bars(shown), marks=_marks(shown, trades))


def proof(decision: Decision) -> tuple[bool | None, str]:
    """Whether the stored candles are those the decision names by anchor, count and hash. None: there is nothing to compare."""
    if not decision.candles_hash or decision.anchor_at is None:
        return None, "The decision names no candles."
    interval = Interval(decision.inputs.get("bot", {}).get("interval", decision.bot.interval))
    try:
        series = candles_of(decision.bot, until=decision.created_at)(decision.symbol, interval)
        found = (series if series.first_opened_at == decision.anchor_at else series.from_anchor(decision.anchor_at)).prefix(
            decision.candle_count
        )
    except (DgbotError, BadInput, ValueError) as error:
        return None, f"The candles are not stored here: {error}"
    is_same = len(found) == decision.candle_count and found.hash_at(len(found)) == decision.candles_hash
    told = f"{decision.candle_count:,} candles from {decision.anchor_at:%Y-%m-%d %H:%M} UTC on"
    return is_same, f"{told} are the very ones of the decision." if is_same else f"{told} have been corrected since, or are others."


def _newest(candles: Candles) -> Candles:
    first = candles.candle(max(0, len(candles) - MOST_BARS)).opened_at
    return candles.from_anchor(first)


def _bars(candles: Candles) -> list[dict[str, float]]:
    times = (candles.open_time // NANOSECONDS).tolist()
    columns = (getattr(candles, name).tolist() for name in ("open", "high", "low", "close"))
    return [dict(zip(("time", "open", "high", "low", "close"), row, strict=True)) for row in zip(times, *columns, strict=True)]


def _marks(candles: Candles, trades: Iterable[Trade]) -> list[dict[str, Any]]:
    """Each trade at the bar it happened in; one outside the bars is left out."""
    times = candles.open_time // NANOSECONDS
    shown: Sequence[Trade] = sorted(trades, key=lambda trade: trade.created_at)
    found = []
    for trade in shown:
        at = int(np.searchsorted(times, trade.created_at.timestamp(), side="right")) - 1
        if at >= 0:
            text = trade.exit_reason.replace("_", " ")
            found.append({"time": int(times[at]), "side": trade.side, "price": float(trade.price), "text": text})
    return found
