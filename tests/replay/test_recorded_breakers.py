"""Breakers over recorded KRW-BTC hours: they trip where a slow, obvious calculation over fills and closes says, to the won.

Needs the recorded files, which are not shipped: DGBOT_TEST_DATA, or ../shared/data beside the checkout. The whole year 2022 is
replayed with DGBOT_TEST_FULL=1; a week of it otherwise.
"""

import os
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backtests.candles.importing import read_file
from backtests.candles.series import Candles
from risk.models import RiskEvent, RiskProfile, RiskState
from tests.replay import plain_loop
from tests.replay.conftest import CASH
from tests.replay.plain_loop import Bar, day
from tests.replay.test_recorded_file import FILE
from tests.scale import IS_FULL
from trading.models import Bot, Order, Trade
from trading.services import replaying

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "venue"]),
    pytest.mark.skipif(not FILE.exists(), reason=f"NOT RUN: the recorded candles are not here; set DGBOT_TEST_DATA ({FILE.name})"),
    pytest.mark.skipif(os.environ.get("CI") == "true", reason="twelve weeks of recorded hours take two minutes"),
    pytest.mark.timeout(3600),  # a year is 8,760 cycles
]

D = Decimal
HOUR = timedelta(hours=1)
SEOUL = ZoneInfo("Asia/Seoul")
PROFILES = ("conservative", "medium", "aggressive")
CRASH = (day("2020-03-09"), day("2020-03-16"))  # the 12th lost 40 % of a coin
LUNA = (day("2022-05-08"), day("2022-05-15"))
YEAR = (day("2022-01-01"), day("2023-01-01"))


@dataclass
class Expected:
    """What the calculation says of one scope: when it tripped and why, and each day's figures at its last close."""

    tripped_at: datetime | None = None
    codes: set[str] = field(default_factory=set)
    days: dict[date, tuple[Decimal, Decimal, Decimal]] = field(default_factory=dict)  # equity, today, seven days


@pytest.mark.parametrize("tenfold", [False, True], ids=["as shipped", "ten times as tight"])
@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("span", [CRASH, YEAR if IS_FULL else LUNA], ids=["2020-03-12", "2022"])
def test_breakers_trip_where_a_plain_calculation_says(
    span: tuple[datetime, datetime], name: str, tenfold: bool, ready: None, settings: Any
) -> None:
    settings.TRADING_AMOUNT = D(1_000_000)  # then the profile's largest position decides
    profile = RiskProfile.objects.get(name=name, user=None)
    if tenfold:
        profile = ten_times_as_tight(profile)
    start, end = span

    bot = replayed(profile, start=start, end=end)

    bars = [bar for bar in recorded_bars() if start <= bar.at < end]
    trades = list(Trade.objects.filter(bot=bot).order_by("pk"))
    assert len(trades) >= 4, "a market that hardly trades proves nothing"
    for scope, base in ((bot, bot.allocation), (None, None)):
        expected = calculate(bars, trades, profile=profile, base=base)
        events = RiskEvent.objects.filter(account=bot.account, bot=scope)
        assert set(events.values_list("code", "created_at")) == {(code, expected.tripped_at) for code in expected.codes}
        states = RiskState.objects.filter(account=bot.account, bot=scope)
        assert {state.trading_day: (state.equity, state.daily_pnl, state.weekly_pnl) for state in states} == expected.days
        if expected.tripped_at is not None:
            assert not Order.objects.filter(bot=bot, purpose="entry", created_at__gte=expected.tripped_at).exists()
        assert expected.codes or not tenfold, "breakers that never trip prove nothing"


def ten_times_as_tight(profile: RiskProfile) -> RiskProfile:
    """The same profile with its breakers at a tenth, so that every window trips one."""
    profile.pk, profile.name = None, f"tight {profile.name}"
    profile.daily_loss_fraction /= 10
    profile.weekly_loss_fraction /= 10
    assert profile.drawdown_fraction is not None
    profile.drawdown_fraction /= 10
    profile.save()
    return profile


def replayed(profile: RiskProfile, *, start: datetime, end: datetime) -> Bot:
    """A strategy that trades much and loses much."""
    order = replaying.Order(
        recording=recording(),
        strategy="ultra_aggressive_momentum",
        parameters={},
        cash=CASH,
        start=start,
        end=end,
        profile=profile.name,
    )
    replay = replaying.prepare(order)
    for _slot in replay.run():
        pass
    return replay.bot


@cache
def recording() -> Candles:
    """The file, read once."""
    return read_file(FILE, exchange="upbit", symbol="KRW-BTC", now=day("2026-11-01")).candles


@cache
def recorded_bars() -> tuple[Bar, ...]:
    """The file, read by the plain loop's own reader."""
    return tuple(plain_loop.read(FILE))


def calculate(bars: list[Bar], trades: list[Any], *, profile: RiskProfile, base: Decimal | None) -> Expected:
    """Bar by bar: equity at the close, the day's and the week's first equity, the peak. base None: the day's first equity."""
    found = Expected()
    cash, coins, peak = CASH, D(0), D(0)
    starts: dict[date, Decimal] = {}
    waiting = list(trades)
    for bar in bars:
        close_at = bar.at + HOUR
        while waiting and waiting[0].created_at < close_at:
            trade = waiting.pop(0)
            is_buy = trade.side == "buy"
            cash += (-trade.total if is_buy else trade.total) - trade.fee
            coins += trade.amount if is_buy else -trade.amount
        equity = cash + coins * bar.c
        today = close_at.astimezone(SEOUL).date()
        starts.setdefault(today, equity)
        first = min(past for past in starts if past > today - timedelta(days=7))
        peak = max(peak, equity)
        daily, weekly = equity - starts[today], equity - starts[first]
        found.days[today] = equity, daily, weekly
        if found.tripped_at is None:
            stake = starts[today] if base is None else base
            reached = {
                "daily_loss": -daily >= profile.daily_loss_fraction * stake,
                "weekly_loss": -weekly >= profile.weekly_loss_fraction * stake,
                "drawdown": peak - equity >= (profile.drawdown_fraction or D(2)) * peak,
            }
            found.codes = {code for code, is_reached in reached.items() if is_reached}
            found.tripped_at = close_at if found.codes else None
    return found
