"""The fake Bitget keeps Bitget's rules: signatures, clocks, client ids, modes, stops, limits, streams."""

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest

from dgbot.core.types import Side
from tests.fakes.bitget import FakeAccount, FakeBitget
from tests.fakes.bitget.accounts import sign
from tests.fakes.bitget.errors import DOCUMENTED
from tests.fakes.bitget.sockets import PRIVATE, PUBLIC, checksum
from tests.fakes.core.clock import FakeClock
from tests.fakes.core.server import Request

D = Decimal
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MIX = "/api/v2/mix"
ORDER = {
    "symbol": "ETHUSDT",
    "productType": "USDT-FUTURES",
    "marginMode": "isolated",
    "marginCoin": "USDT",
    "size": "0.05",
    "side": "buy",
    "orderType": "market",
    "clientOid": "A1",
}


@pytest.fixture
def fake() -> FakeBitget:
    """Not listening: requests are handed to it directly."""
    fake = FakeBitget(clock=FakeClock(NOW))
    fake.open_market()
    fake.add_account()
    return fake


def ask(
    fake: FakeBitget, method: str, path: str, *, query: str = "", body: dict | None = None, account: FakeAccount | None = None, **spoil
):
    """A signed request; `spoil` replaces headers."""
    account = account or next(iter(fake.accounts.values()))
    stamp = str(int(fake.clock.now().timestamp() * 1000))
    raw = json.dumps(body).encode() if body is not None else b""
    text = f"{stamp}{method}{path}{'?' + query if query else ''}{raw.decode()}"
    headers = {"ACCESS-KEY": account.key, "ACCESS-SIGN": sign(account.secret, text), "ACCESS-TIMESTAMP": stamp}
    headers |= {"ACCESS-PASSPHRASE": account.passphrase} | ({"PAPTRADING": "1"} if account.is_demo else {})
    headers |= {name.replace("_", "-"): value for name, value in spoil.items()}
    answer = fake.handle(Request(method, path, query, headers, raw, arrived_at=fake.clock.now(), peer="127.0.0.1"))
    return answer.status, json.loads(answer.payload)


def place(fake: FakeBitget, **changes) -> dict:
    return ask(fake, "POST", f"{MIX}/order/place-order", body={**ORDER, **changes})[1]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ({"ACCESS_KEY": ""}, "40001"),
        ({"ACCESS_KEY": "nobody"}, "40037"),
        ({"ACCESS_SIGN": ""}, "40003"),
        ({"ACCESS_SIGN": "wrong"}, "40009"),
        ({"ACCESS_TIMESTAMP": "yesterday"}, "40005"),
        ({"ACCESS_TIMESTAMP": "1"}, "40008"),
        ({"ACCESS_PASSPHRASE": "wrong"}, "40012"),
        ({"PAPTRADING": "1"}, "40099"),
    ],
)
def test_a_request_that_is_not_properly_signed_is_refused(fake, spoil, code):
    status, body = ask(fake, "GET", f"{MIX}/account/accounts", query="productType=USDT-FUTURES", **spoil)

    assert (status, body["code"], body["data"]) == (400, code, None)


def test_the_query_is_signed_sorted_and_decoded(fake):
    query = urlencode(sorted({"symbol": "ETHUSDT", "productType": "USDT-FUTURES", "marginCoin": "USDT"}.items()))
    assert ask(fake, "GET", f"{MIX}/account/account", query=query)[1]["code"] == "00000"

    backwards = urlencode(list(reversed(parse_qsl(query))))
    assert ask(fake, "GET", f"{MIX}/account/account", query=backwards)[1]["code"] == "40009"


def test_missing_rights_and_foreign_addresses_are_forbidden(fake):
    reader = fake.add_account(name="bob", key="bg_bob", rights=("coor",))
    assert ask(fake, "POST", f"{MIX}/order/place-order", body=ORDER, account=reader)[:1] == (403,)

    reader.allowed_peers = ("203.0.113.7",)
    assert ask(fake, "GET", f"{MIX}/order/orders-pending", account=reader)[1]["code"] == "40018"


def test_a_client_id_is_taken_once_and_long_ones_are_refused(fake):
    assert place(fake)["data"]["clientOid"] == "A1"
    assert place(fake)["code"] == "40786"
    assert place(fake, clientOid="x" * 51)["code"] == "40305"
    assert place(fake, clientOid=None)["data"]["clientOid"].isdigit()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tradeSide": "Open"}, "40774"),
        ({"size": "500"}, "40762"),
        ({"size": "0.001"}, "40808"),
        ({"size": "1e-2"}, "40017"),
        ({"orderType": "limit", "price": "100", "size": "0.04"}, "45110"),
        ({"symbol": "NONEUSDT"}, "40034"),
        ({"size": ""}, "40019"),
        ({"reduceOnly": "YES"}, "22002"),
    ],
)
def test_an_impossible_order_gets_the_documented_code(fake, change, code):
    body = place(fake, **change)

    assert body["code"] == code and code in DOCUMENTED


def test_margin_and_money_add_up_over_a_flip_from_long_to_short(fake):
    place(fake)
    place(fake, clientOid="A2", side="sell", size="0.08")

    position = fake.settlement.positions["alice", "ETHUSDT"]
    assert position.amount == D("-0.03")
    assert fake.disagreements() == []


def test_modes_cannot_change_while_a_position_is_held(fake):
    place(fake)
    common = {"symbol": "ETHUSDT", "productType": "USDT-FUTURES", "marginCoin": "USDT"}

    assert ask(fake, "POST", f"{MIX}/account/set-margin-mode", body={**common, "marginMode": "crossed"})[1]["code"] == "45117"
    assert ask(fake, "POST", f"{MIX}/account/set-position-mode", body={**common, "posMode": "hedge_mode"})[1]["code"] == "45117"


