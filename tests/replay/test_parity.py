"""Parity: a replay trades as the engine does, and whatever is planted between the two is found and named."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command

from backtests.candles.series import Candles
from dgbot.accounts import audit
from dgbot.core.interval import Interval
from dgbot.core.types import Fees, OrderBook
from tests.replay.conftest import CASH
from tests.scale import scale
from trading.domain.parity import Kind
from trading.domain.path import Point
from trading.exchanges import assumed
from trading.exchanges.pretend import PretendExchange
from trading.exchanges.replay import ReplayQuotes
from trading.exchanges.simulated_market import SimulatedMarket
from trading.models import Bot, Order, ParityRun, Position, Trade
from trading.services import by_hand, cycles, orders, parity, replaying

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

D = Decimal
HOUR = timedelta(hours=1)
ORIGIN = datetime(2023, 6, 1, tzinfo=UTC)
SLOTS = scale(sample=60, full=1000)
SHORT, SEED = 34, 8  # slots in which this market is entered once, held for a day, and left again
Plant = Callable[["Walk"], None]


@dataclass
class Walk:
    """A replay at one bar, about to be walked."""

    replay: replaying.Replay
    index: int

    @property
    def position(self) -> Position | None:
        """What its bot holds."""
        return Position.objects.open().filter(bot=self.replay.bot, amount__gt=0).first()


def market(slots: int = SHORT, *, seed: int = SEED) -> Candles:
    """The same market whatever its length."""
    return SimulatedMarket("KRW-BTC", seed, ORIGIN).closed_candles(Interval.HOUR_1, ORIGIN + slots * HOUR)


def prepared(candles: Candles) -> replaying.Replay:
    """A replay of it, not begun."""
    return replaying.prepare(replaying.Order(recording=candles, strategy="volatility_breakout", parameters={}, cash=CASH, start=ORIGIN))


def walked(replay: replaying.Replay, plant: Plant = lambda _walk: None) -> Bot:
    """Walk every bar; `plant` acts before each."""
    bars = replay.run()
    for index in replay.bars:
        plant(Walk(replay, index))
        next(bars)
    next(bars, None)
    return replay.bot


def compared(bot: Bot, candles: Candles) -> parity.Report:
    """As the nightly job does."""
    return parity.check(parity.bot_of(bot.pk), candles=candles)


def first_cause(bot: Bot, candles: Candles) -> tuple[Kind, str]:
    """Of the first difference, which the others follow from."""
    report = compared(bot, candles)
    first = report.compared.differences[0]
    assert {one.kind for one in report.compared.differences if one.follows} <= {first.kind}
    return first.kind, first.why


def test_a_replay_is_equal_to_the_engine_and_changes_since_then_are_named(ready: None) -> None:
    candles = market(SLOTS, seed=6)
    bot = walked(prepared(candles))

    report = compared(bot, candles)
    assert report.is_equal, report.as_row()["differences"]
    assert len(report.compared.pairs) >= 4, "a market that hardly trades proves nothing"
    assert len(report.compared.pairs) >= Trade.objects.filter(bot=bot).values("order").distinct().count()

    # The same bot, compared on candles of which one was corrected since: the breakout of its first entry is no longer one.
    kind, why = first_cause(bot, corrected_before_first_entry(bot, candles))
    assert kind is Kind.DATA, why
    assert "hash" in why

    # The same bot with another amount since.
    Bot.objects.filter(pk=bot.pk).update(trade_amount=D(80_000))
    audit.record(actor="test", action="change bot", target=f"bot:{bot.pk}", diff={"trade_amount": ["50000", "80000"]})
    kind, why = first_cause(bot, candles)
    assert kind is Kind.SETTINGS, why
    assert "trade_amount 50000, now 80000" in why


def corrected_before_first_entry(bot: Bot, candles: Candles) -> Candles:
    """One high, two bars before the signal, raised over every price near it."""
    first = Trade.objects.filter(bot=bot).order_by("pk")[0]
    at = int(np.searchsorted(candles.open_time, int(first.created_at.timestamp()) * 10**9)) - 3
    high = candles.high.copy()
    high[at] *= 1.2
    return replace(candles, high=high, chain=None)


def test_another_fee_is_named(ready: None) -> None:
    candles = market()
    replay = prepared(candles)
    with_exchange(replay, fee_rates=Fees(maker_rate=D("0.002"), taker_rate=D("0.002")))

    kind, why = first_cause(walked(replay), candles)

    assert kind is Kind.FEE, why
    assert "0.2000 % instead of 0.0500 %" in why


@dataclass
class OtherBook(ReplayQuotes):
    """A book that is worse than assumed while an order is on its way, and as assumed when it is planned."""

    slippage: Decimal = assumed.SLIPPAGE
    depth_quote: Decimal = assumed.DEPTH_QUOTE

    def order_book(self, symbol: str) -> OrderBook:
        """See ReplayQuotes."""
        if not Order.objects.unsettled().exists():
            return super().order_book(symbol)
        rules = self.trading_rules(symbol, at=self.clock.now())
        return assumed.assumed_book(ticker=self.ticker(symbol), rules=rules, slippage=self.slippage, depth_quote=self.depth_quote)


def with_exchange(replay: replaying.Replay, *, quotes: ReplayQuotes | None = None, **given: Any) -> None:
    """The same venue with another exchange."""
    told = replay.venue.exchange
    assert isinstance(told, PretendExchange)
    changed = replace(told, **({"quotes": quotes} if quotes is not None else {}), **given)
    replay.venue = replace(replay.venue, exchange=changed, **({"history": quotes} if quotes is not None else {}))
    replay.quotes = quotes or replay.quotes


def test_a_worse_book_is_slippage(ready: None) -> None:
    candles = market()
    replay = prepared(candles)
    with_exchange(replay, quotes=OtherBook(recording=candles, clock=replay.clock, slippage=D("0.002")))

    kind, why = first_cause(walked(replay), candles)

    assert kind is Kind.SLIPPAGE, why
    assert "+0.1" in why


def test_a_part_that_was_not_filled_is_named(ready: None) -> None:
    candles = market()
    replay = prepared(candles)
    with_exchange(replay, quotes=OtherBook(recording=candles, clock=replay.clock, depth_quote=D(20_000)))

    kind, why = first_cause(walked(replay), candles)

    assert kind is Kind.FILL, why


def test_an_order_that_left_a_bar_late_is_latency(ready: None) -> None:
    candles = market()
    replay = prepared(candles)
    slept = False
    for index in replay.bars:
        if slept or not Order.objects.filter(bot=replay.bot, status="planned").exists():
            replay._bar(index)
            continue
        slept = True  # the gateway sleeps through the bar at whose open it should have sent
        candle = candles.candle(index)
        replay._move(Point(candle.close, candle.opened_at + HOUR))
        cycles.run(bot_id=replay.bot.pk, slot=candle.opened_at + HOUR, venue=replay.venue)
    replay._end()

    kind, why = first_cause(replay.bot, candles)

    assert kind is Kind.LATENCY, why


def test_a_position_closed_by_hand_is_named(ready: None) -> None:
    candles = market()
    replay = prepared(candles)

    def close(walk: Walk) -> None:
        if walk.position is not None:
            by_hand.close(position_pk=walk.position.pk, by=replay.bot.user, reason="a test", venue=replay.venue)

    kind, why = first_cause(walked(replay, close), candles)

    assert kind is Kind.MANUAL, why
    assert "operator" in why


def test_a_sale_that_nothing_explains_is_a_defect_and_is_kept(ready: None) -> None:
    candles = market()
    replay = prepared(candles)

    def misfire(walk: Walk) -> None:
        if walk.position is not None:
            orders.plan_exit(position=walk.position, reason="stop", now=replay.clock.now())

    bot = walked(replay, misfire)
    kind, why = first_cause(bot, candles)

    assert kind is Kind.DEFECT, why
    run = parity.run(bot.pk, candles=candles)
    assert (run.verdict, run.kinds["defect"] >= 1) == ("differs", True)
    assert ParityRun.objects.get(bot=bot).differences[0]["why"] == why


def test_a_replay_without_its_file_cannot_be_compared_and_says_so(ready: None) -> None:
    bot = walked(prepared(market(5)))

    run = parity.run(bot.pk)
    assert run.verdict == "impossible"
    assert "--candles" in run.reason

    out = StringIO()
    with pytest.raises(Exception, match="could not be compared"):
        call_command("parity", str(bot.pk), json=True, stdout=out)
    assert json.loads(out.getvalue())["verdict"] == "impossible"
