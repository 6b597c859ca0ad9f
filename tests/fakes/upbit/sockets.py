"""The websocket side: subscriptions, snapshots, streams, error frames. A second request replaces the first, as observed."""

import asyncio
import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiohttp import WSMsgType, web

from dgbot.core.interval import Interval
from dgbot.core.types import Side
from tests.fakes.core.engine import Engine, Event
from tests.fakes.core.limits import FixedWindow, TokenBucket
from tests.fakes.core.orders import Fill, Order, Print
from tests.fakes.core.server import FakeServer, Request
from tests.fakes.upbit import rendering
from tests.fakes.upbit.auth import Gatekeeper
from tests.fakes.upbit.errors import UpbitRefusal
from tests.fakes.upbit.quotation import QuotationDesk, book_body, milliseconds, ticker_body

PUBLIC, PRIVATE = "/websocket/v1", "/websocket/v1/private"
CANDLES = {"candle.1s": Interval.SECOND_1, "candle.1m": Interval.MINUTE_1, "candle.5m": Interval.MINUTE_5}
TYPES = {PUBLIC: {"ticker", "trade", "orderbook", *CANDLES}, PRIVATE: {"myOrder", "myAsset"}}
IDLE_CLOSE_S = 120.0
STATUS_EVERY_S = 10.0
DEPTHS = (1, 5, 15, 30)


class FrameError(Exception):
    """A request the socket answers with an error frame."""

    def __init__(self, name: str, message: str = "") -> None:
        super().__init__(name)
        self.body = {"error": {"name": name, "message": message or name}}


@dataclass(frozen=True)
class Wish:
    """One type object of a request. codes empty: all."""

    kind: str
    codes: tuple[str, ...] = ()
    wants_snapshot: bool = True
    wants_realtime: bool = True

    def covers(self, code: str) -> bool:
        """Whether a market's messages belong to it."""
        return not self.codes or code in {one.partition(".")[0] for one in self.codes}


@dataclass(eq=False)
class Line:
    """One connected client."""

    path: str
    account: str = ""
    wishes: list[Wish] = field(default_factory=list)
    queue: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    traffic_at: float = field(default_factory=time.monotonic)
    says_up: bool = False


