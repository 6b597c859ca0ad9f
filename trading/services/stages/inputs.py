"""What a decision was made from, as JSON beside its candles, and back: the same functions then decide the same, without network.

    Context, Collected ──recorded──► decision.inputs ──restored──► Context, Collected

Candles are named by symbol, interval, anchor, count and hash; whoever restores brings them and proves them by the hash.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import models

from backtests.candles.series import Candles
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.interval import Interval
from dgbot.core.types import Fees, Level, OrderBook, OrderType, Ticker, TradingRules
from risk.domain import limits
from risk.domain.reasons import Reason
from risk.models import RiskProfile
from trading.domain.stages import Collected
from trading.models import Bot, Cycle, Decision, Position
from trading.models.bots import RULES
from trading.services.stages.context import Context
from trading.services.stages.quick_filter import Filtered
from trading.services.stages.readings import Readings

Row = dict[str, Any]
CandlesOf = Callable[[str, Interval], Candles]  # symbol, interval → a series that holds the anchor
OF_BOT = ("name", "symbol", "strategy", "parameters", "interval", "analyst", "analyst_mode", "filter_mode", "mode")


def recorded(context: Context, collected: Collected, *, filtered: Filtered | None) -> Row:
    """As it is stored. filtered: an entry was considered, so limits, fees and the risk profile had a say."""
    is_entry = filtered is not None
    is_whole = is_entry or context.bot.analyst != RULES or context.is_followed
    candles = {"own": collected.candles, "btc": collected.btc, "minutes": collected.minutes}
    row: Row = {
        "slot": context.cycle.slot.isoformat(),
        "bot": {name: getattr(context.bot, name) for name in OF_BOT},
        "candles": {name: _named(series) for name, series in candles.items() if series is not None and len(series)},
        "ticker": None if collected.ticker is None else _texts(asdict(collected.ticker)),
        "book": None if collected.book is None else _texts(asdict(_seen(collected.book, is_whole=is_whole))),
        "unknown": [reason.as_row() for reason in collected.unknown],
        "position": None if context.position is None else _columns(context.position),
        "known_at": collected.known_at.isoformat(),
    }
    if filtered is not None:
        row |= {
            "profile": _columns(context.profile),
            "limits": context.limits.as_row(),
            "rules": _texts(asdict(context.rules)),
            "taker_rate": None if filtered.taker_rate is None else f"{filtered.taker_rate:f}",
            "fees_unknown": filtered.fees_unknown,
        }
    return row


@dataclass(frozen=True)
class _RecordedExchange:
    """What an exchange said then; anything else it is asked is a mistake."""

    taker_rate: str | None
    fees_unknown: str

    def fees(self, _symbol: str) -> Fees:
        """Of the account's tier. Raises ExchangeUnavailable when it did then."""
        if self.taker_rate is None:
            raise ExchangeUnavailable(self.fees_unknown)
        rate = Decimal(self.taker_rate)
        return Fees(maker_rate=rate, taker_rate=rate)


@dataclass(frozen=True)
class _RecordedVenue:
    exchange: _RecordedExchange


def restored(decision: Decision, candles_of: CandlesOf) -> tuple[Context, Collected]:
    """The cycle as it was when the decision was made. Raises BadInput when a series is missing or has changed since."""
    row = decision.inputs
    if not row:
        raise BadInput(f"Decision {decision.pk} was made by an earlier version, which kept no inputs; it cannot be made again.")
    bot = Bot(pk=decision.bot_id, account_id=decision.account_id, user_id=decision.user_id, **row["bot"])
    position = None if row["position"] is None else _model(Position, row["position"])
    readings: Any = Readings(
        settings=None,  # type: ignore[arg-type]  # stage 3 asks for none
        profile=_model(RiskProfile, row["profile"]) if "profile" in row else None,
        positions={} if position is None else {bot.pk: position},
        earned={},
        balances={},
        kill_switches=[],
        unproven_orders={},
        states=None,  # type: ignore[arg-type]
    )
    cycle = Cycle(pk=decision.cycle_id, bot=bot, slot=datetime.fromisoformat(row["slot"]))
    venue: Any = _RecordedVenue(_RecordedExchange(row.get("taker_rate"), row.get("fees_unknown", "")))
    context = Context(cycle=cycle, bot=bot, venue=venue, readings=readings, now=decision.created_at, lease_epoch=0)
    context.is_followed = True  # the book is taken as it was stored
    if "limits" in row:
        context.__dict__ |= {"limits": limits.from_row(row["limits"]), "rules": rules_from(row["rules"])}
    series = {name: _proven(named, candles_of) for name, named in row["candles"].items()}
    collected = Collected(
        candles=series.get("own"),
        ticker=ticker_from(row["ticker"]),
        book=book_from(row["book"]),
        balances={},
        unknown=tuple(Reason(**reason) for reason in row["unknown"]),
        known_at=datetime.fromisoformat(row["known_at"]),
        btc=series.get("btc"),
        minutes=series.get("minutes"),
    )
    return context, collected


