"""The screener against the fake Upbit over a real socket: what fits, what cannot be told, and how it becomes target symbols."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from dgbot.core.types import Candle
from tests import face_rows as rows
from tests.fakes.core.clock import FakeClock
from tests.fakes.core.faults import Fault
from tests.fakes.upbit.server import FakeUpbit
from trading.domain import screening
from trading.exchanges.bounded_http import BoundedHttp
from trading.exchanges.upbit_http import UpbitHttp
from trading.exchanges.upbit_quotes import UpbitQuotes
from trading.models import BotConfig, ConfigVersion
from trading.seeds import create_settings
from trading.services import screener

pytestmark = pytest.mark.django_db
D = Decimal
NOW = datetime(2026, 3, 2, 5, tzinfo=UTC)
TODAY = datetime(2026, 3, 2, tzinfo=UTC)
DAILY = {"KRW-UP": D("1.02"), "KRW-DOWN": D("0.98"), "KRW-NEW": D("1.05")}  # growth a day
DAYS = {"KRW-UP": 90, "KRW-DOWN": 90, "KRW-NEW": 10}


def served(symbol: str, interval: Interval, start: datetime, end: datetime) -> list[Candle]:
    """A market that grows or falls by the same share every day; today's candle is still forming."""
    assert interval is Interval.DAY_1
    found = []
    for ago in range(DAYS[symbol], -1, -1):
        opened, close = TODAY - timedelta(days=ago), round(D(1000) * DAILY[symbol] ** (DAYS[symbol] - ago), 4)
        if start <= opened < end:
            found.append(Candle(opened_at=opened, open=close, high=close, low=close, close=close, volume=D(10)))
    return found


@pytest.fixture
def fake() -> Iterator[FakeUpbit]:
    create_settings()
    cache.clear()
    with FakeUpbit(clock=FakeClock(NOW), candles=served, has_limits=False) as running:
        for symbol in DAILY:
            running.open_market(symbol, price=1000)
        yield running


@pytest.fixture
def screen(fake: FakeUpbit) -> Callable[..., screener.Screened]:
    quotes = UpbitQuotes(http=UpbitHttp(base_url=fake.url, http=BoundedHttp(connect_timeout_s=0.5, total_timeout_s=1)), clock=fake.clock)

    def ask(*texts: str, is_any: bool = False, budget_s: float = 10) -> screener.Screened:
        return screener.screen(texts, is_any=is_any, now=NOW, budget_s=budget_s, symbols=lambda: list(DAILY), source=quotes)

    return ask


def symbols(found: screener.Screened) -> list[str]:
    return [one.symbol for one in found.matches]


def test_every_reading_is_of_closed_days(screen: Callable[..., screener.Screened]) -> None:
    [up] = [one for one in screen("change_rate[1D] > 1.9", "change_rate[1D] < 2.1").matches if one.symbol == "KRW-UP"]

    close = 1000 * 1.02**89  # of yesterday
    assert up.readings["change_rate[1W]"] == pytest.approx(100 * (1.02**7 - 1), rel=1e-4)
    assert up.readings["volume[1M]"] == 300
    assert up.readings["trade_amount[1D]"] == pytest.approx(10 * close, rel=1e-6)
    mean = sum(1.02**-day for day in range(20)) / 20
    assert up.readings["ma_divergence[20]"] == pytest.approx(100 * (1 / mean - 1), rel=1e-4)
    assert up.readings["ma_alignment"] == 1


def test_conditions_are_joined_by_and_or_or(screen: Callable[..., screener.Screened]) -> None:
    both = "change_rate[1W] > 5", "ma_alignment == bullish"
    assert symbols(screen(*both)) == ["KRW-UP"]
    assert screen(*both).unknown == ("KRW-NEW",), "ten days tell no alignment, and what is unknown fits nothing"
    assert set(symbols(screen(*both, is_any=True))) == {"KRW-UP", "KRW-NEW"}
    assert symbols(screen("ma_alignment == bearish")) == ["KRW-DOWN"]
    assert screen("change_rate[1D] > 100").unknown == ()


def test_a_market_is_asked_for_once_a_day(fake: FakeUpbit, screen: Callable[..., screener.Screened]) -> None:
    screen("change_rate > 0")
    asked = len(fake.server.requests("GET /v1/candles/days"))
    screen("ma_divergence[5] > 0", "volume[1W] >= 70")
    assert len(fake.server.requests("GET /v1/candles/days")) == asked > 0


def test_what_could_not_be_asked_is_told_and_asked_next_time(fake: FakeUpbit, screen: Callable[..., screener.Screened]) -> None:
    assert screen("change_rate > 0", budget_s=-1).unasked == ("KRW-DOWN", "KRW-NEW", "KRW-UP")

    fake.server.faults.set("GET /v1/candles/days", Fault(status=503), times=1)
    first = screen("change_rate > 0")
    assert first.unasked == ("KRW-DOWN",)
    assert "KRW-DOWN" in first.failures[0]
    assert screen("change_rate > 0").unasked == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("price > 5", "cannot be screened by"),
        ("change_rate[2W] > 5", r"1D, 1W, 1M"),
        ("change_rate = 5", "is no condition"),
        ("volume > nan", "compared with a number"),
        ("ma_alignment == up", "bullish"),
        ("ma_alignment[5] == bullish", "over nothing"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_can(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        screening.parse(text)
    with pytest.raises(BadInput, match="1 to 5"):
        screening.parse_all(["volume > 1"] * 6)


def test_a_proposal_becomes_target_symbols_for_a_reason(fake: FakeUpbit) -> None:
    with pytest.raises(BadInput, match="reason"):
        screener.apply(["KRW-UP"], is_replacing=False, by="test", reason=" ")
    assert screener.apply(["KRW-UP", "KRW-BTC"], is_replacing=False, by="test", reason="it rises") == ["KRW-BTC", "KRW-ETH", "KRW-UP"]
    assert screener.apply(["KRW-UP"], is_replacing=True, by="test", reason="it alone rises") == ["KRW-UP"]
    assert ConfigVersion.objects.latest("pk").reason == "it alone rises"


def test_the_page_screens_and_applies(fake: FakeUpbit, client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for symbol in DAILY:  # what the day's first visit would have asked
        cache.set(screener._key(symbol, Interval.DAY_1.open_of(datetime.now(tz=UTC))), {"change_rate[1D]": 2.0, "trade_amount[1D]": 1.0})
    monkeypatch.setattr(screener, "_listed", lambda: list(DAILY))
    address = reverse("admin:trading_botconfig_screener")
    client.force_login(rows.user())
    assert client.get(address).status_code == 403, "who may not change settings may not propose them"

    client.force_login(rows.user(is_superuser=True))
    shown = client.get(address, {"condition": ["change_rate[1D] > 1"]}).content.decode()
    assert "KRW-UP" in shown
    assert "is no condition" in client.get(address, {"condition": ["nonsense"]}).content.decode()

    client.post(address, {"symbol": ["KRW-UP"], "how": "add", "reason": "seen on the page"})
    assert BotConfig.objects.get(key="target_symbols").value == {"symbols": ["KRW-BTC", "KRW-ETH", "KRW-UP"]}
