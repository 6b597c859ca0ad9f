"""Bitget's rows (Classic, API v2) into our types. Pure; every number comes from text, never through a float.

Raises ValueError, KeyError or TypeError for a row that is not what it should be; the adapter says what that means.
Source: docs/exchanges.md; wire shapes in the fake of the tests.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from dgbot.core.money import parse_decimal
from dgbot.core.types import (
    Balance,
    Candle,
    CashFlow,
    CashFlowKind,
    Fees,
    KeyRights,
    Level,
    MarginMode,
    MarginState,
    MarginTier,
    MarketTrade,
    OrderBook,
    OrderType,
    Side,
    Ticker,
    TradingRules,
    VenueFill,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
    VenueStop,
)

Row = Mapping[str, Any]

QUOTE = "USDT"
EARLIEST_MS, LATEST_MS = 1_230_768_000_000, 4_102_444_800_000  # 2009 to 2100: seconds and microseconds fall outside
ONE_WAY = "one_way_mode"
FINISHED = frozenset({"filled", "canceled", "cancelled"})
STOP_PLANS = frozenset({"pos_loss", "loss_plan"})
FIRED_STOPS = frozenset({"pos_loss_market", "pos_loss_limit", "loss_market", "loss_limit"})  # orderSource of what such a plan has sent
WITHDRAWAL_RIGHTS = frozenset({"wwow", "withdraw"})
TRADING_RIGHTS = frozenset({"coow", "trade"})
FORCED = ("burst_", "dte_sys_adl_", "delivery_")  # beginnings of `tradeSide`
FLOWS = {"contract_settle_fee": CashFlowKind.FUNDING}
TRANSFERS = {"trans_from": CashFlowKind.DEPOSIT, "trans_to": CashFlowKind.WITHDRAWAL}  # from and to the other accounts at Bitget
READING_RIGHTS = frozenset({"coor", "cpor", "coow", "cpow", "readonly", "trade"})


# --- Symbols ---
def raw_symbol(symbol: str) -> str:
    """`ETHUSDT` of `ETH/USDT:USDT`. Raises ValueError for another form: spot `ETH/USDT` shares its raw id."""
    base, slash, rest = symbol.partition("/")
    if not slash or rest != f"{QUOTE}:{QUOTE}" or not base.isalnum() or base != base.upper():
        raise ValueError(f"{symbol!r} is no USDT perpetual of Bitget; one is written ETH/USDT:USDT")
    return base + QUOTE


def our_symbol(raw: str) -> str:
    """`ETH/USDT:USDT` of `ETHUSDT`; another contract keeps its own name, so that foreign rows stay tellable."""
    base = raw.removesuffix(QUOTE)
    return f"{base}/{QUOTE}:{QUOTE}" if base != raw and base.isalnum() else raw


# --- Values ---
def number(row: Row, key: str) -> Decimal:
    """The finite number under `key`."""
    return exact(row[key], name=key)


def number_or_none(row: Row, key: str) -> Decimal | None:
    """The finite number under `key`; None where Bitget leaves it empty."""
    value = row.get(key)
    return None if value in (None, "") else exact(value, name=key)


def exact(value: Any, *, name: str) -> Decimal:
    """The Decimal of a JSON text or number."""
    if isinstance(value, Decimal):
        return parse_decimal(str(value), name=name)
    return parse_decimal(value, name=name)


def positive(row: Row, key: str) -> Decimal:
    """The number under `key`, above zero."""
    value = number(row, key)
    if value <= 0:
        raise ValueError(f"{key} must be positive, was {value}")
    return value


def moment(value: Any) -> datetime:
    """The UTC time of milliseconds since 1970. Raises ValueError for seconds, microseconds and nonsense."""
    milliseconds = int(exact(value, name="time"))
    if not EARLIEST_MS <= milliseconds <= LATEST_MS:
        raise ValueError(f"{milliseconds} is no time in milliseconds")
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def milliseconds(instant: datetime) -> str:
    """Milliseconds since 1970, as Bitget takes them."""
    return str((instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))


def text(row: Row, key: str) -> str:
    """The text under `key`, not empty."""
    value = row[key]
    if not isinstance(value, str) or not value or len(value) > 128:
        raise ValueError(f"{key} must be a short text, was {value!r:.60}")
    return value


def rows(data: Any) -> list[Row]:
    """A list of objects; `null` is Bitget's empty list."""
    if data is None:
        return []
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise ValueError("a list of objects was expected")
    return data


