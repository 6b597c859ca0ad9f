"""The websocket side of the fake Bitget: text ping and pong, login, snapshots and updates, and ways to misbehave."""

import asyncio
import json
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.bitget import rendering
from tests.fakes.bitget.accounts import FakeAccount, login
from tests.fakes.bitget.desk import Desk
from tests.fakes.bitget.errors import BitgetError
from tests.fakes.core.engine import Event
from tests.fakes.core.orders import Fill, Order, Print
from tests.fakes.core.server import FakeServer, Request

PUBLIC, PRIVATE = "/v2/ws/public", "/v2/ws/private"
BOOKS = {"books1": 1, "books5": 5, "books15": 15, "books": 100}
CHANNELS = {PUBLIC: {"ticker", "trade", *BOOKS}, PRIVATE: {"orders", "account", "positions"}}
IDLE_CLOSE_S = 120.0
RECENT_TRADES = 10
CHECKSUM_LEVELS = 25

Topic = tuple[str, str]


@dataclass(eq=False)
class Line:
    """One connected client. topics: (channel, instId or coin) → its `arg`."""

    path: str
    account: FakeAccount | None = None
    topics: dict[Topic, dict[str, str]] = field(default_factory=dict)
    books: dict[Topic, dict[str, dict[str, str]]] = field(default_factory=dict)  # what the client knows of an incremental book
    queue: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    traffic_at: float = field(default_factory=time.monotonic)


