"""The dashboard's websocket over a real socket: who gets in, what arrives, what a rude page gets."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from dgbot.core.types import Mode
from tests import face_rows as rows
from trading.models import Bot

pytestmark = pytest.mark.django_db(transaction=True)


def opened(site: str, user: Any, *, origin: str = "") -> Any:
    client = Client()
    if user is not None:
        client.force_login(user)
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    address = site.replace("http", "ws") + "/ws/dashboard/"
    return connect(address, additional_headers={"Cookie": cookies, "Origin": origin or site}, max_size=None)


async def until(socket: Any, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            frame = json.loads(await socket.recv())
            if frame["type"] == kind and (kind != "live" or frame["is_live"]):
                return frame


async def ready(socket: Any) -> dict[str, Any]:
    """The snapshot that follows once news flows."""
    await until(socket, "live")
    return await until(socket, "snapshot")


@pytest.mark.parametrize(("is_known", "origin"), [(False, ""), (True, "http://evil.example")])
def test_strangers_are_refused_at_the_handshake(site: str, is_known: bool, origin: str) -> None:
    socket = opened(site, rows.user() if is_known else None, origin=origin)

    async def play() -> None:
        async with socket:
            pass

    with pytest.raises(InvalidStatus, match="403"):
        asyncio.run(play())


def test_frames_are_numbered_and_a_snapshot_comes_first(site: str, elsewhere: Callable[[int], Any]) -> None:
    bot = rows.bot(rows.user())
    gateway, socket = elsewhere(bot.pk), opened(site, bot.user)

    async def play() -> list[dict[str, Any]]:
        async with socket as connected:
            snapshot = await ready(connected)
            pk, _at = await asyncio.to_thread(gateway.trade)
            trade = await until(connected, "trade")
            assert trade["trade"]["id"] == pk
            return [snapshot, trade]

    snapshot, trade = asyncio.run(play())
    assert trade["seq"] == snapshot["seq"] + 1
    assert trade["as_of"] >= snapshot["as_of"]


def test_news_of_others_and_of_replays_does_not_arrive(site: str, elsewhere: Callable[[int], Any]) -> None:
    mine, theirs = rows.bot(rows.user()), rows.bot(rows.user())
    hidden: Bot = rows.bot(mine.user, within=rows.account(mine.user, mode=Mode.REPLAY, is_hidden=True))
    gateways, socket = [elsewhere(bot.pk) for bot in (theirs, hidden, mine)], opened(site, mine.user)

    async def play() -> dict[str, Any]:
        async with socket as connected:
            await ready(connected)
            for gateway in gateways:
                await asyncio.to_thread(gateway.trade)
                await asyncio.sleep(0.2)
            return await until(connected, "trade")

    assert asyncio.run(play())["trade"]["bot_id"] == mine.pk


@pytest.mark.parametrize("frame", ["", "nonsense", "[1]", '{"type": 7}', '{"type": "sell everything"}', b"\x00\xff", "[" * 900, "x" * 5000])
def test_an_unreadable_frame_gets_one_error_and_the_line_stays(site: str, frame: str | bytes) -> None:
    socket = opened(site, rows.user())

    async def play() -> None:
        async with socket as connected:
            await ready(connected)
            await connected.send(frame)
            assert "refresh" in (await until(connected, "error"))["message"]
            await connected.send('{"type": "refresh"}')
            await until(connected, "snapshot")

    asyncio.run(play())


def test_a_deactivated_user_is_put_out(site: str) -> None:
    user = rows.user()
    socket = opened(site, user)

    async def play() -> int | None:
        async with socket as connected:
            await ready(connected)
            await asyncio.to_thread(lambda: type(user).objects.filter(pk=user.pk).update(is_active=False))
            async with asyncio.timeout(20):
                await connected.wait_closed()
            return connected.close_code

    assert asyncio.run(play()) == 4401