def _seen(book: OrderBook, *, is_whole: bool) -> OrderBook:
    """What of the book had a say: all of it where an entry was considered or a model was shown it, else its best prices."""
    return book if is_whole else replace(book, bids=book.bids[:1], asks=book.asks[:1])


def _named(candles: Candles) -> Row:
    anchor = candles.first_opened_at
    assert anchor is not None
    return {
        "exchange": candles.exchange,
        "symbol": candles.symbol,
        "interval": candles.interval.value,
        "anchor_at": anchor.isoformat(),
        "count": len(candles),
        "hash": candles.hash_at(len(candles)),
    }


def _proven(named: Row, candles_of: CandlesOf) -> Candles:
    series = candles_of(named["symbol"], Interval(named["interval"]))
    anchor = datetime.fromisoformat(named["anchor_at"])
    found = (series if series.first_opened_at == anchor else series.from_anchor(anchor)).prefix(named["count"])
    if len(found) != named["count"] or found.hash_at(len(found)) != named["hash"]:
        raise BadInput(
            f"The {named['interval']} candles of {named['symbol']} from {named['anchor_at']} on are not those of the decision;"
            " a correction has changed them since, or the file is another one."
        )
    return found


def _columns(row: models.Model) -> Row:
    """Every column as JSON can hold it."""
    return {
        field.attname: value if isinstance(value := getattr(row, field.attname), dict | list) else field.value_to_string(row)
        for field in row._meta.concrete_fields
        if getattr(row, field.attname) is not None
    }


def _model(kind: type[Any], row: Row) -> Any:
    """An unsaved row with these columns; what is missing is empty."""
    made = {}
    for field in kind._meta.concrete_fields:
        value = row.get(field.attname)
        made[field.attname] = value if value is None or isinstance(value, dict | list) else field.to_python(value)
    return kind(**made)


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _texts(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(one) for one in value]
    if isinstance(value, frozenset):
        return sorted(str(one) for one in value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, datetime) else value


def ticker_from(row: Row | None) -> Ticker | None:
    """A recorded price; None: it was unknown."""
    if row is None:
        return None
    return Ticker(symbol=row["symbol"], price=Decimal(row["price"]), known_at=datetime.fromisoformat(row["known_at"]))


def book_from(row: Row | None) -> OrderBook | None:
    """A recorded book; None: it was unknown or of no use."""
    if row is None:
        return None
    sides = {
        side: tuple(Level(price=Decimal(level["price"]), amount=Decimal(level["amount"])) for level in row[side])
        for side in ("bids", "asks")
    }
    known_at = datetime.fromisoformat(row["known_at"])
    return OrderBook(symbol=row["symbol"], known_at=known_at, is_assumed=row["is_assumed"], **sides)


def rules_from(row: Row) -> TradingRules:
    """A market's rules as `recorded` wrote them."""
    decimals: dict[str, Any] = {
        field.name: None if row[field.name] is None else Decimal(row[field.name])
        for field in fields(TradingRules)
        if field.name.startswith(("lot", "minimum", "maximum"))
    }
    told = {name: row[name] for name in ("symbol", "base", "quote", "is_tradable")}
    bands = tuple((Decimal(start), Decimal(tick)) for start, tick in row["tick_bands"])
    types = frozenset(OrderType(one) for one in row["order_types"])
    return TradingRules(**told, **decimals, tick_bands=bands, order_types=types, cautions=tuple(row["cautions"]))
