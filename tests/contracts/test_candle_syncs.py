"""Downloads as rows: asked for once, claimed by one, with progress, ending in done or failed; by command, task and schedule."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django_celery_beat.models import PeriodicTask

from backtests import seeds, tasks
from backtests.candles.archive import Conflict, merge
from backtests.candles.quality import Kind
from backtests.candles.series import COLUMNS, Candles
from backtests.models import CandleCorrection, CandleSeries, CandleSync, SyncStatus
from backtests.selectors import archive_root, candles_of
from backtests.services import candles, syncs
from dgbot.base.fields import ClockTimestamp
from dgbot.core.clock import SteppedClock
from dgbot.core.errors import BadInput, ExchangeUnavailable, RateLimited, VenueUnavailable
from dgbot.core.interval import Interval
from dgbot.core.types import Candle, Mode
from tests import face_rows as rows
from tests.candle_factory import START, random_candles
from trading.models import SimulatedMarket
from trading.services.candle_sources import Source, source_for, wanted_series

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
END = START + 100 * HOUR
NOW = END + timedelta(days=1)
NAMES = {"exchange": "upbit", "symbol": "KRW-BTC", "interval": Interval.HOUR_1}


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


@dataclass
class Exchange:
    """Has every candle but the tenth and the eleventh, and answers when it feels like it."""

    there: Candles
    answers: int = 1_000_000
    refusal: Exception = field(default_factory=lambda: ExchangeUnavailable("upbit is closed for maintenance"))

    def candles(self, symbol: str, interval: Interval, *, start: datetime, end: datetime) -> Sequence[Candle]:
        self.answers -= 1
        if self.answers < 0:
            raise self.refusal
        return list(self.there.opened_within(start, end))


@pytest.fixture
def exchange() -> Exchange:
    whole = random_candles(100)
    kept = [index for index in range(100) if index not in (10, 11)]
    return Exchange(replace(whole, **{name: getattr(whole, name)[kept] for name in COLUMNS}, chain=None))


def ask(**options: Any) -> CandleSync:
    return syncs.request(**{**NAMES, "until": END, "since": START, **options})[0]


def work(sync: CandleSync, exchange: Exchange, **options: Any) -> SyncStatus | None:
    return syncs.run(sync_pk=sync.pk, source=exchange, now=NOW, root=archive_root(), **{"page": 20, **options})


def test_a_download_ends_with_a_labelled_series(exchange: Exchange) -> None:
    sync = ask()

    assert work(sync, exchange) is SyncStatus.DONE

    sync.refresh_from_db()
    assert (sync.status, sync.windows_done, sync.windows_total, sync.added, sync.progress) == ("done", 5, 5, 98, 1.0)
    series = CandleSeries.objects.get()
    assert (series.rows, series.missing_count, series.confirmed_count, series.unexplained_count) == (98, 2, 2, 0)
    assert series.report is not None
    assert series.report.count(Kind.CONFIRMED) == 2
    loaded = candles_of(**NAMES)
    assert loaded.hash_at(98) == exchange.there.hash_at(98)


def test_asking_twice_joins_the_first(exchange: Exchange) -> None:
    first = ask()

    again, is_new = syncs.request(**NAMES, until=END)
    assert (again.pk, is_new) == (first.pk, False)

    work(first, exchange)
    assert syncs.request(**NAMES, until=END)[1]


def test_a_second_worker_stands_back_until_the_first_is_dead(exchange: Exchange) -> None:
    sync = ask()
    CandleSync.objects.filter(pk=sync.pk).update(status="running", alive_at=Now())

    assert work(sync, exchange) is None

    CandleSync.objects.filter(pk=sync.pk).update(alive_at=ClockTimestamp() - timedelta(seconds=121))
    assert work(sync, exchange) is SyncStatus.DONE
    assert work(sync, exchange) is SyncStatus.DONE  # a task delivered twice


def test_no_answer_leaves_it_waiting_with_the_reason_and_what_came_before(exchange: Exchange) -> None:
    sync = ask()
    exchange.answers = 3

    with pytest.raises(ExchangeUnavailable):
        work(sync, exchange)

    sync.refresh_from_db()
    assert (sync.status, sync.reason, sync.windows_done) == ("waiting", "upbit is closed for maintenance", 3)
    assert CandleSeries.objects.get().rows == 58
    exchange.answers = 1000
    assert work(sync, exchange) is SyncStatus.DONE
    sync.refresh_from_db()
    assert (sync.windows_done, sync.windows_total, sync.added, sync.reason) == (5, 5, 98, "")


def test_a_download_that_takes_long_makes_way(exchange: Exchange) -> None:
    sync = ask()
    turns = 0
    while work(sync, exchange, budget_s=0.0) is SyncStatus.WAITING:
        turns += 1

    assert turns == 4
    assert candles_of(**NAMES).hash_at(98) == exchange.there.hash_at(98)


def test_a_request_limit_is_waited_out(exchange: Exchange) -> None:
    class Limited(Exchange):
        def candles(self, symbol: str, interval: Interval, *, start: datetime, end: datetime) -> Sequence[Candle]:
            self.answers += 1
            if self.answers % 2:
                raise RateLimited("too many", retry_after_s=0.001)
            return list(self.there.opened_within(start, end))

    assert work(ask(), Limited(exchange.there)) is SyncStatus.DONE


def test_other_values_are_counted_and_left(exchange: Exchange) -> None:
    wrong = replace(exchange.there, volume=exchange.there.volume + 1, chain=None)
    merge(replace(wrong, **{name: getattr(wrong, name)[::2] for name in COLUMNS}, chain=None), archive_root())
    before = candles_of(**NAMES).volume.tolist()
    sync = ask()

    work(sync, exchange)

    sync.refresh_from_db()
    assert 40 < sync.differing <= len(before)  # those between missing ones; what stands alone at a window's edge is not asked for
    assert candles_of(**NAMES).volume[::2].tolist() == before


@pytest.mark.parametrize(
    ("names", "told"),
    [({"exchange": "../x"}, "An exchange is named by"), ({"symbol": ""}, "A symbol is"), ({"since": NOW}, "Nothing lies between")],
)
def test_what_cannot_be_is_refused_at_once(names: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        ask(**names)


def test_false_rows_are_refused_by_the_database() -> None:
    sync = ask()
    for changed in (
        {"status": "done"},
        {"finished_at": Now()},
        {"status": "failed", "finished_at": Now()},
        {"windows_done": 2, "windows_total": 1},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            CandleSync.objects.filter(pk=sync.pk).update(**changed)
    with pytest.raises(IntegrityError), transaction.atomic():
        CandleSync.objects.create(**NAMES, until=END)


def test_a_correction_is_recorded(tmp_path: Path) -> None:
    from backtests.candles.exporting import write_csv

    whole = random_candles(50)
    write_csv(whole, tmp_path / "a.csv")
    volume = whole.volume.copy()
    volume[7] += 1
    write_csv(replace(whole, volume=volume, chain=None), tmp_path / "b.csv")
    told = {"root": archive_root(), "exchange": "upbit", "symbol": "KRW-BTC", "now": NOW}
    candles.import_file(tmp_path / "a.csv", **told)

    candles.import_file(tmp_path / "b.csv", replace=True, **told)

    correction = CandleCorrection.objects.get()
    assert (correction.count, correction.source_name, correction.series.symbol) == (1, "b.csv", "KRW-BTC")
    assert (archive_root() / correction.path).exists()


def test_rechecking_judges_the_file_anew(exchange: Exchange) -> None:
    work(ask(), exchange)
    series = CandleSeries.objects.get()
    later = replace(random_candles(200), volume=random_candles(200).volume, chain=None).opened_within(
        START + 150 * HOUR, START + 160 * HOUR
    )
    merge(later, archive_root(), conflict=Conflict.KEEP)

    candles.recheck(series, root=archive_root())

    series.refresh_from_db()
    assert (series.rows, series.unexplained_count, series.quality) == (108, 50, "bad")
    assert series.source_name == "download from upbit"


# --- by task ---


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch, exchange: Exchange) -> Exchange:
    """`source_for` gives our exchange, as it would give an adapter."""
    monkeypatch.setattr(tasks, "source_for", lambda name: Source(candles=exchange, clock=SteppedClock(NOW), page=20))
    return exchange


def test_the_task_works_and_works_again(sources: Exchange) -> None:
    sync = ask()

    tasks.sync_series.apply(args=[sync.pk]).get()
    tasks.sync_series.apply(args=[sync.pk]).get()

    sync.refresh_from_db()
    assert sync.status == "done"


def test_the_task_gives_up_with_the_reason(sources: Exchange) -> None:
    sources.answers = 0
    sync = ask()

    tasks.sync_series.apply(args=[sync.pk])

    sync.refresh_from_db()
    assert sync.status == "failed"
    assert sync.reason == "given up after 6 attempts: upbit is closed for maintenance"


def test_a_refusal_ends_it_without_another_attempt(sources: Exchange) -> None:
    sources.answers, sources.refusal = 0, BadInput("Upbit has no 5s candles.")
    sync = ask()

    tasks.sync_series.apply(args=[sync.pk]).get()

    sync.refresh_from_db()
    assert (sync.status, sync.reason) == ("failed", "Upbit has no 5s candles.")


def test_the_daily_job_asks_for_bitcoin_ethereum_and_what_bots_trade(sources: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wanted_series() == [("upbit", "KRW-BTC", Interval.HOUR_1), ("upbit", "KRW-ETH", Interval.HOUR_1)]
    queued: list[int] = []
    monkeypatch.setattr(tasks.sync_series, "delay", queued.append)

    tasks.sync_daily()
    tasks.sync_daily()

    assert set(CandleSync.objects.values_list("symbol", flat=True)) == {"KRW-BTC", "KRW-ETH"}
    assert len(queued) == 4  # the second time the same two: their workers may have died
    assert len(set(queued)) == 2


def test_the_schedule_is_created_once_and_never_overwritten() -> None:
    assert seeds.create_schedules() == "Schedules added: Candle sync (daily)."
    PeriodicTask.objects.filter(name=seeds.DAILY).update(enabled=False)

    assert seeds.create_schedules() is None
    assert not PeriodicTask.objects.get(name=seeds.DAILY).enabled


# --- sources and the command ---


@pytest.fixture
def market() -> SimulatedMarket:
    return SimulatedMarket.objects.create(
        name="Test", seed=7, origin=datetime(2025, 1, 1, tzinfo=UTC), elapsed=timedelta(days=3), speed=1, checkpoint_at=ClockTimestamp()
    )


def test_the_simulated_market_is_a_source(market: SimulatedMarket) -> None:
    out = StringIO()

    call_command("sync_candles", "KRW-BTC", "--exchange", "simulated", "--since", "2024-12-01", "--json", stdout=out)
    told = json.loads(out.getvalue())[0]

    assert told["series"] == "simulated KRW-BTC 1h"
    assert told["added"] == told["rows"] > 700
    assert told["unexplained"] == 0
    call_command("sync_candles", "KRW-BTC", "--exchange", f"simulated_{market.pk}", "--since", "2024-12-01", stdout=out)
    assert "candles added with" in out.getvalue()


def test_unknown_sources_are_refused_with_a_sentence() -> None:
    with pytest.raises(VenueUnavailable, match="the exchanges are simulated, upbit, bitget; import a file instead"):
        source_for("binance")
    with pytest.raises(VenueUnavailable, match="no simulated market"):
        source_for("simulated")
    with pytest.raises(CommandError, match="simulated KRW-BTC 1h: There is no simulated market"):
        call_command("sync_candles", "KRW-BTC", "--exchange", "simulated")


def test_bots_on_paper_are_wanted_and_simulated_ones_are_not() -> None:
    owner = rows.user("operator")
    rows.bot(owner, symbol="KRW-SOL")
    rows.bot(owner, mode=Mode.PAPER, symbol="KRW-XRP", interval="15m")

    assert wanted_series() == [
        ("upbit", "KRW-BTC", Interval.HOUR_1),
        ("upbit", "KRW-ETH", Interval.HOUR_1),
        ("upbit", "KRW-XRP", Interval.MINUTE_15),
    ]