@dataclass
class Sockets:
    """Both websocket paths. The switches make it misbehave."""

    engine: Engine
    gatekeeper: Gatekeeper
    idle_close_s: float = IDLE_CLOSE_S
    status_every_s: float = STATUS_EVERY_S
    sends_text: bool = False  # text frames instead of binary ones
    spells_exponents: bool = False  # 1.16539E8 and 0E-8, as seen on the wire
    is_frozen: bool = False  # connected and silent: data and status stop, pings are still answered
    drops: frozenset[str] = frozenset()  # message types that get lost
    doubles: frozenset[str] = frozenset()  # message types that are sent twice

    def __post_init__(self) -> None:
        self.server: FakeServer | None = None
        self._lines: set[Line] = set()
        self._quotation = QuotationDesk(self.engine)
        self.engine.subscribe(self._on_event)

    # --- switches a test uses ---
    def push(self, raw: bytes | str, *, path: str = PUBLIC) -> None:
        """Send a frame as it is to every client of a path."""
        payload = raw.encode() if isinstance(raw, str) else raw
        self._in_loop(lambda: [line.queue.put_nowait(payload) for line in self._lines if line.path == path])

    def wishes(self, path: str = PUBLIC) -> list[list[Wish]]:
        """What each client of a path asked for last."""
        return [list(line.wishes) for line in list(self._lines) if line.path == path]

    # --- one connection ---
    async def serve(self, socket: web.WebSocketResponse, request: Request) -> None:
        """Own a connection until it ends."""
        line = Line(path=request.path)
        if request.path == PRIVATE:
            try:
                line.account = self.gatekeeper.admit(request).account
            except UpbitRefusal as refusal:
                await socket.send_bytes(_dumps(FrameError("INVALID_AUTH", str(refusal)).body))
                await socket.close()
                return
        self._lines.add(line)
        tasks = [asyncio.create_task(self._write(socket, line)), asyncio.create_task(self._keep(socket, line))]
        try:
            await self._read(socket, line)
        finally:
            self._lines.discard(line)
            for task in tasks:
                task.cancel()

    async def _read(self, socket: web.WebSocketResponse, line: Line) -> None:
        second, minute = TokenBucket(self.engine.clock, 5, 5), FixedWindow(self.engine.clock, 100, 60.0)
        async for message in socket:
            line.traffic_at = time.monotonic()
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                if not (second.take() and minute.take()):
                    self._send(line, FrameError("TOO_MANY_REQUEST").body)
                    continue
                self._hear(line, message.data)

    def _hear(self, line: Line, data: str | bytes) -> None:
        given = data.decode() if isinstance(data, bytes) else data
        if given.strip('"') == "PING":
            line.says_up = True
            self._send(line, {"status": "UP"})
            return
        try:
            wishes = _parse(given, path=line.path)
        except FrameError as error:
            self._send(line, error.body)
            return
        line.wishes = wishes
        for wish in wishes:
            if wish.wants_snapshot:
                for body in self._snapshot(wish):
                    self._send(line, {**body, "stream_type": "SNAPSHOT"})

    async def _write(self, socket: web.WebSocketResponse, line: Line) -> None:
        while (payload := await line.queue.get()) is not None:
            if self.is_frozen:
                continue
            line.traffic_at = time.monotonic()
            try:
                if self.sends_text:
                    await socket.send_str(payload.decode(errors="replace"))
                else:
                    await socket.send_bytes(payload)
            except (ConnectionError, RuntimeError):
                return

    async def _keep(self, socket: web.WebSocketResponse, line: Line) -> None:
        told_at = time.monotonic()
        while True:
            await asyncio.sleep(min(0.05, self.idle_close_s / 4))
            now = time.monotonic()
            if now - line.traffic_at > self.idle_close_s:
                await socket.close(code=1001)
                return
            if line.says_up and now - told_at > self.status_every_s:
                told_at = now
                self._send(line, {"status": "UP"})

    # --- what is sent ---
    def _send(self, line: Line, body: dict[str, Any]) -> None:
        kind = body.get("type")
        if kind in self.drops:
            return
        payload = _dumps(body, spells_exponents=self.spells_exponents)
        for _copy in range(2 if kind in self.doubles else 1):
            line.queue.put_nowait(payload)

    def _on_event(self, event: Event) -> None:
        if not self._lines:
            return
        bodies = list(self._bodies(event))  # rendered now: the truth moves on
        if bodies:
            self._in_loop(lambda: self._deliver(bodies, account=event.account))

    def _deliver(self, bodies: list[dict[str, Any]], *, account: str) -> None:
        for line in list(self._lines):
            for body in bodies:
                kind, code = body["type"], body.get("code", "")
                is_theirs = line.path == PUBLIC or line.account == account
                if is_theirs and any(wish.kind == kind and wish.wants_realtime and wish.covers(code) for wish in line.wishes):
                    self._send(line, {**body, "stream_type": "REALTIME"})

    def _in_loop(self, act: Any) -> None:
        if self.server is not None and self.server.loop.is_running():
            self.server.loop.call_soon_threadsafe(act)

    def _bodies(self, event: Event) -> Iterable[dict[str, Any]]:
        if event.what == "print" and event.printed is not None:
            yield self._trade(event.printed)
            yield self._ticker(event.market)
            yield self._book(event.market)
            wanted = {wish.kind for line in list(self._lines) for wish in line.wishes}
            yield from (self._candle(event.market, name) for name in CANDLES if name in wanted)
        elif event.what == "book":
            yield self._book(event.market)
        elif event.order is not None:
            yield _my_order(event.order, event.fill, what=event.what, at=milliseconds(self.engine.clock.now()), engine=self.engine)
        elif event.what == "balance":
            yield self._my_asset(event.account)

    def _snapshot(self, wish: Wish) -> Iterable[dict[str, Any]]:
        known = [code for one in wish.codes if (code := one.partition(".")[0]) in self.engine.markets]
        for code in known:  # an unknown code is accepted in silence
            if wish.kind == "ticker":
                yield self._ticker(code)
            elif wish.kind == "orderbook":
                depth = next((one.partition(".")[2] for one in wish.codes if one.partition(".")[0] == code), "")
                count = int(depth) if depth.isdigit() and int(depth) in DEPTHS else 30
                yield self._book(code, count=count)
            elif wish.kind == "trade" and self.engine.prints[code]:
                yield self._trade(self.engine.prints[code][-1])
            elif wish.kind in CANDLES and self._was_traded(code, CANDLES[wish.kind]):
                yield self._candle(code, wish.kind)

    def _was_traded(self, symbol: str, interval: Interval) -> bool:
        opened = interval.open_of(self.engine.clock.now())
        return any(printed.executed_at >= opened for printed in self.engine.prints[symbol][-1:])

    def _ticker(self, symbol: str) -> dict[str, Any]:
        body = ticker_body(self.engine, self.engine.markets[symbol])
        del body["market"]
        return {"type": "ticker", "code": symbol, **body, "market_state": "ACTIVE", "market_warning": "NONE", "delisting_date": None}

    def _book(self, symbol: str, *, count: int = 30) -> dict[str, Any]:
        body = book_body(self.engine, self.engine.markets[symbol], count=count)
        del body["market"]
        return {"type": "orderbook", "code": symbol, **body}

    def _trade(self, printed: Print) -> dict[str, Any]:
        at = printed.executed_at
        return {
            "type": "trade",
            "code": printed.market,
            "timestamp": milliseconds(self.engine.clock.now()),
            "trade_date": at.strftime("%Y-%m-%d"),
            "trade_time": at.strftime("%H:%M:%S"),
            "trade_timestamp": milliseconds(at),
            "trade_price": float(printed.price),
            "trade_volume": float(printed.amount),
            "ask_bid": "BID" if printed.taker_side is Side.BUY else "ASK",
            "prev_closing_price": float(printed.price),
            "change": "EVEN",
            "change_price": 0.0,
            "sequential_id": printed.sequence,
        }

    def _candle(self, symbol: str, kind: str) -> dict[str, Any]:
        interval, now = CANDLES[kind], self.engine.clock.now()
        candle = self._quotation.candles_of_prints(symbol, interval, interval.open_of(now), now + interval.length)[-1]
        return {
            "type": kind,
            "code": symbol,
            "candle_date_time_utc": candle.opened_at.strftime("%Y-%m-%dT%H:%M:%S"),
            "opening_price": float(candle.open),
            "high_price": float(candle.high),
            "low_price": float(candle.low),
            "trade_price": float(candle.close),
            "candle_acc_trade_volume": float(candle.volume),
            "timestamp": milliseconds(now),
        }

    def _my_asset(self, account: str) -> dict[str, Any]:
        now = milliseconds(self.engine.clock.now())
        held = self.engine.wallets.of(account).items()
        return {
            "type": "myAsset",
            "asset_uuid": self.engine.new_id(),
            "assets": [{"currency": name, "balance": float(one.free), "locked": float(one.locked)} for name, one in held],
            "asset_timestamp": now,
            "timestamp": now,
        }


