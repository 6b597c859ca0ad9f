"""What an analyst is shown: the data blocks of requirements §2.8, made from typed values alone, so that none can be said wrong.

Each block carries the time it was known; what is unknown is null. Texts from outside appear only as values, which the prompt fences.
"""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from backtests.candles.series import Candles
from backtests.conditions import bars, book, levels, score
from backtests.conditions.divergence import divergence
from backtests.conditions.flash import flash
from backtests.conditions.patterns import patterns
from backtests.conditions.relation import relation
from backtests.conditions.timeframes import trends
from dgbot.core.money import plain
from trading.domain.stages import Collected, Proposal
from trading.models import Position
from trading.services.stages.context import Context
from trading.services.stages.quick_filter import Filtered

NEWEST_BARS, SUMMED_BARS = 5, 30
MOST_DIGITS, MOST_DECIMALS = 8, 8  # significant ones of a float, decimals of money; more is noise to a reader


def gather(context: Context, collected: Collected, *, proposal: Proposal, filtered: Filtered | None) -> dict[str, Any]:
    """Every block, as JSON values."""
    candles: Candles = collected.candles
    now = context.cycle.slot
    swing, found = levels.swing(candles), levels.levels(candles)
    scored, seen = score.score(candles), book.read(collected.book)
    return _written(
        {
            "symbol": context.bot.symbol,
            "now": now,
            "interval": context.bot.interval,
            "price": None if collected.ticker is None else {"value": collected.ticker.price, "known_at": collected.ticker.known_at},
            "rules": {"strategy": context.bot.strategy, "proposal": proposal.decision, "gates": proposal.gates, "plan": proposal.plan},
            "position": None if context.position is None else _position(context.position, collected),
            "candles": {"known_at": candles.last_closed_at, **_summary(candles)},
            "indicators": {**bars.newest(candles), **score.newest_values(candles)},
            "signal_score": {"total": scored.total, "says": scored.says, "confidence": scored.confidence, "points": dict(scored.points)},
            "divergence": asdict(divergence(candles)),
            "timeframes": [asdict(trend) for trend in trends(candles, now=now)],
            "candle_patterns": patterns(candles),
            "support_resistance": None if found is None else asdict(found),
            "fibonacci": None if swing is None else asdict(swing),
            "order_book": {
                "known_at": None if collected.book is None else collected.book.known_at,
                "is_assumed": None if collected.book is None else collected.book.is_assumed,
                **asdict(seen),
            },
            "btc": None
            if collected.btc is None
            else {"known_at": collected.btc.last_closed_at, **asdict(relation(candles, collected.btc))},
            "flash_crash": None
            if collected.minutes is None
            else {"known_at": collected.minutes.last_closed_at, **asdict(flash(collected.minutes, now=now))},
            "backtest": None if filtered is None else {"span": filtered.span, "checks": [check.as_row() for check in filtered.checks]},
        }
    )


def _position(position: Position, collected: Collected) -> dict[str, Any]:
    entry, price = position.entry_price, None if collected.ticker is None else collected.ticker.price
    return {
        "entry_price": entry,
        "opened_at": position.opened_at,
        "profit_fraction": None if entry is None or price is None else price / entry - 1,
        "stop_price": position.stop_price,
        "target_price": position.target_price,
    }


def _summary(candles: Candles) -> dict[str, Any]:
    """The last five bars, and thirty bars in numbers."""
    last = [
        {"opened_at": one.opened_at, "open": one.open, "high": one.high, "low": one.low, "close": one.close, "volume": one.volume}
        for one in (candles.candle(index) for index in range(max(0, len(candles) - NEWEST_BARS), len(candles)))
    ]
    if len(candles) < SUMMED_BARS:
        return {"newest": last, "last_30": None}
    high, low, close, volume = (getattr(candles, name)[-SUMMED_BARS:] for name in ("high", "low", "close", "volume"))
    returns = close[1:] / close[:-1] - 1
    told = {
        "high": float(high.max()),
        "low": float(low.min()),
        "mean_volume": float(volume.mean()),
        "change": float(close[-1] / close[0] - 1),
        "volatility_per_bar": float(np.std(returns, ddof=1)),
    }
    return {"newest": last, "last_30": told}


def _written(value: Any) -> Any:
    """As JSON: numbers short, money and times as text, NaN as null."""
    if isinstance(value, dict):
        return {str(name): _written(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_written(one) for one in value]
    if isinstance(value, float):
        return None if np.isnan(value) else float(f"{value:.{MOST_DIGITS}g}")
    return value if value is None or isinstance(value, int) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return plain(round(value, MOST_DECIMALS))
    return value.isoformat() if isinstance(value, datetime) else str(value)
