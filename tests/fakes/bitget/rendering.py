"""Bitget's wire shapes (Classic, v2): nearly every value is text, empty lists are null."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from dgbot.core.types import Side
from tests.fakes.bitget.accounts import FakeAccount
from tests.fakes.bitget.futures import Bill, Plan, Position
from tests.fakes.core.orders import Fill, Kind, Market, Order, Print, State


def number(value: Decimal) -> str:
    """Plain digits."""
    text = f"{value.normalize():f}"
    return "0" if text == "-0" else text


def stamp(instant: datetime) -> str:
    """Milliseconds since 1970."""
    return str(int(instant.timestamp() * 1000))


def contract(market: Market) -> dict[str, Any]:
    """A row of the contract list."""
    step = number(market.lot_step)
    tick = market.tick(Decimal(1))
    return {
        "symbol": market.symbol,
        "baseCoin": market.base,
        "quoteCoin": "USDT",
        "buyLimitPriceRatio": "0.05",
        "sellLimitPriceRatio": "0.05",
        "feeRateUpRatio": "0.005",
        "makerFeeRate": number(market.maker_rate),
        "takerFeeRate": number(market.taker_rate),
        "openCostUpRatio": "0.01",
        "supportMarginCoins": ["USDT"],
        "minTradeNum": number(market.minimum_amount),
        "priceEndStep": number(tick.scaleb(market.info["price_place"])),
        "volumePlace": str(max(0, -int(market.lot_step.normalize().as_tuple().exponent))),
        "pricePlace": str(market.info["price_place"]),
        "sizeMultiplier": step,
        "symbolType": "perpetual",
        "minTradeUSDT": number(market.minimum_total),
        "maxSymbolOrderNum": "200",
        "maxProductOrderNum": "1000",
        "maxPositionNum": "150",
        "symbolStatus": "normal" if market.is_open else "maintain",
        "offTime": "-1",
        "limitOpenTime": "-1",
        "deliveryTime": "",
        "deliveryStartTime": "",
        "deliveryPeriod": "",
        "launchTime": "",
        "fundInterval": "8",
        "minLever": "1",
        "maxLever": "100",
        "posLimit": "0.1",
        "maintainTime": "",
        "maxMarketOrderQty": "500",
        "maxOrderQty": "2000",
    }


def ticker(symbol: str, *, last: Decimal, bid: Decimal, ask: Decimal, mark: Decimal, now: datetime) -> dict[str, Any]:
    """A ticker row; the websocket's calls the symbol instId and has fewer fields."""
    return {
        "symbol": symbol,
        "lastPr": number(last),
        "askPr": number(ask),
        "bidPr": number(bid),
        "bidSz": "1",
        "askSz": "2",
        "high24h": number(last),
        "low24h": number(last),
        "ts": stamp(now),
        "change24h": "0.01",
        "baseVolume": "100",
        "quoteVolume": "300000",
        "usdtVolume": "300000",
        "openUtc": number(last),
        "changeUtc24h": "0.003",
        "indexPrice": number(mark),
        "fundingRate": "0.0001",
        "holdingAmount": "10",
        "deliveryStartTime": None,
        "deliveryTime": None,
        "deliveryStatus": "",
        "open24h": number(last),
        "markPrice": number(mark),
    }


def public_trade(printed: Print) -> dict[str, Any]:
    """A stranger's trade."""
    return {
        "tradeId": str(printed.sequence),
        "price": number(printed.price),
        "size": number(printed.amount),
        "side": printed.taker_side.value,
        "ts": stamp(printed.executed_at),
        "symbol": printed.market,
    }


def wallet(*, free: Decimal, locked: Decimal, unrealised: Decimal) -> dict[str, Any]:
    """A row of `accounts`."""
    available = number(free)
    equity = number(free + locked + unrealised)
    return {
        "marginCoin": "USDT",
        "locked": number(locked),
        "available": available,
        "crossedMaxAvailable": available,
        "isolatedMaxAvailable": available,
        "maxTransferOut": available,
        "accountEquity": equity,
        "usdtEquity": equity,
        "btcEquity": "0.01",
        "crossedRiskRate": "0",
        "unrealizedPL": number(unrealised),
        "coupon": "0",
        "crossedUnrealizedPL": "0",
        "isolatedUnrealizedPL": number(unrealised),
    }


TIERS = (("0", "150000", "125", "0.004"), ("150000", "900000", "100", "0.005"), ("900000", "5000000", "50", "0.01"))


def tiers(raw: str) -> list[dict[str, Any]]:
    """Position tiers: the larger a position, the more must stay as margin."""
    names = ("startUnit", "endUnit", "leverage", "keepMarginRate")
    return [{"symbol": raw, "level": str(level), **dict(zip(names, row, strict=True))} for level, row in enumerate(TIERS, start=1)]


def margin_account(account: FakeAccount, raw: str, row: dict[str, Any]) -> dict[str, Any]:
    """`account` of one symbol: the wallet and the modes; leverages are numbers here."""
    long, short = account.leverages.get(raw, ("10", "10"))
    return {
        **row,
        "crossedMarginLeverage": int(account.crossed_leverages.get(raw, "10")),
        "isolatedLongLever": int(long),
        "isolatedShortLever": int(short),
        "marginMode": account.margin_mode(raw),
        "posMode": account.position_mode,
        "isolatedUnrealizedPL": "",
    }