def _my_order(order: Order, fill: Fill | None, *, what: str, at: int, engine: Engine) -> dict[str, Any]:
    asked = order.asked
    state = {"new": "wait", "trade": "trade", "filled": "done", "cancelled": "cancel", "prevented": "prevented"}[what]
    price = fill.price if fill else asked.price if asked.price is not None else asked.quote_amount
    volume = fill.amount if fill else asked.amount
    body = rendering.order_body(order, engine.markets[asked.market])
    return {
        "type": "myOrder",
        "code": asked.market,
        "uuid": order.order_id,
        "ask_bid": rendering.WORD[asked.side].upper(),
        "order_type": rendering.ord_type(order),
        "state": state,
        "trade_uuid": fill.trade_id if fill else None,
        "price": _number(price),
        "avg_price": float(order.funds / order.filled) if order.filled else 0.0,
        "volume": _number(volume),
        "remaining_volume": _number(order.remaining) if asked.amount is not None else None,
        "executed_volume": float(order.filled),
        "trades_count": len(order.fills),
        "reserved_fee": float(body["reserved_fee"]),
        "remaining_fee": float(body["remaining_fee"]),
        "paid_fee": float(order.fees),
        "locked": float(body["locked"]),
        "executed_funds": float(order.funds),
        "time_in_force": body.get("time_in_force"),
        "trade_fee": float(fill.fee) if fill else None,
        "is_maker": fill.is_maker if fill else None,
        "identifier": asked.client_id,
        "smp_type": asked.self_match,
        "prevented_volume": float(order.prevented),
        "prevented_locked": 0,
        "trade_timestamp": milliseconds(fill.executed_at) if fill else None,
        "order_timestamp": milliseconds(order.created_at),
        "timestamp": at,
    }


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _parse(given: str, *, path: str) -> list[Wish]:
    try:
        parts = json.loads(given)
    except ValueError:
        raise FrameError("WRONG_FORMAT", "Format 이 맞지 않습니다.") from None
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise FrameError("WRONG_FORMAT", "Format 이 맞지 않습니다.")
    if not parts or not parts[0].get("ticket"):
        raise FrameError("NO_TICKET", "티켓이 존재하지 않거나, 유효하지 않습니다.")
    wishes = [_wish(part, path=path) for part in parts[1:] if "format" not in part or "type" in part]
    if not wishes:
        raise FrameError("NO_TYPE")
    return wishes


def _wish(part: dict[str, Any], *, path: str) -> Wish:
    kind, codes = part.get("type"), part.get("codes")
    if kind is None:
        raise FrameError("NO_TYPE")
    if kind not in TYPES[path]:
        raise FrameError("INVALID_PARAM", f"{kind} 은 지원하지 않는 타입입니다.")
    if kind == "myAsset" and codes is not None:
        raise FrameError("WRONG_FORMAT", "Format 이 맞지 않습니다.")
    if path == PUBLIC and not codes:
        raise FrameError("NO_CODES")
    only_snapshot = part.get("is_only_snapshot", part.get("isOnlySnapshot", False))
    only_realtime = part.get("is_only_realtime", part.get("isOnlyRealtime", False))
    return Wish(kind, tuple(codes or ()), wants_snapshot=not only_realtime and path == PUBLIC, wants_realtime=not only_snapshot)


def _dumps(body: Any, *, spells_exponents: bool = False) -> bytes:
    return _spelled(body).encode() if spells_exponents else json.dumps(body, ensure_ascii=False).encode()


def _spelled(value: Any) -> str:
    """JSON as the exchange's own library writes it: doubles from ten millions on carry an exponent."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_spelled(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_spelled, value)) + "]"
    if isinstance(value, float):
        if value == 0:
            return "0E-8"
        exponent = math.floor(math.log10(abs(value)))
        return f"{Decimal(repr(value)).scaleb(-exponent):f}E{exponent}"
    return json.dumps(value, ensure_ascii=False)