def test_a_stop_vanishes_with_its_position_and_its_id_stays_spent(fake):
    place(fake)
    stop = {"symbol": "ETHUSDT", "planType": "pos_loss", "triggerPrice": "2900", "holdSide": "buy", "clientOid": "S1"}
    assert ask(fake, "POST", f"{MIX}/order/place-tpsl-order", body=stop)[1]["code"] == "00000"

    place(fake, clientOid="A2", side="sell", reduceOnly="YES")

    assert fake.desk.plans == {}
    assert ask(fake, "POST", f"{MIX}/order/place-tpsl-order", body=stop)[1]["code"] == "40786"


def test_cancelling_a_stop_without_its_plan_type_finds_nothing(fake):
    place(fake)
    stop = {"symbol": "ETHUSDT", "planType": "pos_loss", "triggerPrice": "2900", "holdSide": "buy", "clientOid": "S1"}
    plan_id = ask(fake, "POST", f"{MIX}/order/place-tpsl-order", body=stop)[1]["data"]["orderId"]

    _, body = ask(fake, "POST", f"{MIX}/order/cancel-plan-order", body={"orderIdList": [{"orderId": plan_id}], "symbol": "ETHUSDT"})

    assert body["code"] == "00000" and body["data"]["failureList"][0]["errorCode"] == "43001"


def test_funding_is_paid_by_longs_when_the_rate_is_positive(fake):
    place(fake)
    fake.desk.set_mark("ETHUSDT", 3000)
    fake.desk.fund("ETHUSDT", rate="0.0001")

    assert [bill.amount for bill in fake.desk.bills] == [D("-0.015")]
    assert fake.disagreements() == []


def test_limits_are_counted_per_account_and_refill(fake):
    fake.has_limits = True
    statuses = [ask(fake, "GET", f"{MIX}/position/all-position")[0] for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2

    fake.clock.advance(1)
    assert ask(fake, "GET", f"{MIX}/position/all-position")[0] == 200


def test_maintenance_closes_everything_but_the_clock(fake):
    fake.is_under_maintenance = True

    assert ask(fake, "GET", f"{MIX}/account/accounts")[0] == 503
    assert ask(fake, "GET", "/api/v2/public/time")[0] == 200


def test_an_unknown_path_is_not_found(fake):
    assert ask(fake, "GET", "/api/v2/mix/nowhere")[:1] == (404,)


def test_history_is_paged_newest_first_and_windows_are_at_most_a_week(fake):
    for number in range(5):
        place(fake, clientOid=f"A{number}")
    _, first = ask(fake, "GET", f"{MIX}/order/orders-history", query="limit=2")
    _, second = ask(fake, "GET", f"{MIX}/order/orders-history", query=f"idLessThan={first['data']['endId']}&limit=2")

    told = [row["clientOid"] for page in (first, second) for row in page["data"]["entrustedList"]]
    assert told == ["A4", "A3", "A2", "A1"]
    assert ask(fake, "GET", f"{MIX}/order/orders-history", query="endTime=1772625600000&startTime=1771000000000")[1]["code"] == "00001"


@pytest.mark.asyncio
async def test_a_book_is_a_snapshot_and_then_updates_whose_checksum_fits():
    with FakeBitget() as fake:
        fake.open_market()
        async with aiohttp.ClientSession() as session, session.ws_connect(fake.websocket_url + PUBLIC) as socket:
            argument = {"instType": "USDT-FUTURES", "channel": "books", "instId": "ETHUSDT"}
            await socket.send_json({"op": "subscribe", "args": [argument]})
            assert (await socket.receive_json())["event"] == "subscribe"
            first = await socket.receive_json()
            await asyncio.to_thread(fake.engine.stranger_trades, "ETHUSDT", price=2999, amount=1, taker_side=Side.SELL)
            second = await socket.receive_json()

    book = {side: dict(first["data"][0][side]) for side in ("asks", "bids")}
    for side in book:
        book[side] |= dict(second["data"][0][side])
    assert (first["action"], second["action"]) == ("snapshot", "update")
    assert second["data"][0]["checksum"] == checksum(book) and second["data"][0]["seq"] > first["data"][0]["seq"]


@pytest.mark.asyncio
async def test_a_private_channel_needs_a_login_and_ping_is_answered_as_text():
    with FakeBitget() as fake:
        fake.open_market()
        account = fake.add_account()
        async with aiohttp.ClientSession() as session, session.ws_connect(fake.websocket_url + PRIVATE) as socket:
            argument = {"instType": "USDT-FUTURES", "channel": "account", "coin": "default"}
            await socket.send_str("ping")
            assert await socket.receive_str() == "pong"
            await socket.send_json({"op": "subscribe", "args": [argument]})
            assert (await socket.receive_json())["code"] == 30004
            stamp = str(int(fake.clock.now().timestamp()))
            login = {"apiKey": account.key, "passphrase": account.passphrase, "timestamp": stamp}
            await socket.send_json({"op": "login", "args": [{**login, "sign": sign(account.secret, f"{stamp}GET/user/verify")}]})
            assert await socket.receive_json() == {"event": "login", "code": 0}
            await socket.send_json({"op": "subscribe", "args": [argument]})
            assert (await socket.receive_json())["event"] == "subscribe"
            assert (await socket.receive_json())["data"][0]["available"] == "1000"


@pytest.mark.asyncio
async def test_a_line_without_a_ping_is_hung_up():
    with FakeBitget() as fake:
        fake.sockets.idle_close_s = 0.2
        async with aiohttp.ClientSession() as session, session.ws_connect(fake.websocket_url + PUBLIC) as socket:
            assert (await socket.receive(timeout=3)).type is aiohttp.WSMsgType.CLOSE