def listed(data: Any, key: str) -> list[Row]:
    """The list under `key` of an object; also `[]` and `null` in place of the object."""
    if not data:
        return []
    if not isinstance(data, dict):
        raise ValueError(f"an object with {key} was expected")
    return rows(data.get(key))


def only(data: Any, raw: str) -> Row:
    """The one row of `raw`; another market's data is refused."""
    found = data if isinstance(data, dict) else next(iter(rows(data)))
    if found.get("symbol", raw) != raw:
        raise ValueError(f"{found.get('symbol')!r} was answered instead of {raw}")
    return found


# --- Market data ---
def trading_rules(row: Row) -> TradingRules:
    """One contract. Its amount is in base coin; `maxOrderQty` and `maxMarketOrderQty` are not in ccxt's unified limits."""
    tick = number(row, "priceEndStep").scaleb(-int(number(row, "pricePlace")))
    if tick <= 0:
        raise ValueError(f"the tick of {row['symbol']} is {tick}")
    return TradingRules(
        symbol=our_symbol(text(row, "symbol")),
        base=text(row, "baseCoin"),
        quote=text(row, "quoteCoin"),
        lot_step=positive(row, "sizeMultiplier"),
        minimum_total=positive(row, "minTradeUSDT"),
        tick_bands=((Decimal(0), tick),),
        minimum_amount=number(row, "minTradeNum"),
        maximum_amount=number_or_none(row, "maxOrderQty"),
        maximum_market_amount=number_or_none(row, "maxMarketOrderQty"),
        maximum_leverage=number_or_none(row, "maxLever") or Decimal(1),
        is_tradable=row.get("symbolStatus") == "normal",
    )


def fees_of_contract(row: Row) -> Fees:
    """The base tier's fees, told with the contract."""
    return Fees(maker_rate=number(row, "makerFeeRate"), taker_rate=number(row, "takerFeeRate"))


def fees(row: Row) -> Fees:
    """This account's fees."""
    return fees_of_contract(row)


def ticker(row: Row, *, symbol: str) -> Ticker:
    """Last price."""
    return Ticker(symbol=symbol, price=positive(row, "lastPr"), known_at=moment(row["ts"]))


def order_book(row: Row, *, symbol: str) -> OrderBook:
    """Both sides, best first; a crossed or unordered book is refused."""
    bids, asks = _levels(row["bids"]), _levels(row["asks"])
    ordered = all(a.price > b.price for a, b in pairwise(bids))
    ordered = ordered and all(a.price < b.price for a, b in pairwise(asks))
    if not ordered or (bids and asks and bids[0].price >= asks[0].price):
        raise ValueError(f"the book of {symbol} is crossed or out of order")
    return OrderBook(symbol=symbol, bids=bids, asks=asks, known_at=moment(row["ts"]))


def _levels(pairs: Iterable[Any]) -> tuple[Level, ...]:
    levels = (Level(price=exact(price, name="price"), amount=exact(amount, name="size")) for price, amount in pairs)
    return tuple(level for level in levels if level.price > 0 and level.amount > 0)


def candle(row: Any) -> Candle:
    """One row: open time, open, high, low, close, base volume, quote volume."""
    opened, *values = row
    first, high, low, last, volume = (exact(value, name="candle") for value in values[:5])
    if not 0 < low <= min(first, last) <= max(first, last) <= high or volume < 0:
        raise ValueError(f"a candle of {opened} contradicts itself")
    return Candle(opened_at=moment(opened), open=first, high=high, low=low, close=last, volume=volume)


def market_trade(row: Row, *, symbol: str) -> MarketTrade:
    """One public execution. The trade id is a growing whole number."""
    return MarketTrade(
        symbol=symbol,
        sequence=int(text(row, "tradeId")),
        price=positive(row, "price"),
        amount=positive(row, "size"),
        side=side(row["side"]),
        executed_at=moment(row["ts"]),
    )


