"""A replay of 1,000 slots of a file exported from the simulated market: what CI proves at every commit."""

import csv
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from backtests.candles.series import Candles
from dgbot.core.interval import Interval
from tests.replay import plain_loop
from tests.replay.conftest import CASH, Counts, counted, replay_file
from tests.scale import scale
from trading.exchanges.simulated_market import SimulatedMarket
from trading.models import Cycle, Decision, Order, StageResult, Trade
from trading.selectors.replays import Summary
from trading.services import decision_records, parity, replaying
from trading.services.positions import sums_from_trades

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

ORIGIN = datetime(2023, 6, 1, tzinfo=UTC)
SLOTS = scale(sample=600, full=1000)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The market from its first candle to SLOTS hours after its origin, as a file in our form."""
    market = SimulatedMarket("KRW-BTC", 1, ORIGIN)
    candles = market.closed_candles(Interval.HOUR_1, ORIGIN + timedelta(hours=SLOTS + 20))
    path = tmp_path_factory.mktemp("recording") / "simulated.csv"
    _write(candles, path)
    return path


def test_a_replay_trades_as_a_plain_loop_with_the_same_rules_does(recording: Path, ready: None) -> None:
    bars = plain_loop.read(recording)
    start, end = _span(bars)

    counts = Counts()
    with counted(counts):
        replay, summary = replay_file(recording, start=start, end=end, now=datetime.now(tz=UTC))

    expected = plain_loop.run(bars, start=start, end=end, cash=CASH)
    assert fills_of(summary) == expected.fills
    assert len(expected.fills) >= 10, "a market that hardly trades proves nothing"
    assert summary.fees == f"{expected.fees.normalize():f}"
    assert_books_balance(replay.bot.pk, cash=expected.cash)
    assert_equal_to_the_engine(replay)
    assert_no_candle_of_the_future(replay.bot.pk)
    assert_budget(counts, bot_id=replay.bot.pk)


def test_two_replays_of_one_file_do_the_same(recording: Path, ready: None) -> None:
    bars = plain_loop.read(recording)
    start, _end = _span(bars)
    end = start + timedelta(hours=200)

    _first, one = replay_file(recording, start=start, end=end, now=datetime.now(tz=UTC))
    _second, other = replay_file(recording, start=start, end=end, now=datetime.now(tz=UTC))

    assert one.fills == other.fills
    assert one.fills
    assert (one.decisions, one.stages, one.final_equity) == (other.decisions, other.stages, other.final_equity)


def fills_of(summary: Summary) -> list[plain_loop.Fill]:
    """A summary's fills as the loop tells them."""
    return [(fill["slot"], fill["side"], fill["price"], fill["lots"]) for fill in summary.fills]


def assert_equal_to_the_engine(replay: replaying.Replay) -> None:
    """Every trade is the engine's, as the nightly comparison says."""
    report = parity.check(parity.bot_of(replay.bot.pk), candles=replay.quotes.recording)
    assert report.is_equal, report.as_row()["differences"]
    assert len(report.compared.pairs) == Trade.objects.filter(bot=replay.bot).count()


def assert_books_balance(bot_id: int, *, cash: plain_loop.D) -> None:
    """Cash and position are the start plus the fold over trades, to the last digit, at the exchange as in our rows."""
    trades = list(Trade.objects.filter(bot_id=bot_id).order_by("pk"))
    quote = CASH + sum((-trade.total if trade.side == "buy" else trade.total) - trade.fee for trade in trades)
    base = sum(trade.amount if trade.side == "buy" else -trade.amount for trade in trades)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT asset, free FROM venue_accounts WHERE account_key = 'account-' || (SELECT account_id FROM bots WHERE id = %s)", [bot_id]
        )
        held = dict(cursor.fetchall())
    assert held["KRW"] == quote == cash
    assert held.get("BTC", 0) == base
    for position in {trade.position for trade in trades if trade.position is not None}:
        assert {name: getattr(position, name) for name in sums_from_trades(position)} == sums_from_trades(position)


def assert_no_candle_of_the_future(bot_id: int) -> None:
    """No decision used a candle that was not closed at its slot."""
    rows = StageResult.objects.filter(cycle__bot_id=bot_id, stage="data_collection", data__candles__isnull=False)
    seen = [(row.data["candles"]["known_at"], row.data["slot"]) for row in rows]
    assert seen
    assert all(datetime.fromisoformat(known_at) <= datetime.fromisoformat(slot) for known_at, slot in seen)


def assert_budget(counts: Counts, *, bot_id: int) -> None:
    """On average at most 35 statements and 8 commits a slot. What a slot with an order costs is measured by the next test."""
    slots = Cycle.objects.filter(bot_id=bot_id).count()
    assert counts.statements / slots <= 35, f"{counts.statements / slots:.1f} statements a slot"
    assert counts.commits / slots <= 8, f"{counts.commits / slots:.1f} commits a slot"


def test_a_slot_with_an_order_keeps_its_budget(recording: Path, ready: None) -> None:
    from backtests.candles.importing import read_file

    candles = read_file(recording, exchange="upbit", symbol="KRW-BTC", now=datetime.now(tz=UTC)).candles
    start = ORIGIN
    order = replaying.Order(recording=candles, strategy="volatility_breakout", parameters={}, cash=CASH, start=start)
    replay = replaying.prepare(order)
    walk = replay.run()

    busy = []
    orders = 0
    while len(busy) < 6:
        counts = Counts()
        with counted(counts):
            next(walk)
        now = Order.objects.filter(bot=replay.bot).exclude(status="planned").count()
        if now > orders:
            busy.append(counts)
        orders = now

    assert max(counts.statements for counts in busy) <= 100
    assert max(counts.commits for counts in busy) <= 16


def test_every_decision_follows_from_the_one_before_it(recording: Path, ready: None) -> None:
    from trading.services.stages.analysis import hash_of

    span = timedelta(hours=scale(sample=60, full=SLOTS))
    replay, _summary = replay_file(recording, start=ORIGIN, end=ORIGIN + span, now=datetime.now(tz=UTC))

    previous, recording_itself = "", replay.quotes.recording
    for decision in Decision.objects.filter(bot=replay.bot).order_by("pk"):
        assert decision.previous_hash == previous
        assert hash_of(decision) == decision.hash
        assert decision_records.replay(decision, lambda _symbol, _interval: recording_itself).is_equal, "made again to the byte"
        previous = decision.hash
    assert previous
    out = StringIO()
    call_command("replay_decision", decision.pk, candles=[recording], json=True, stdout=out)
    assert json.loads(out.getvalue())["is_equal"] is True


def _span(bars: list[plain_loop.Bar]) -> tuple[datetime, datetime]:
    opened = [bar.at for bar in bars if bar.at >= ORIGIN]
    return opened[0], opened[SLOTS]


def _write(candles: Candles, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", "open", "high", "low", "close", "volume"])
        for candle in candles:
            numbers = (candle.open, candle.high, candle.low, candle.close, candle.volume)
            writer.writerow([candle.opened_at.strftime("%Y-%m-%dT%H:%M:%SZ"), *(f"{number:f}" for number in numbers)])