def position(raw: str, held: Position, *, account: FakeAccount, mark: Decimal, now: datetime) -> dict[str, Any]:
    """A row of `all-position`."""
    total, sign = abs(held.amount), 1 if held.amount > 0 else -1
    liquidation = held.entry_price * (1 - Decimal(sign) / held.leverage) if account.margin_mode(raw) == "isolated" else Decimal(0)
    return {
        "marginCoin": "USDT",
        "symbol": raw,
        "holdSide": "long" if held.amount > 0 else "short",
        "openDelegateSize": "0",
        "marginSize": number(held.margin),
        "available": number(total),
        "locked": "0",
        "total": number(total),
        "leverage": number(held.leverage),
        "achievedProfits": "0",
        "openPriceAvg": number(held.entry_price),
        "marginMode": account.margin_mode(raw),
        "posMode": account.position_mode,
        "unrealizedPL": number(held.amount * (mark - held.entry_price)),
        "liquidationPrice": number(max(Decimal(0), liquidation)),
        "keepMarginRate": "0.005",
        "markPrice": number(mark),
        "marginRatio": "0.02",
        "breakEvenPrice": number(held.entry_price),
        "totalFee": "",
        "deductedFee": number(held.fees),
        "grant": "",
        "assetMode": "single",
        "autoMargin": "off",
        "takeProfit": "",
        "stopLoss": "",
        "takeProfitId": "",
        "stopLossId": "",
        "cTime": stamp(held.opened_at or now),
        "uTime": stamp(now),
    }


def state(order: Order) -> str:
    """Bitget's word for an order's state."""
    if order.state is State.FILLED:
        return "filled"
    if order.state is State.CANCELLED:
        return "canceled"
    return "partially_filled" if order.filled else "live"


def order(one: Order, *, account: FakeAccount, in_list: bool) -> dict[str, Any]:
    """The detail of an order; lists say `status` instead of `state`."""
    asked = one.asked
    average = number(one.funds / one.filled) if one.filled else ""
    source = asked.info.get("source", "market" if asked.kind is Kind.MARKET else "normal")
    return {
        "symbol": asked.market,
        "size": number(asked.amount or Decimal(0)),
        "orderId": one.order_id,
        "clientOid": asked.client_id or asked.info.get("made_client_id", ""),
        "baseVolume": number(one.filled),
        "fee": number(-one.fees),
        "price": number(asked.price) if asked.price is not None else "",
        "priceAvg": average,
        "status" if in_list else "state": state(one),
        "side": asked.side.value,
        "force": asked.time_in_force.value,
        "totalProfits": number(sum((fill.info.get("profit", Decimal(0)) for fill in one.fills), Decimal(0))),
        "posSide": "net",
        "marginCoin": "USDT",
        "presetStopSurplusPrice": "",
        "presetStopLossPrice": "",
        "quoteVolume": number(one.funds),
        "orderType": "market" if asked.kind is Kind.MARKET else "limit",
        "leverage": account.leverage(asked.market),
        "marginMode": asked.info.get("margin_mode", account.margin_mode(asked.market)),
        "reduceOnly": "YES" if asked.reduce_only else "NO",
        "enterPointSource": "API" if asked.client_id else "SYS",
        "tradeSide": asked.info.get("trade_side", f"{asked.side.value}_single"),
        "posMode": account.position_mode,
        "orderSource": source,
        "cTime": stamp(one.created_at),
        "uTime": stamp(one.updated_at or one.created_at),
    }


def fill(one: Fill, *, account: FakeAccount) -> dict[str, Any]:
    """A row of `fills`: the client id is not in it, the fee is negative when charged."""
    detail = {"deduction": "no", "feeCoin": "USDT", "totalDeductionFee": None, "totalFee": number(-one.fee)}
    return {
        "tradeId": one.trade_id,
        "symbol": one.market,
        "orderId": one.order_id,
        "price": number(one.price),
        "baseVolume": number(one.amount),
        "feeDetail": [detail],
        "side": one.side.value,
        "quoteVolume": number(one.funds),
        "profit": number(one.info.get("profit", Decimal(0))),
        "enterPointSource": "api",
        "tradeSide": f"{one.side.value}_single",
        "posMode": account.position_mode,
        "tradeScope": "maker" if one.is_maker else "taker",
        "cTime": stamp(one.executed_at),
    }


def plan(one: Plan, *, account: FakeAccount) -> dict[str, Any]:
    """A row of `orders-plan-pending`."""
    is_long = one.hold_side in ("buy", "long")
    return {
        "planType": one.plan_type,
        "symbol": one.market,
        "size": number(one.size) if one.size is not None else "",
        "orderId": one.plan_id,
        "clientOid": one.client_id,
        "price": "",
        "executePrice": "0",
        "callbackRatio": "",
        "triggerPrice": number(one.trigger_price),
        "triggerType": "mark_price",
        "planStatus": "live",
        "side": (Side.SELL if is_long else Side.BUY).value,
        "posSide": "net" if account.position_mode == "one_way_mode" else ("long" if is_long else "short"),
        "marginCoin": "USDT",
        "marginMode": account.margin_mode(one.market),
        "enterPointSource": "API",
        "tradeSide": "close",
        "posMode": account.position_mode,
        "orderType": "market",
        "orderSource": one.plan_type,
        "cTime": stamp(one.created_at),
        "uTime": stamp(one.created_at),
    }


def bill(one: Bill) -> dict[str, Any]:
    """A funding bill; negative was paid."""
    return {
        "billId": one.bill_id,
        "symbol": one.market,
        "amount": number(one.amount),
        "fee": "0",
        "feeByCoupon": "",
        "businessType": "contract_settle_fee",
        "coin": "USDT",
        "balance": "",
        "cTime": stamp(one.at),
    }