# --- The account ---
def balance(row: Row) -> Balance:
    """The wallet of one margin coin: free can be taken as isolated or crossed margin, locked is the rest without unrealised profit."""
    usable = [value for key in ("crossedMaxAvailable", "isolatedMaxAvailable") if (value := number_or_none(row, key)) is not None]
    free = max(Decimal(0), min(usable) if usable else number(row, "available"))
    wallet = number(row, "accountEquity") - _unrealised(row)
    return Balance(asset=text(row, "marginCoin"), free=free, locked=max(Decimal(0), wallet - free))


def _unrealised(row: Row) -> Decimal:
    """Profit of open positions that is in the equity: told in one number, else in two. When in neither it is unknown, which raises."""
    whole = number_or_none(row, "unrealizedPL")
    return number(row, "crossedUnrealizedPL") + number(row, "isolatedUnrealizedPL") if whole is None else whole


def position(row: Row) -> VenuePosition:
    """A position; short is negative. A liquidation price of 0 or nothing is unknown."""
    total = number(row, "total")
    hold = row["holdSide"]
    if hold not in ("long", "short") or total < 0:
        raise ValueError(f"a position of {total} on the side {hold!r}")
    liquidation = number_or_none(row, "liquidationPrice")
    return VenuePosition(
        symbol=our_symbol(text(row, "symbol")),
        amount=total if hold == "long" else -total,
        entry_price=positive(row, "openPriceAvg"),
        leverage=number(row, "leverage"),
        liquidation_price=liquidation if liquidation and liquidation > 0 else None,
        unrealised_profit=number_or_none(row, "unrealizedPL"),
    )


def margin_state(row: Row, *, symbol: str) -> MarginState:
    """Margin mode, leverage and position mode of a symbol; where long and short differ, the leverage is the higher one."""
    mode = {"isolated": MarginMode.ISOLATED, "crossed": MarginMode.CROSSED}[row["marginMode"]]
    if mode is MarginMode.ISOLATED:
        leverage = max(number(row, "isolatedLongLever"), number(row, "isolatedShortLever"))
    else:
        leverage = number(row, "crossedMarginLeverage")
    return MarginState(symbol=symbol, margin_mode=mode, leverage=leverage, is_one_way=row["posMode"] == ONE_WAY)


def margin_tiers(data: Any) -> tuple[MarginTier, ...]:
    """The tiers of one contract, smallest first. Tiers that leave gaps, or none at all, are refused."""
    told = [
        (number(row, "startUnit"), MarginTier(positive(row, "endUnit"), positive(row, "keepMarginRate"), positive(row, "leverage")))
        for row in rows(data)
    ]
    tiers = sorted(told, key=lambda one: one[0])
    starts, ends = [start for start, _tier in tiers], [tier.up_to for _start, tier in tiers]
    if starts != [Decimal(0), *ends[:-1]]:
        raise ValueError(f"the tiers begin at {starts} and end at {ends}")
    return tuple(tier for _start, tier in tiers)


def has_one_leverage(row: Row) -> bool:
    """Whether long and short positions of an isolated symbol would get the same leverage."""
    return number(row, "isolatedLongLever") == number(row, "isolatedShortLever")


def key_rights(row: Row, *, is_demo: bool) -> KeyRights:
    """What Bitget says of a key. It tells no expiry."""
    rights = set(row["authorities"])
    if not all(isinstance(right, str) for right in rights):
        raise ValueError("the rights of the key are not words")
    addresses = row.get("ips")
    return KeyRights(
        can_read=bool(rights & READING_RIGHTS),
        can_trade=bool(rights & TRADING_RIGHTS),
        can_withdraw=bool(rights & WITHDRAWAL_RIGHTS),
        is_ip_locked=None if addresses is None else bool(addresses),
        expires_at=None,
        is_demo=is_demo,
    )


def cash_flow(row: Row) -> CashFlow | None:
    """One bill, if it is money that came or went without a fill."""
    word = text(row, "businessType")
    kind = FLOWS.get(word) or next((kind for start, kind in TRANSFERS.items() if word.startswith(start)), None)
    if kind is None:
        return None
    return CashFlow(
        flow_id=text(row, "billId"),
        kind=kind,
        asset=text(row, "coin"),
        amount=number(row, "amount"),
        at=moment(row["cTime"]),
        symbol=our_symbol(str(row.get("symbol") or "")),
        word=word,
    )


