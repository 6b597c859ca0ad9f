"""News on its way: what could not be told is owed, and many pages share one reading."""

import asyncio
import json
from typing import Any

import pytest
import redis

from monitoring import hub, live
from monitoring.snapshots import SharedSnapshots


class Line:
    """Redis as the publisher sees it: it fails while it is away."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.is_away = False

    def publish(self, _channel: str, text: str) -> None:
        if self.is_away:
            raise redis.ConnectionError("away")
        self.told.append(json.loads(text)["event"])


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> tuple[live.Publisher, Line]:
    """A publisher without its pause, on a line that can be cut."""
    monkeypatch.setattr(live, "PAUSE_S", 0.0)
    made, line = live.Publisher(), Line()
    monkeypatch.setattr(made, "_connected", lambda: line)
    return made, line


def trade(pk: int) -> tuple[int, dict[str, Any]]:
    """The reader of a trade."""
    return 1, {"type": "trade", "id": pk}


def test_what_could_not_be_told_is_owed_and_told_first(publisher: tuple[live.Publisher, Line]) -> None:
    ours, line = publisher
    line.is_away = True
    ours.handle([(trade, 1)])
    assert ours.owes

    line.is_away = False
    ours.handle([(trade, 2)])

    assert [event["type"] for event in line.told] == [live.LOST, "trade"]
    assert not ours.owes


def test_a_debt_is_paid_without_anything_new(publisher: tuple[live.Publisher, Line]) -> None:
    ours, line = publisher
    line.is_away = True
    ours.handle([(trade, 1)])
    line.is_away = False

    ours.handle([])

    assert [event["type"] for event in line.told] == [live.LOST]


def test_a_queue_that_ran_over_is_a_debt_too(publisher: tuple[live.Publisher, Line]) -> None:
    ours, line = publisher
    dropped = [0]
    ours.dropped = lambda: dropped[0]
    ours.handle([(trade, 1)])
    dropped[0] = 5

    ours.handle([(trade, 2)])

    assert [event["type"] for event in line.told] == ["trade", live.LOST, "trade"]


class Listener:
    """A page."""

    def __init__(self) -> None:
        self.pushed: list[str] = []
        self.refreshed = 0

    def push(self, news: hub.News) -> None:
        self.pushed.append(news.text)

    def refresh(self) -> None:
        self.refreshed += 1


def test_an_event_is_encoded_once_for_all_who_may_see_it() -> None:
    async def play() -> list[Listener]:
        ours, pages = hub.Hub(), [Listener() for _ in range(3)]
        for page, group in zip(pages, (hub.group_of(1), hub.EVERYONE, hub.group_of(2)), strict=True):
            ours._groups.setdefault(group, set()).add(page)
        ours._deliver(json.dumps({"user": 1, "event": {"type": "trade"}}).encode())
        ours._deliver(json.dumps({"user": None, "event": {"type": live.LOST}}).encode())
        return pages

    mine, boss, other = asyncio.run(play())
    assert mine.pushed[0] is boss.pushed[0] and other.pushed == []
    assert [page.refreshed for page in (mine, boss, other)] == [1, 1, 1]


def test_pages_that_ask_together_share_a_reading_and_later_ones_do_not() -> None:
    readings: list[int] = []

    def read() -> dict[str, int]:
        readings.append(len(readings))
        return {"reading": len(readings)}

    async def play() -> list[str]:
        shared = SharedSnapshots()
        first = [asyncio.create_task(shared.take("all", read)) for _ in range(100)]
        await asyncio.sleep(0)  # they wait for the first reading, which has not begun
        done = await asyncio.gather(*first)
        return [*done, await shared.take("all", read), await shared.take("user.1", read)]

    told = asyncio.run(play())
    assert told == ['{"reading": 1}'] * 100 + ['{"reading": 2}', '{"reading": 3}']


def test_a_page_never_gets_a_reading_that_had_already_begun() -> None:
    async def play() -> tuple[str, str]:
        shared, gate, facts = SharedSnapshots(), asyncio.Event(), {"rows": 0}
        loop = asyncio.get_running_loop()

        def read() -> dict[str, int]:
            told = dict(facts)
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(5)
            return told

        early = asyncio.create_task(shared.take("all", read))
        while not shared._running:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        facts["rows"] = 1
        late = asyncio.create_task(shared.take("all", read))
        await asyncio.sleep(0.05)
        gate.set()
        return await early, await late

    assert asyncio.run(play()) == ('{"rows": 0}', '{"rows": 1}')
