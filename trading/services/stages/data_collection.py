"""Stage 2, DataCollection: everything a decision may look at, each with the time it was known. What is missing is named."""

from datetime import datetime
from decimal import Decimal

from backtests.candles.series import Candles
from backtests.conditions import summary
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.interval import Interval
from dgbot.core.types import OrderBook, Ticker
from risk.domain.reasons import Reason
from trading.domain.liquidity import is_usable
from trading.domain.stages import Action, Collected, Outcome
from trading.domain.validator import needs
from trading.models.bots import RULES
from trading.services.stages import shared_inputs
from trading.services.stages.context import Context

BTC = {"KRW": "KRW-BTC", "USDT": "BTC/USDT:USDT"}


def collect(context: Context) -> Collected:
    """Read candles, price, book and balances. Raises nothing for what is missing: it is listed in `unknown`.

    A shadow reads its candles, and is given price and book as its champion saw them.
    """
    unknown: list[Reason] = []
    shared = shared_inputs.of_champion(context)
    stale = context.venue.why_stale(context.bot.symbol) if shared is None else ""
    if stale:
        unknown.append(Reason("feed_stale", f"{stale[0].upper()}{stale[1:]}.", remedy="Nothing to do: it is dialled again by itself."))
    candles = _candles(context, unknown)
    if shared is None:
        ticker, book = _ticker(context, unknown), _book(context, unknown)
    else:
        ticker, book = shared.ticker, shared.book
        unknown.extend(shared.unknown)
    balances = _balances(context, unknown)
    missing: list[Reason] = []
    return Collected(
        candles=candles,
        ticker=ticker,
        book=book,
        balances=balances,
        unknown=tuple(unknown),
        known_at=context.now if shared is None else shared.known_at,
        shared_by=None if shared is None else shared.decision_pk,
        btc=_btc(context, missing),
        minutes=_minutes(context, missing),
        missing=tuple(missing),
    )


def outcome(collected: Collected, *, slot: datetime) -> Outcome:
    """The stage's answer. Without a single candle there is nothing to analyse, so the stage is skipped."""
    candles: Candles | None = collected.candles
    data = {
        "known_at": collected.known_at.isoformat(),
        "candles": None
        if candles is None or not len(candles)
        else {
            "count": len(candles),
            "anchor_at": _iso(candles.first_opened_at),
            "last_opened_at": _iso(candles.last_opened_at),
            "known_at": _iso(candles.last_closed_at),
        },
        "market": None if candles is None or not len(candles) else summary.newest(candles),
        "price": None if collected.ticker is None else {"value": str(collected.ticker.price), "known_at": _iso(collected.ticker.known_at)},
        "book": None
        if collected.book is None
        else {
            "best_bid": str(collected.book.bids[0].price),
            "best_ask": str(collected.book.asks[0].price),
            "is_assumed": collected.book.is_assumed,
            "known_at": _iso(collected.book.known_at),
        },
        "also": {name: _span(series) for name, series in (("btc", collected.btc), ("minutes", collected.minutes)) if series is not None},
        "balances": {asset: str(free) for asset, free in collected.balances.items()},
        "slot": slot.isoformat(),
        **({} if collected.shared_by is None else {"seen_by_decision": collected.shared_by}),
    }
    has_candles = candles is not None and len(candles) > 0
    return Outcome(Action.CONTINUE if has_candles else Action.SKIP, (*collected.unknown, *collected.missing), data)


def _candles(context: Context, unknown: list[Reason]) -> Candles | None:
    interval = Interval(context.bot.interval)
    try:
        candles = context.venue.history.closed(context.bot.symbol, interval, until=context.cycle.slot, anchor_at=context.bot.anchor_at)
    except (ExchangeUnavailable, ValueError) as error:
        unknown.append(Reason("candles_unknown", f"The candles are unknown: {error}."))
        return None
    boundary = interval.open_of(context.cycle.slot)
    if candles.last_closed_at != boundary:
        told = "none is closed yet" if candles.last_closed_at is None else f"the newest closed at {candles.last_closed_at.isoformat()}"
        unknown.append(
            Reason(
                "no_new_candle",
                f"No {interval} candle closed at {boundary.isoformat()} ({told}): nothing was traded in it.",
                remedy="Nothing to do: the next traded candle decides.",
            )
        )
    return candles


def _btc(context: Context, missing: list[Reason]) -> Candles | None:
    """BTC in the same currency, where a rule or an analyst asks for it; not for BTC itself."""
    asked = context.bot.analyst != RULES or needs("btc_beta", context.thresholds) or needs("correlation_change", context.thresholds)
    symbol = BTC.get(context.rules.quote)
    if not asked or context.is_btc or symbol is None:
        return None
    return _also(context, missing, symbol=symbol, interval=Interval(context.bot.interval), code="btc_candles_unknown")


def _minutes(context: Context, missing: list[Reason]) -> Candles | None:
    """Five-minute candles, where a rule or an analyst asks for a flash crash."""
    if context.bot.analyst == RULES and not needs("flash_return", context.thresholds):
        return None
    return _also(context, missing, symbol=context.bot.symbol, interval=Interval.MINUTE_5, code="minutes_unknown")


def _also(context: Context, missing: list[Reason], *, symbol: str, interval: Interval, code: str) -> Candles | None:
    try:
        return context.venue.history.closed(symbol, interval, until=context.cycle.slot, anchor_at=None)
    except (ExchangeUnavailable, BadInput, ValueError) as error:
        missing.append(Reason(code, f"The {interval} candles of {symbol} are unknown: {error}", remedy="Import them, or wait."))
        return None


def _span(candles: Candles) -> dict[str, str | int | None]:
    return {"symbol": candles.symbol, "interval": candles.interval.value, "count": len(candles), "known_at": _iso(candles.last_closed_at)}


def _ticker(context: Context, unknown: list[Reason]) -> Ticker | None:
    try:
        return context.venue.exchange.ticker(context.bot.symbol)
    except ExchangeUnavailable as error:
        unknown.append(Reason("price_unknown", f"The price is unknown: {error}."))
        return None


def _book(context: Context, unknown: list[Reason]) -> OrderBook | None:
    try:
        book = context.venue.exchange.order_book(context.bot.symbol)
    except ExchangeUnavailable as error:
        unknown.append(Reason("book_unknown", f"The order book is unknown: {error}."))
        return None
    if is_usable(book):
        return book
    unknown.append(Reason("book_unusable", f"The order book of {book.symbol} is empty, one-sided or crossed."))
    return None


def _balances(context: Context, unknown: list[Reason]) -> dict[str, Decimal]:
    balances = {asset: balance.free for asset, balance in context.balances.items()}
    if context.rules.quote not in balances:
        unknown.append(Reason("balance_unknown", f"The balance in {context.rules.quote} is unknown; the gateway has not told it yet."))
    return balances


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
