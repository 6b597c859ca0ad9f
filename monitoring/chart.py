"""Candles for the eye: the last few hundred closed ones of a bot's market, with what the bot did on them. Decides nothing.

Recorded modes compute theirs; paper and live show what the archive holds, so that a page never asks an exchange.
"""

from typing import Any, TypedDict

from backtests import selectors as archive
from dgbot.core.errors import DgbotError
from dgbot.core.interval import Interval
from dgbot.core.types import Mode
from trading.models import Bot, Position, Trade
from trading.services.candle_sources import source_for

SHOWN = 300  # candles


class Mark(TypedDict):
    """One fill on the chart, at the open time of the candle it fell into, seconds UTC."""

    time: int
    side: str
    text: str


class Line(TypedDict):
    """A price that matters now, quote currency."""

    kind: str
    price: float


class Chart(TypedDict):
    """rows: open time in seconds UTC, open, high, low, close, volume; oldest first. cause: why there are none."""

    rows: list[list[float]]
    marks: list[Mark]
    lines: list[Line]
    cause: str


def chart_of(bot: Bot) -> Chart:
    """The chart of a bot's market. `bot` with its account."""
    interval = Interval(bot.interval)
    try:
        rows = _computed(bot, interval) if Mode(bot.mode) is Mode.SIMULATED else _archived(bot, interval)
    except DgbotError as error:
        return {"rows": [], "marks": [], "lines": [], "cause": str(error)}
    return {"rows": rows, "marks": _marks(bot, interval, since=rows[0][0]) if rows else [], "lines": _lines(bot), "cause": ""}


def _archived(bot: Bot, interval: Interval) -> list[list[float]]:
    candles = archive.candles_of(exchange=bot.account.exchange, symbol=bot.symbol, interval=interval)
    columns = [getattr(candles, name)[-SHOWN:].tolist() for name in ("open", "high", "low", "close", "volume")]
    times = (candles.open_time[-SHOWN:] // 1_000_000_000).tolist()
    return [list(row) for row in zip(times, *columns, strict=True)]


def _computed(bot: Bot, interval: Interval) -> list[list[float]]:
    source = source_for(f"simulated_{bot.account.simulated_market_id}")
    end = interval.open_of(source.clock.now())
    found = source.candles.candles(bot.symbol, interval, start=end - SHOWN * interval.length, end=end)
    return [[int(one.opened_at.timestamp()), *map(float, (one.open, one.high, one.low, one.close, one.volume))] for one in found]


def _marks(bot: Bot, interval: Interval, *, since: float) -> list[Mark]:
    fills: Any = Trade.objects.filter(bot=bot).order_by("-created_at", "-pk")[:SHOWN]
    opened = [(int(interval.open_of(fill.created_at).timestamp()), fill) for fill in reversed(fills)]
    return [{"time": at, "side": fill.side, "text": fill.exit_reason} for at, fill in opened if at >= since]


def _lines(bot: Bot) -> list[Line]:
    held = Position.objects.open().filter(bot=bot, amount__gt=0).first()
    if held is None:
        return []
    prices = (("entry", held.entry_price), ("stop", held.current_stop), ("target", held.target_price))
    return [{"kind": kind, "price": float(price)} for kind, price in prices if price is not None]