@dataclass
class Sockets:
    """Both paths. The switches make them misbehave."""

    desk: Desk
    accounts: dict[str, FakeAccount]
    idle_close_s: float = IDLE_CLOSE_S
    is_frozen: bool = False  # connected and silent, pongs included
    drops: frozenset[str] = frozenset()  # channels whose pushes get lost
    doubles: frozenset[str] = frozenset()  # channels whose pushes come twice
    breaks_checksums: bool = False

    def __post_init__(self) -> None:
        self.server: FakeServer | None = None
        self.engine = self.desk.engine
        self._lines: set[Line] = set()
        self._sequence = 0
        self.engine.subscribe(self._on_event)

    # --- switches a test uses ---
    def push(self, raw: str, *, path: str = PUBLIC) -> None:
        """Send a frame as it is to every client of a path."""
        self._in_loop(lambda: [line.queue.put_nowait(raw) for line in self._lines if line.path == path])

    def topics(self, path: str = PUBLIC) -> list[set[Topic]]:
        """What each client of a path has subscribed to."""
        return [set(line.topics) for line in list(self._lines) if line.path == path]

    def push_ticker(self, raw: str) -> None:
        """Tell everybody the ticker of this moment."""
        row = self._ticker(raw)
        self._in_loop(lambda: self._deliver(PUBLIC, ("ticker", raw), lambda _line: [("snapshot", [row])]))

    # --- one connection ---
    async def serve(self, socket: web.WebSocketResponse, request: Request) -> None:
        """Own a connection until it ends."""
        line = Line(path=request.path)
        self._lines.add(line)
        tasks = [asyncio.create_task(self._write(socket, line)), asyncio.create_task(self._keep(socket, line))]
        try:
            async for message in socket:
                line.traffic_at = time.monotonic()
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    given = message.data if isinstance(message.data, str) else message.data.decode()
                    self._hear(line, given)
        finally:
            self._lines.discard(line)
            for task in tasks:
                task.cancel()

    def _hear(self, line: Line, given: str) -> None:
        if given == "ping":
            line.queue.put_nowait("pong")
            return
        try:
            wish = json.loads(given)
            operation, arguments = wish["op"], list(wish["args"])
        except (ValueError, KeyError, TypeError):
            self._tell(line, {"event": "error", "code": 30003, "msg": "INVALID op"})
            return
        for argument in arguments:
            self._obey(line, operation, argument)

    def _obey(self, line: Line, operation: str, argument: dict[str, str]) -> None:
        if operation == "login":
            try:
                line.account = login(argument, self.accounts, self.engine.clock)
                self._tell(line, {"event": "login", "code": 0})
            except (BitgetError, ValueError) as error:
                self._tell(line, {"event": "error", "code": int(getattr(error, "code", 30013)), "msg": str(error)})
            return
        channel, name = argument.get("channel", ""), argument.get("instId") or argument.get("coin") or ""
        is_known = channel in CHANNELS[line.path] and argument.get("instType") == "USDT-FUTURES"
        is_known = is_known and (line.path == PRIVATE or name in self.engine.markets)
        if line.path == PRIVATE and line.account is None:
            self._tell(line, {"event": "error", "code": 30004, "msg": "User needs to log in", "arg": argument})
        elif not is_known:
            message = f"instType:{argument.get('instType')},channel:{channel},instId:{name} doesn't exist"
            self._tell(line, {"event": "error", "code": 30001, "msg": message, "arg": argument})
        elif operation == "unsubscribe":
            line.topics.pop((channel, name), None)
            self._tell(line, {"event": "unsubscribe", "arg": argument})
        else:
            line.topics[channel, name] = argument
            self._tell(line, {"event": "subscribe", "arg": argument})
            self._first(line, (channel, name))

    async def _write(self, socket: web.WebSocketResponse, line: Line) -> None:
        while True:
            payload = await line.queue.get()
            if self.is_frozen:
                continue
            try:
                await socket.send_str(payload)
            except (ConnectionError, RuntimeError):
                return

    async def _keep(self, socket: web.WebSocketResponse, line: Line) -> None:
        while True:
            await asyncio.sleep(min(0.05, self.idle_close_s / 4))
            if time.monotonic() - line.traffic_at > self.idle_close_s:
                await socket.close(code=1001)
                return

    # --- what is sent ---
    def _tell(self, line: Line, body: dict[str, Any]) -> None:
        line.queue.put_nowait(json.dumps(body))

    def _push(self, line: Line, topic: Topic, action: str, data: list[Any]) -> None:
        if topic[0] in self.drops:
            return
        body = {"action": action, "arg": line.topics[topic], "data": data, "ts": int(self.engine.clock.now().timestamp() * 1000)}
        for _copy in range(2 if topic[0] in self.doubles else 1):
            self._tell(line, body)

    def _first(self, line: Line, topic: Topic) -> None:
        """The snapshot that follows a subscription."""
        channel, name = topic
        if channel == "ticker":
            self._push(line, topic, "snapshot", [self._ticker(name)])
        elif channel == "trade":
            newest = list(reversed(self.engine.prints[name][-RECENT_TRADES:]))
            self._push(line, topic, "snapshot", [_trade(one) for one in newest])
        elif channel in BOOKS:
            for action, data in self._book(line, topic):
                self._push(line, topic, action, data)
        elif channel == "account" and line.account is not None:
            self._push(line, topic, "snapshot", [_wallet(self.desk.wallet_row(line.account))])
        elif channel == "positions" and line.account is not None:
            self._push(line, topic, "snapshot", self._positions(line.account))

    def _on_event(self, event: Event) -> None:
        if not self._lines:
            return
        if event.what == "print" and event.printed is not None:
            row, ticker = _trade(event.printed), self._ticker(event.market)
            self._in_loop(lambda: self._deliver(PUBLIC, ("trade", event.market), lambda _line: [("update", [row])]))
            self._in_loop(lambda: self._deliver(PUBLIC, ("ticker", event.market), lambda _line: [("snapshot", [ticker])]))
        if event.what in ("print", "book"):
            self._in_loop(lambda: self._deliver_books(event.market))
        if event.order is not None:
            account = next((one for one in self.accounts.values() if one.name == event.account), None)
            if account is not None:
                row = _order(event.order, event.fill, account)
                self._in_loop(lambda: self._deliver_private(event.account, "orders", lambda _one: [row]))
        if event.what == "balance":
            self._in_loop(lambda: self._deliver_private(event.account, "account", lambda one: [_wallet(self.desk.wallet_row(one))]))
            self._in_loop(lambda: self._deliver_private(event.account, "positions", self._positions))

    def _deliver(self, path: str, topic: Topic, make: Callable[[Line], list[tuple[str, list[Any]]]]) -> None:
        for line in list(self._lines):
            if line.path == path and topic in line.topics:
                for action, data in make(line):
                    self._push(line, topic, action, data)

    def _deliver_books(self, market: str) -> None:
        for channel in BOOKS:
            self._deliver(PUBLIC, (channel, market), lambda line, topic=(channel, market): self._book(line, topic))

    def _deliver_private(self, name: str, channel: str, make: Callable[[FakeAccount], list[Any]]) -> None:
        for line in list(self._lines):
            if line.account is not None and line.account.name == name:
                for topic in [one for one in line.topics if one[0] == channel]:
                    self._push(line, topic, "snapshot", make(line.account))

    def _in_loop(self, act: Callable[[], Any]) -> None:
        if self.server is not None and self.server.loop.is_running():
            self.server.loop.call_soon_threadsafe(act)

    def _ticker(self, raw: str) -> dict[str, Any]:
        row = self.desk.ticker_row(raw)
        return {"instId": row.pop("symbol"), "symbol": raw, **row}

    def _positions(self, account: FakeAccount) -> list[dict[str, Any]]:
        return [{"instId": row.pop("symbol"), "posId": "1", **row} for row in self.desk.position_rows(account)]

    def _book(self, line: Line, topic: Topic) -> list[tuple[str, list[Any]]]:
        """Whole books for the short channels; for `books` a snapshot and then what changed, with sequence and checksum."""
        channel, raw = topic
        row = self.desk.depth_row(raw, levels=BOOKS[channel])
        now = {side: {_level(price): _level(amount) for price, amount in row[side]} for side in ("asks", "bids")}
        self._sequence += 1
        known = line.books.get(topic) if channel == "books" else None
        if channel == "books":
            line.books[topic] = now
        changes = now if known is None else {side: _changes(known[side], now[side]) for side in now}
        body: dict[str, Any] = {side: [list(pair) for pair in changes[side].items()] for side in now}
        body |= {"ts": row["ts"], "seq": self._sequence, "checksum": 0 if self.breaks_checksums else checksum(now)}
        return [("snapshot" if known is None else "update", [body])]