# --- Orders ---
def side(word: Any) -> Side:
    """`buy` or `sell`, also with a tail such as `buy_single`."""
    return Side(str(word).lower().partition("_")[0])


def order(row: Row, *, fills: tuple[VenueFill, ...] = ()) -> VenueOrder:
    """An order; lists say `status` where the detail says `state`. The state comes from the quantities, not from the word."""
    amount, filled = positive(row, "size"), number(row, "baseVolume")
    if not 0 <= filled <= amount:
        raise ValueError(f"{filled} of {amount} are filled")
    order_type = OrderType(row["orderType"])
    price = number_or_none(row, "price")
    return VenueOrder(
        exchange_order_id=text(row, "orderId"),
        client_id=row.get("clientOid") or row.get("clientOId") or None,
        symbol=our_symbol(text(row, "symbol")),
        side=_order_side(row),
        order_type=order_type,
        status=_status(row.get("state") or row["status"], amount=amount, filled=filled),
        filled_amount=filled,
        created_at=moment(row["cTime"]),
        amount=amount,
        price=price if order_type is OrderType.LIMIT else None,
        fills=fills,
        is_forced=str(row.get("tradeSide", "")).startswith(FORCED),
        is_fired_stop=row.get("orderSource") in FIRED_STOPS,
        raw=dict(row),
    )


def _order_side(row: Row) -> Side:
    """Hedge mode names the position, not the trade: closing a long is written `buy` there."""
    told = side(row["side"])
    if row.get("posMode") == "hedge_mode" and str(row.get("tradeSide", "")).lower() == "close":
        return Side.SELL if told is Side.BUY else Side.BUY
    return told


def _status(word: Any, *, amount: Decimal, filled: Decimal) -> VenueOrderStatus:
    if word in FINISHED:
        return VenueOrderStatus.FILLED if filled == amount else VenueOrderStatus.CANCELLED
    if word not in ("live", "new", "init", "partially_filled"):
        raise ValueError(f"an order is {word!r}")
    if filled == amount:
        return VenueOrderStatus.FILLED
    return VenueOrderStatus.PARTIALLY_FILLED if filled else VenueOrderStatus.OPEN


def fill(row: Row, *, client_id: str | None) -> VenueFill:
    """One execution. The fee is negative in v2 when it was charged; ours is positive then."""
    fee, currency = _fee(rows(row.get("feeDetail")))
    return VenueFill(
        exchange_trade_id=text(row, "tradeId"),
        exchange_order_id=text(row, "orderId"),
        client_id=client_id,
        symbol=our_symbol(text(row, "symbol")),
        side=_order_side(row),
        price=positive(row, "price"),
        amount=positive(row, "baseVolume"),
        fee=fee,
        fee_currency=currency,
        executed_at=moment(row["cTime"]),
    )


def _fee(details: list[Row]) -> tuple[Decimal, str]:
    coins = {text(detail, "feeCoin") for detail in details if detail.get("feeCoin")}
    if len(coins) > 1:
        raise ValueError(f"one fill was charged in {len(coins)} coins")
    total = sum((-exact(detail.get("totalFee") or detail.get("fee") or "0", name="fee") for detail in details), Decimal(0))
    return total, coins.pop() if coins else QUOTE


def stop(row: Row) -> VenueStop:
    """A waiting stop of a position; `pos_loss` covers all of it and has no amount."""
    held = row.get("posSide") or row.get("holdSide")
    closes = {"long": Side.SELL, "short": Side.BUY}.get(str(held))
    amount = number_or_none(row, "size")
    return VenueStop(
        exchange_stop_id=text(row, "orderId"),
        client_id=row.get("clientOid") or None,
        symbol=our_symbol(text(row, "symbol").upper()),
        side=closes or side(row["side"]),
        trigger_price=positive(row, "triggerPrice"),
        amount=amount if amount and row.get("planType") != "pos_loss" else None,
        created_at=moment(row["cTime"]),
    )
