"""Lists of the API: pages that stand still under inserts, filters that are checked, values as they travel."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from tests import face_rows
from tests.api_client import Api

pytestmark = pytest.mark.django_db
NAMES = ("next", "previous", "results")


@pytest.fixture
def api():
    owner = face_rows.user()
    bot = face_rows.bot(owner)
    for number in range(23):  # several at one instant, so that the id must tell them apart
        face_rows.trade(bot, at=face_rows.T0 + timedelta(minutes=number // 5))
    reader = Api(owner)
    reader.bot = bot
    return reader


def _walk(api, where, *, end="next", **query):
    status, page = api.get(where, **query)
    assert status == 200, page
    pages = [page]
    while pages[-1][end]:
        pages.append(api.get(pages[-1][end].partition("testserver")[2])[1])
    return pages


@pytest.mark.parametrize("ordering", ["-created_at", "created_at"])
def test_pages_hold_every_row_once_and_lead_back(api, ordering):
    forward = _walk(api, "trades", limit=4, ordering=ordering)
    ids = [row["id"] for page in forward for row in page["results"]]

    assert len(ids) == len(set(ids)) == 23
    assert ids == sorted(ids, reverse=ordering == "-created_at")
    assert [len(page["results"]) for page in forward] == [4, 4, 4, 4, 4, 3]
    back = _walk(api, forward[-1]["previous"].partition("testserver")[2], end="previous")
    assert [row["id"] for page in reversed(back) for row in page["results"]] == ids[:20]
    assert back[-1]["previous"] is None


def test_rows_inserted_meanwhile_move_nothing(api):
    chosen = random.Random(3)
    expected = [row["id"] for page in _walk(api, "trades", limit=200) for row in page["results"]]
    status, page = api.get("trades", limit=3)
    seen = [row["id"] for row in page["results"]]

    while page["next"]:
        face_rows.trade(api.bot, at=face_rows.T0 + timedelta(days=1, seconds=chosen.random()))
        status, page = api.get(page["next"].partition("testserver")[2])
        assert status == 200
        seen += [row["id"] for row in page["results"]]

    assert seen == expected


@pytest.mark.parametrize(
    "cursor", ["x", "", "W10", "WzFd", "bnVsbA", "A" * 600, "WyItaWQiLDAsIngiXQ", "WyItY3JlYXRlZF9hdCIsMCwiMjAyNi0wMS0wMSIsMV0", "é"]
)
def test_a_cursor_that_is_none_is_refused(api, cursor):
    status, told = api.get("trades", cursor=cursor)

    assert (status, list(told["fields"])) == (400, ["cursor"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"ordering": "price"}, "ordering"),
        ({"simbol": "KRW-BTC"}, "simbol"),
        ({"side": "sideways"}, "side"),
        ({"bot": "-1"}, "bot"),
        ({"bot": "9" * 30}, "bot"),
        ({"created_at_from": "2026-01-01T00:00:00"}, "created_at_from"),
        ({"created_at_from": "0001-01-01T00:00:00+23:59"}, "created_at_from"),
        ({"symbol": "a\x00b"}, "symbol"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(api, query, field):
    status, told = api.get("trades", **query)

    assert (status, list(told["fields"])) == (400, [field]), told


def test_filters_find_what_they_say(api):
    later = (face_rows.T0 + timedelta(minutes=2)).isoformat()

    found = api.get("trades", created_at_from=later, symbol="KRW-BTC", side="buy", bot=api.bot.pk)[1]["results"]

    assert len(found) == 13
    assert all(datetime.fromisoformat(row["created_at"]) >= face_rows.T0 + timedelta(minutes=2) for row in found)
    assert api.get("trades", side="sell")[1]["results"] == []


def test_decimals_travel_as_text_and_times_with_their_offset(api):
    row = api.get("trades", limit=1, ordering="created_at")[1]["results"][0]

    assert (row["price"], row["amount"], row["total"]) == ("100000000", "0.0005", "50000")
    assert row["created_at"] == face_rows.T0.astimezone(UTC).isoformat() == "2026-01-05T03:00:00+00:00"


@pytest.mark.parametrize("amount", [50000, 50000.5, "5e4", "NaN", "Infinity", "1" * 21, "0." + "1" * 19, "", None, True, "-5", "٣"])
def test_an_amount_that_is_no_decimal_text_is_refused(api, amount):
    status, told = api.send("patch", f"bots/{api.bot.pk}", {"trade_amount": amount})

    assert status == 400, told
    assert list(told["fields"]) == ["trade_amount"]


def test_raising_a_bots_money_needs_a_reason_and_lowering_it_none(api):
    where = f"bots/{api.bot.pk}"

    refused = api.send("patch", where, {"trade_amount": "60000"})
    told = api.send("patch", where, {"trade_amount": "60000", "reason": "more of it"})
    lowered = api.send("patch", where, {"trade_amount": "40000"})

    assert (refused[0], refused[1]["code"]) == (409, "refused")
    assert (told[0], told[1]["trade_amount"]) == (200, "60000")
    assert (lowered[0], lowered[1]["trade_amount"]) == (200, "40000")


def test_the_short_forms_answer_as_old_clients_expect(api):
    started = api.post("/bot/start", {"strategy_id": api.bot.pk})
    status = api.get("/bot/status")
    stopped = api.post("/bot/stop", {"strategy_id": api.bot.pk})
    face_rows.position(api.bot)
    held = api.get("/account/positions")

    assert started == (200, {"is_running": True, "strategy_id": api.bot.pk})
    assert status == (200, {"is_running": True, "strategy_id": api.bot.pk})
    assert stopped == (200, {"is_running": False, "strategy_id": api.bot.pk})
    assert held[0] == 200
    assert {name: held[1][0][name] for name in ("symbol", "side", "amount", "entry_price")} == {
        "symbol": "KRW-BTC",
        "side": "long",
        "amount": "0.0005",
        "entry_price": "100000000",
    }
    assert "unrealized_pnl" in held[1][0]


def test_a_busy_machine_is_a_warning():
    from monitoring.machine import Machine

    busy = Machine(cpu_percent=82.5, memory_percent=61.0, memory_available_mb=3000.0, disk_percent=80.0, disk_free_gb=90.0)

    assert (busy.status, busy.warnings) == ("WARNING", ["CPU 82.5 % is over 80 %"])