def _changes(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    gone = {price: "0" for price in before if price not in now}
    return gone | {price: amount for price, amount in now.items() if before.get(price) != amount}


def _level(value: float) -> str:
    return repr(value).removesuffix(".0")


def checksum(book: dict[str, dict[str, str]]) -> int:
    """Signed CRC32 over the best 25 levels, bid and ask in turn."""
    bids, asks = list(book["bids"].items())[:CHECKSUM_LEVELS], list(book["asks"].items())[:CHECKSUM_LEVELS]
    parts = []
    for place in range(CHECKSUM_LEVELS):
        parts += [f"{side[place][0]}:{side[place][1]}" for side in (bids, asks) if place < len(side)]
    value = zlib.crc32(":".join(parts).encode())
    return value - 2**32 if value >= 2**31 else value


def _trade(printed: Print) -> dict[str, Any]:
    row = rendering.public_trade(printed)
    del row["symbol"]
    return row


def _wallet(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "marginCoin": "USDT",
        "frozen": row["locked"],
        "available": row["available"],
        "maxOpenPosAvailable": row["crossedMaxAvailable"],
        "maxTransferOut": row["maxTransferOut"],
        "equity": row["accountEquity"],
        "usdtEquity": row["usdtEquity"],
    }


def _order(order: Order, fill: Fill | None, account: FakeAccount) -> dict[str, Any]:
    """An order push; with a fill it carries that one execution."""
    row = rendering.order(order, account=account, in_list=True)
    body = {
        "instId": row.pop("symbol"),
        "accBaseVolume": row.pop("baseVolume"),
        "clientOId": row.pop("clientOid"),
        "feeDetail": [{"feeCoin": "USDT", "fee": row.pop("fee")}],
        "cancelReason": order.cancel_reason,
        **row,
    }
    if fill is not None:
        body |= {
            "tradeId": fill.trade_id,
            "fillPrice": rendering.number(fill.price),
            "baseVolume": rendering.number(fill.amount),
            "fillFee": rendering.number(-fill.fee),
            "fillFeeCoin": "USDT",
            "fillTime": rendering.stamp(fill.executed_at),
            "tradeScope": "M" if fill.is_maker else "T",
        }
    return body
