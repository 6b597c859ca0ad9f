"""Results: realised profit added up by day, market, strategy and exit, each currency for itself, and of nobody else."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests import face_rows as rows
from trading.models import Bot, Position
from trading.selectors import results
from trading.selectors.results import Asked

pytestmark = pytest.mark.django_db
D = rows.D
PAGE = "admin:trading_trade_results"


def closed(bot: Bot, *, earned: str, at: datetime = rows.T0, reason: str = "target", fees: str = "10") -> Position:
    """A position that ended with `earned` after its fees."""
    position = rows.position(bot, opened_at=at - timedelta(hours=2))
    sold = position.bought_total + D(earned) + D(fees)
    Position.objects.filter(pk=position.pk).update(amount=0, closed_at=at, sold_total=sold, fees=D(fees), exit_reason=reason)
    return position


def test_profit_is_added_up_by_day_market_strategy_and_exit() -> None:
    owner = rows.user()
    btc, eth = rows.bot(owner), rows.bot(owner, symbol="KRW-ETH", strategy="ai")
    closed(btc, earned="300")
    closed(btc, earned="-100", reason="stop", at=rows.T0 + timedelta(days=1))
    closed(eth, earned="50", at=rows.T0 + timedelta(days=1))

    (found,) = results.of(Asked(), user=owner, zone=UTC) or []

    assert (found.currency, found.total.profit, found.total.fees, found.total.count, found.total.wins) == ("KRW", D(250), D(30), 3, 2)
    assert [(line.name.isoformat(), line.profit) for line in found.days] == [("2026-01-05", D(300)), ("2026-01-06", D(-50))]
    assert [earned for _day, earned in found.cumulative] == [D(300), D(250)]
    assert [(line.name, line.profit) for line in found.symbols] == [("KRW-BTC", D(200)), ("KRW-ETH", D(50))]
    assert [(line.name, line.profit) for line in found.strategies] == [("volatility_breakout", D(200)), ("ai", D(50))]
    assert [(line.name, line.profit) for line in found.reasons] == [("target", D(350)), ("stop", D(-100))]


def test_a_day_is_one_of_the_zone_that_is_asked_for() -> None:
    bot = rows.bot(rows.user())
    closed(bot, earned="1", at=datetime(2026, 1, 5, 16, tzinfo=UTC))  # already the 6th in Seoul

    days = [
        line.name.day for zone in (UTC, ZoneInfo("Asia/Seoul")) for line in (results.of(Asked(), user=bot.user, zone=zone) or [])[0].days
    ]

    assert days == [5, 6]


def test_open_hidden_and_other_peoples_positions_are_left_out() -> None:
    owner = rows.user()
    rows.position(rows.bot(owner))
    closed(rows.bot(owner, within=rows.account(owner, is_hidden=True)), earned="5")
    closed(rows.bot(rows.user()), earned="7")

    assert results.of(Asked(), user=owner, zone=UTC) == []


def test_too_many_positions_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = rows.bot(rows.user())
    closed(bot, earned="1")
    closed(bot, earned="1")
    monkeypatch.setattr(results, "MOST_POSITIONS", 1)

    assert results.of(Asked(), user=bot.user, zone=UTC) is None


@pytest.mark.parametrize("query", ["", "?period=", "?since=2026-01-05&until=2026-01-05", "?since=nonsense&bot=abc&mode=nonsense"])
def test_the_page_opens_at_a_fixed_cost_whatever_it_is_asked(client: Client, query: str) -> None:
    owner = rows.user()
    for _ in range(3):
        closed(rows.bot(owner), earned="100")
    client.force_login(owner)

    with CaptureQueriesContext(connection) as told:
        answer = client.get(reverse(PAGE) + query)

    assert answer.status_code == 200
    assert len(told) <= 14


def test_the_page_shows_what_was_chosen(client: Client) -> None:
    owner = rows.user()
    chosen, other = rows.bot(owner), rows.bot(owner)
    closed(chosen, earned="123")
    closed(other, earned="777")
    client.force_login(owner)

    text = client.get(f"{reverse(PAGE)}?bot={chosen.pk}&since=2026-01-01").content.decode()

    assert "+123" in text
    assert "777" not in text


def test_candles_of_somebody_elses_bot_are_not_drawn(client: Client) -> None:
    client.force_login(rows.user())
    theirs = rows.bot(rows.user())

    told: dict[str, Any] = client.get(reverse("admin:trading_trade_results_candles"), {"bot": theirs.pk}).json()

    assert not told["bars"]
    assert "not yours" in told["why_empty"]
