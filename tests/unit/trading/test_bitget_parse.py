"""Bitget's rows as documented and as recorded: read exactly, or refused."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from dgbot.core.errors import ExchangeError
from dgbot.core.types import Side, VenueOrderStatus
from tests.fakes.bitget import FakeBitget
from trading.exchanges import bitget_parse as parse
from trading.exchanges.bitget_feed import BitgetPublicFeed
from trading.exchanges.feed_events import TickerSeen
from trading.exchanges.strict_json import Unreadable

D = Decimal
DETAIL = {
    "symbol": "ETHUSDT",
    "size": "0.05",
    "orderId": "1",
    "clientOid": "bot-1",
    "baseVolume": "0.05",
    "fee": "-0.09",
    "price": "",
    "priceAvg": "3000",
    "state": "filled",
    "side": "buy",
    "force": "gtc",
    "posSide": "net",
    "quoteVolume": "150",
    "orderType": "market",
    "reduceOnly": "NO",
    "tradeSide": "buy_single",
    "posMode": "one_way_mode",
    "cTime": "1700719887120",
    "uTime": "1700719887120",
}
POSITION = {
    "marginCoin": "USDT",
    "symbol": "ETHUSDT",
    "holdSide": "long",
    "total": "0.05",
    "leverage": "5",
    "openPriceAvg": "3000",
    "unrealizedPL": "0.5",
    "liquidationPrice": "0",
}
FILL = {
    "tradeId": "11",
    "symbol": "ETHUSDT",
    "orderId": "1",
    "price": "3000",
    "baseVolume": "0.05",
    "feeDetail": [{"deduction": "no", "feeCoin": "USDT", "totalDeductionFee": None, "totalFee": "-0.09"}],
    "side": "buy",
    "posMode": "one_way_mode",
    "tradeSide": "buy_single",
    "cTime": "1700720700342",
}


WALLET = {"marginCoin": "USDT", "available": "900", "accountEquity": "1005"}


@pytest.mark.parametrize(
    "told",
    [
        {"unrealizedPL": "5"},
        {"unrealizedPL": "5", "crossedUnrealizedPL": "1", "isolatedUnrealizedPL": "1"},
        {"unrealizedPL": "", "crossedUnrealizedPL": "2", "isolatedUnrealizedPL": "3"},
    ],
)
def test_a_wallet_is_the_equity_without_unrealised_profit(told):
    assert parse.balance(WALLET | told).locked == D(105) - 5


@pytest.mark.parametrize("told", [{}, {"unrealizedPL": ""}, {"unrealizedPL": None, "crossedUnrealizedPL": "2"}])
def test_a_wallet_whose_unrealised_profit_is_unknown_is_not_guessed(told):
    with pytest.raises((KeyError, ValueError)):
        parse.balance(WALLET | told)


@pytest.mark.parametrize(("symbol", "raw"), [("ETH/USDT:USDT", "ETHUSDT"), ("1000BONK/USDT:USDT", "1000BONKUSDT")])
def test_symbols_travel_both_ways(symbol, raw):
    assert parse.raw_symbol(symbol) == raw and parse.our_symbol(raw) == symbol


@pytest.mark.parametrize("symbol", ["ETH/USDT", "ETHUSDT", "ETH/USDC:USDC", "eth/USDT:USDT", "/USDT:USDT", "E-H/USDT:USDT", "BTC/USD:BTC"])
def test_other_symbols_are_refused(symbol):
    with pytest.raises(ValueError, match="no USDT perpetual"):
        parse.raw_symbol(symbol)


def test_a_foreign_contract_keeps_its_own_name():
    assert parse.our_symbol("BTCUSD_DMCBL") == "BTCUSD_DMCBL"


@pytest.mark.parametrize(
    ("word", "filled", "status"),
    [
        ("live", "0", VenueOrderStatus.OPEN),
        ("live", "0.02", VenueOrderStatus.PARTIALLY_FILLED),
        ("partially_filled", "0.02", VenueOrderStatus.PARTIALLY_FILLED),
        ("filled", "0.05", VenueOrderStatus.FILLED),
        ("canceled", "0.05", VenueOrderStatus.FILLED),
        ("canceled", "0.02", VenueOrderStatus.CANCELLED),
        ("filled", "0.02", VenueOrderStatus.CANCELLED),
    ],
)
def test_the_state_comes_from_the_quantities(word, filled, status):
    order = parse.order({**DETAIL, "state": word, "baseVolume": filled})

    assert (order.status, order.filled_amount) == (status, D(filled))


@pytest.mark.parametrize(
    "change",
    [
        {"state": "dreaming"},
        {"baseVolume": "0.06"},
        {"baseVolume": "-1"},
        {"size": "0"},
        {"size": "NaN"},
        {"size": 0.05},
        {"size": True},
        {"cTime": "1700719887"},
        {"orderId": ""},
        {"orderId": 7},
        {"side": "up"},
        {"orderType": "iceberg"},
    ],
)
def test_an_order_that_contradicts_itself_is_refused(change):
    with pytest.raises((ValueError, KeyError, TypeError)):
        parse.order({**DETAIL, **change})


def test_closing_a_long_in_hedge_mode_is_a_sale_though_bitget_writes_buy():
    assert parse.order({**DETAIL, "posMode": "hedge_mode", "tradeSide": "close"}).side is Side.SELL


def test_a_position_is_signed_and_a_liquidation_price_of_zero_is_unknown():
    long, short = parse.position(POSITION), parse.position({**POSITION, "holdSide": "short", "liquidationPrice": "3500.5"})

    assert (long.amount, long.liquidation_price) == (D("0.05"), None)
    assert (short.amount, short.liquidation_price) == (D("-0.05"), D("3500.5"))


def test_a_charge_is_positive_a_rebate_negative_and_two_coins_are_refused():
    rebate = [{"feeCoin": "USDT", "totalFee": "0.01"}]
    assert parse.fill(FILL, client_id="A1").fee == D("0.09")
    assert parse.fill({**FILL, "feeDetail": rebate}, client_id="A1").fee == D("-0.01")
    with pytest.raises(ValueError, match="2 coins"):
        parse.fill({**FILL, "feeDetail": [*rebate, {"feeCoin": "BGB", "totalFee": "-1"}]}, client_id="A1")


def test_a_crossed_or_unordered_book_is_refused():
    book = {"asks": [["3000.6", "2"]], "bids": [["3000.5", "1"]], "ts": "1750332210370"}
    assert parse.order_book(book, symbol="ETH/USDT:USDT").asks[0].price == D("3000.6")
    for change in ({"bids": [["3000.6", "1"]]}, {"asks": [["3001", "1"], ["3000.9", "1"]]}):
        with pytest.raises(ValueError, match="crossed or out of order"):
            parse.order_book({**book, **change}, symbol="ETH/USDT:USDT")


@pytest.mark.parametrize("row", [["1750330800000", "3000", "2990", "2999", "3000", "1"], ["1750330800", "1", "1", "1", "1", "1"], ["1"], 7])
def test_a_candle_that_contradicts_itself_is_refused(row):
    with pytest.raises((ValueError, TypeError)):
        parse.candle(row)


@given(st.decimals(min_value="0.000000000000000001", max_value="9999999999", places=18, allow_nan=False))
def test_a_number_keeps_every_digit(value):
    assert parse.exact(f"{value:f}", name="x") == value


def test_times_are_milliseconds_and_travel_both_ways():
    at = datetime(2026, 3, 4, 12, 30, 17, 123000, tzinfo=UTC)

    assert parse.moment(parse.milliseconds(at)) == at


# --- Recorded ---
def recorded() -> dict:
    """The collection of recorded answers; skips where there is none."""
    folder = settings.ENV["DGBOT_TEST_DATA"] or Path(settings.BASE_DIR).parent / "shared" / "data"
    path = Path(folder) / "api_samples" / "bitget" / "samples.json"
    if not path.is_file():
        pytest.skip(f"NOT RUN: {path} is not here; set DGBOT_TEST_DATA")
    return json.loads(path.read_text())


@pytest.mark.recorded
def test_the_recorded_acknowledgement_of_an_order_is_understood():
    from tests.contracts.bitget.stage import PLACE, an_order, connected
    from tests.fakes.core.faults import garbage

    body = next(one["body"] for one in recorded()["rest"] if "acknowledgement" in one["what"])
    with FakeBitget() as fake:
        fake.open_market()
        fake.server.faults.set(PLACE, garbage(json.dumps(body)))
        placed = connected(fake, fake.add_account()).place(an_order(body["data"]["clientOid"]))

    assert placed.exchange_order_id == "1267045253332500481"


@pytest.mark.recorded
def test_recorded_frames_are_understood_or_refused_never_guessed():
    feed, understood = BitgetPublicFeed("ws://nowhere"), []
    for frame in recorded()["ws"]:
        argument = {"instId": "BTCUSDT", **frame["arg"], "instType": "USDT-FUTURES"}  # recorded on spot: the frames are the same
        try:
            understood += feed.hear(json.dumps({**frame, "arg": argument})).events
        except Unreadable:
            assert argument["channel"] in ("trade", "candle1m")  # trimmed by whoever quoted them: no trade ids

    assert [type(event) for event in understood] == [TickerSeen] and understood[0].ticker.price == D("84404.26")


@pytest.mark.recorded
def test_answers_of_the_unified_account_are_not_taken_for_classic_ones():
    for one in recorded()["rest"]:
        if "unified" in one["what"]:
            with pytest.raises((ValueError, KeyError, TypeError, ExchangeError)):
                parse.order(one["body"]["data"])
