"""The screener: every KRW market by its daily candles. What fits becomes a proposal for `target_symbols`, which a person applies.

Closed days do not change, so a market is asked for once a day and its readings are kept; the list of markets for ten minutes. Each
question goes through the exchange's budget. What could not be asked in time is told, never guessed; asking again goes on from there.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.core.cache import cache

from backtests.candles.series import COLUMNS, Candles
from dgbot.core.clock import to_nanoseconds
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.interval import Interval
from dgbot.core.protocols import CandleSource
from dgbot.core.types import Candle
from trading.domain import screening
from trading.domain.config import MOST_SYMBOLS
from trading.domain.screening import Condition
from trading.services import config, markets, venues

EXCHANGE = "upbit"
DAY = Interval.DAY_1
KEPT = timedelta(days=2)
BUDGET_S = 8.0  # of one page; a command may take longer
ATTEMPTS = 3  # failures in a row after which the exchange is left alone

Readings = dict[str, float | None]


@dataclass(frozen=True)
class Match:
    """One market that fits, with every reading."""

    symbol: str
    readings: Readings
    is_target: bool


@dataclass(frozen=True)
class Screened:
    """What came of it. until: the close all readings are of. unknown: too few days to tell. unasked: not asked in time. failures: why."""

    conditions: tuple[Condition, ...]
    is_any: bool
    until: datetime
    matches: tuple[Match, ...]
    looked_at: int
    unknown: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    failures: tuple[str, ...] = field(default=())

    def as_row(self) -> dict[str, Any]:
        """For a client that wants numbers."""
        return {
            "conditions": [str(condition) for condition in self.conditions],
            "joined_by": "or" if self.is_any else "and",
            "until": self.until.isoformat(),
            "looked_at": self.looked_at,
            "matches": [{"symbol": one.symbol, "is_target": one.is_target, "readings": one.readings} for one in self.matches],
            "unknown": list(self.unknown),
            "unasked": list(self.unasked),
            "failures": list(self.failures),
        }


def screen(
    texts: Sequence[str],
    *,
    is_any: bool,
    now: datetime,
    budget_s: float = BUDGET_S,
    symbols: Callable[[], Sequence[str]] | None = None,
    source: CandleSource | None = None,
) -> Screened:
    """Every tradable KRW market against the conditions, the most traded first. now: aware. budget_s: for asking the exchange.

    symbols, source: instead of the exchange's own. Raises BadInput for conditions that cannot be read, ExchangeUnavailable when not even
    the list of markets can be had.
    """
    conditions = screening.parse_all(texts)
    until = DAY.open_of(now)
    listed = sorted(_listed() if symbols is None else symbols())
    told, failures = _readings(listed, until=until, budget_s=budget_s, source=source)
    targets = set(config.current().target_symbols)
    answers = {symbol: screening.matches(readings, conditions, is_any=is_any) for symbol, readings in told.items()}
    fitting = [Match(symbol, told[symbol], symbol in targets) for symbol, fits in answers.items() if fits]
    fitting.sort(key=lambda one: -(one.readings.get("trade_amount[1D]") or 0))
    return Screened(
        conditions=conditions,
        is_any=is_any,
        until=until,
        matches=tuple(fitting),
        looked_at=len(told),
        unknown=tuple(symbol for symbol, fits in answers.items() if fits is None),
        unasked=tuple(symbol for symbol in listed if symbol not in told),
        failures=tuple(failures),
    )


def apply(symbols: Sequence[str], *, is_replacing: bool, by: Any, reason: str) -> list[str]:
    """Put what was chosen into `target_symbols`, beside those there or instead of them. Returns the new list.

    by: a User, or the name of a process. Raises BadInput without a symbol or a reason, and for more than the setting may hold.
    """
    if not symbols:
        raise BadInput("target_symbols was not changed: choose at least one market.")
    if not reason.strip():
        raise BadInput("target_symbols was not changed: a reason is needed, it is kept with the change.")
    kept = [] if is_replacing else list(config.current().target_symbols)
    wanted = list(dict.fromkeys([*kept, *symbols]))
    if len(wanted) > MOST_SYMBOLS:
        raise BadInput(f"target_symbols was not changed: it would hold {len(wanted)} markets; at most {MOST_SYMBOLS} are allowed.")
    config.change(key="target_symbols", value={"symbols": wanted}, by=by, reason=reason)
    return wanted


def _listed() -> list[str]:
    return [symbol for symbol, rules in markets.listed(EXCHANGE).items() if rules.is_tradable]


def _readings(
    symbols: Sequence[str], *, until: datetime, budget_s: float, source: CandleSource | None
) -> tuple[dict[str, Readings], list[str]]:
    """Kept readings first, then as many as the time allows, asked one after the other."""
    keys = {_key(symbol, until): symbol for symbol in symbols}
    told: dict[str, Readings] = {keys[key]: readings for key, readings in cache.get_many(list(keys)).items()}
    ends_at, failures, in_a_row = time.monotonic() + budget_s, [], 0
    for symbol in symbols:
        if symbol in told:
            continue
        if time.monotonic() > ends_at or in_a_row >= ATTEMPTS:
            break
        try:
            candles = (source or venues.public_exchange(EXCHANGE)).candles(
                symbol, DAY, start=until - screening.DAYS * DAY.length, end=until
            )
        except ExchangeUnavailable as error:
            failures.append(f"{symbol}: {error}")
            in_a_row += 1
            continue
        in_a_row = 0
        told[symbol] = screening.read(_series(symbol, candles)) if candles else {}
        cache.set(_key(symbol, until), told[symbol], timeout=int(KEPT.total_seconds()))
    return {symbol: told[symbol] for symbol in symbols if symbol in told}, failures


def _key(symbol: str, until: datetime) -> str:
    return f"screener:{EXCHANGE}:{symbol}:{until:%Y%m%d}"


def _series(symbol: str, candles: Sequence[Candle]) -> Candles:
    opened = np.array([to_nanoseconds(candle.opened_at) for candle in candles], dtype=np.int64)
    columns: dict[str, Any] = {name: np.array([float(getattr(candle, name)) for candle in candles]) for name in COLUMNS[1:]}
    return Candles(exchange=EXCHANGE, symbol=symbol, interval=DAY, open_time=opened, **columns)
