"""What the rows of trading and risk say is told: every row once, whatever the order of commits, and each state when it changes."""

import contextlib
from datetime import timedelta
from decimal import Decimal

import psycopg2
import pytest
from django.db import connection
from django.utils import translation

from dgbot.accounts import heartbeats
from dgbot.accounts.models import Heartbeat, JobRun
from dgbot.base.fields import ClockTimestamp
from dgbot.core.types import Mode
from monitoring.models import LogLevel, SystemLog
from monitoring.notifications import reader, reports, watcher, wording
from monitoring.notifications.facts import orders
from monitoring.notifications.kinds import Kind, Level, Medium
from monitoring.notifications.message import Message, Reader
from monitoring.notifications.models import Channel, Delivery, Notification, ReadMark
from risk import kill_switch
from risk.models import KillScope, RiskEvent
from tests import face_rows as rows
from tests import factories
from tests import notice_stage as stage
from trading.models import Bot, BotStatus, Order, StageResult, Trade
from trading.services import ledger

pytestmark = pytest.mark.django_db(databases=["default", "venue"])
MARKET = {"close": 1.5e8, "rsi14": 74.2, "ma20": 1.49e8, "ma60": 1.45e8, "change_24h": 0.0213}
CHECK = {"name": "win_rate", "value": "41.00 %", "limit": "35.00 %", "is_most": False, "is_met": True}


@pytest.fixture
def bot() -> Bot:
    """A paper bot whose owner hears everything, with the reading begun."""
    made = rows.bot(rows.user(), mode=Mode.PAPER, name="Momentum", status=BotStatus.STOPPED)
    stage.channel(made.user, Medium.SLACK, address="https://slack.example/1")
    reader.begin()
    return made


def told() -> list[Message]:
    """Every notification, as its reader reads it."""
    with translation.override("en"):
        return [wording.message(row, Reader()) for row in Notification.objects.order_by("pk")]


def titles() -> list[str]:
    return [message.title for message in told()]


def read_all() -> None:
    reader.Reader().read()


def settle() -> None:
    """As if five seconds had passed since the marks were set."""
    ReadMark.objects.update(seen_at=ClockTimestamp() - timedelta(seconds=6))


def full_cycle(bot: Bot) -> None:
    """The four stages of a cycle that proposed a buy."""
    cycle = rows.cycle(bot, stages=0)
    data = {
        "risk_check": {},
        "data_collection": {"market": MARKET, "price": {"value": "150000000"}},
        "analysis": {
            "quick_filter": {"passed": True, "checks": [CHECK], "span": ""},
            "market_conditions": {"flash_return": -0.06, "divergence": 0.0},
        },
        "execution": {},
    }
    for name, told_data in data.items():
        reason = {"code": "sample", "message": f"{name} says so", "value": "", "limit": "", "remedy": ""}
        StageResult.objects.create(
            cycle=cycle, stage=name, action="continue", reasons=[reason], data=told_data, duration_ms=1, created_at=cycle.slot
        )
    rows.decision(cycle, kind="buy", why="Overall: good\nTrend: <up>")


def test_a_cycle_is_told_in_four_messages(bot: Bot) -> None:
    full_cycle(bot)
    rows.snapshot(bot.account, value="1234567")

    read_all()

    found = {message.kind: message for message in told()}
    assert set(found) == {Kind.CYCLE, Kind.SIGNALS, Kind.DECISION, Kind.PORTFOLIO}
    assert found[Kind.CYCLE].title == "Momentum: cycle started" and dict(found[Kind.CYCLE].fields)["Status"] == "continue"
    signals = dict(found[Kind.SIGNALS].fields)
    assert signals["RSI(14)"] == "74.2 (overbought)" and signals["Change in 24 h"] == "+2.13 %" and signals["Win rate"] == "41.00 % ✓"
    assert signals["Flash crash"] == "yes (-6.00%)" and signals["Divergence"] == "none" and signals["Backtest"] == "passed"
    assert found[Kind.DECISION].text == "Overall: good\nTrend: <up>" and dict(found[Kind.DECISION].fields)["Decision"] == "BUY"
    assert dict(found[Kind.PORTFOLIO].fields)["Total value"] == "1,234,567"
    assert all(message.badge == "PAPER" for message in found.values())


def test_each_row_is_told_once_over_looks_and_restarts(bot: Bot) -> None:
    rows.trade(bot)
    again = reader.Reader()
    again.read()
    again.read()
    read_all()
    settle()
    read_all()
    rows.trade(bot, side="sell", reason="target")
    read_all()
    again.read()

    assert titles() == ["Momentum: bought KRW-BTC", "Momentum: take-profit sold KRW-BTC"]


@pytest.mark.django_db(transaction=True)
def test_a_row_committed_after_a_larger_id_was_read_is_told(bot: Bot) -> None:
    """Ids are drawn before commit: the classic hole of reading by a cursor."""
    settled = Trade.objects.count()
    with psycopg_session() as other, other.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('trades', 'id'))")
        (early,) = cursor.fetchone()
        cursor.execute("SELECT pg_current_xact_id()")  # a transaction under way, with a number
        late = rows.trade(bot)
        look = reader.Reader()
        look.read()
        settle()
        look.read()
        mark = ReadMark.objects.get(table="trades")
        assert mark.read_id < early < late.pk, "nothing is final while a transaction from before is under way"
        other.commit()
    missed = rows.trade(bot, side="sell", reason="stop")
    with factories.triggers_off():
        factories.execute("UPDATE trades SET id = %s WHERE id = %s", early, missed.pk)
    look.read()
    assert len(titles()) == 2 and settled == 0

    settle()
    look.read()
    settle()
    look.read()
    assert ReadMark.objects.get(table="trades").read_id == late.pk


def psycopg_session():
    return contextlib.closing(psycopg2.connect(**{**connection.get_connection_params(), "cursor_factory": None}))


def test_history_is_told_to_nobody() -> None:
    made = rows.bot(rows.user(), mode=Mode.PAPER)
    stage.channel(made.user, Medium.SLACK, address="https://slack.example/1")
    rows.trade(made)
    reader.begin()
    read_all()

    assert not Notification.objects.exists()


def test_what_nobody_hears_is_not_kept(bot: Bot) -> None:
    Channel.objects.update(modes=["live"])
    rows.trade(bot)
    read_all()

    assert not Notification.objects.exists()


def test_a_row_that_cannot_be_told_holds_up_no_other(bot: Bot, monkeypatch) -> None:
    broken = rows.trade(bot)
    rows.trade(bot, side="sell", reason="target")
    real = orders._fill
    monkeypatch.setattr(orders, "_fill", lambda trades: 1 / 0 if trades[0].pk == broken.pk else real(trades))
    read_all()

    assert titles() == ["Momentum: take-profit sold KRW-BTC"]


def test_the_end_of_a_cycles_order_is_told_with_the_portfolio(bot: Bot) -> None:
    order = factories.planned_entry(bot)
    read_all()
    Notification.objects.all().delete()
    with factories.triggers_off():
        Order.objects.filter(pk=order.pk).update(status="failed", error_message="the exchange said no")
        factories.execute(
            "INSERT INTO order_events (order_pk, seq, from_status, to_status, actor, evidence, created_at)"
            " VALUES (%s, 2, 'submitting', 'failed', 'gateway', '{}', now())",
            order.pk,
        )
    read_all()

    found = {message.kind: message for message in told()}
    assert found[Kind.ERROR].level is Level.ERROR and "the exchange said no" in found[Kind.ERROR].text
    assert dict(found[Kind.PORTFOLIO].fields)["Trade"].startswith("❌")


def test_breakers_and_kill_switches_are_told(bot: Bot) -> None:
    RiskEvent.objects.create(
        bot=bot, account=bot.account, user=bot.user, code="daily_loss", message="The loss of today is over.",
        value="3.1 %", limit="3 %", actor="breaker", created_at=rows.T0,
    )  # fmt: skip
    kill_switch.change(scope=KillScope.PLATFORM, scope_id="", level=1, by=bot.user, reason="fire drill")
    kill_switch.change(scope=KillScope.USER, scope_id=str(rows.user().pk), level=1, by=bot.user, reason="not ours")
    read_all()

    assert titles() == ["Momentum: a limit stopped entries", "Kill switch raised: platform"]
    assert [message.level for message in told()] == [Level.ERROR, Level.CRITICAL]


def test_a_bot_is_told_when_its_state_changes_and_not_on_its_way(bot: Bot) -> None:
    for status in ("requested", "starting", "running", "requested", "running", "safe_mode", "running", "stopped"):
        Bot.objects.filter(pk=bot.pk).update(status=status, status_reason=f"because {status}")
        watcher.look()
        watcher.look()

    assert titles() == ["Momentum is running", "Momentum is in safe mode", "Momentum is running", "Momentum has stopped"]


def test_a_silent_process_is_told_to_those_who_see_all(bot: Bot) -> None:
    boss = rows.user(is_superuser=True)
    mine = stage.channel(boss, Medium.SLACK, address="https://slack.example/2")
    heartbeats.beat(process="gateway", started_at=rows.T0)
    watcher.look()
    Heartbeat.objects.update(beat_at=ClockTimestamp() - timedelta(minutes=5))
    heartbeats.raise_alarms()
    watcher.look()
    heartbeats.beat(process="gateway", started_at=rows.T0)
    watcher.look()

    assert [message.level for message in told()] == [Level.CRITICAL, Level.INFO]
    assert "No sign of life from gateway" in titles()[0] and "again" in titles()[1]
    assert set(Delivery.objects.values_list("channel", flat=True)) == {mine.pk}


def test_a_failed_job_and_a_critical_line_are_told(bot: Bot) -> None:
    stage.channel(rows.user(is_superuser=True), Medium.SLACK, address="https://slack.example/2")
    JobRun.objects.create(
        name="Check of the books (daily)", task="t", started_at=rows.T0, duration_ms=1, is_ok=False, result="1 figure differs"
    )
    line = SystemLog(level=LogLevel.CRITICAL, message="books disagree", context={"logger": "trading.tasks"}, created_at=ClockTimestamp())
    SystemLog.objects.bulk_create([line])
    watcher.look()
    watcher.look()

    assert titles() == ["The job Check of the books (daily) failed", "The platform reports a critical error"]


def test_a_report_without_data_says_so(bot: Bot) -> None:
    assert reports.write_reports(now=rows.T0) == 1
    assert reports.write_reports(now=rows.T0) == 0

    (message,) = told()
    assert message.text.endswith("No data") and "PAPER" in message.text


def test_a_report_tells_what_the_ledger_says(bot: Bot) -> None:
    position = rows.position(bot, opened_at=rows.T0)
    for side, price, at in (("buy", "100000000", 0), ("sell", "110000000", 1)):
        trade = rows.trade(bot, side=side, price=price, at=rows.T0 + timedelta(hours=at))
        with factories.triggers_off():
            Trade.objects.filter(pk=trade.pk).update(position=position)
    rows.snapshot(bot.account, at=rows.T0 - timedelta(days=1), value="1000000")
    rows.snapshot(bot.account, at=rows.T0 + timedelta(hours=2), value="1005000")
    enter_fees(bot)
    day = reports.Day.before(rows.T0 + timedelta(days=1))

    (account,) = reports.of_user(bot.user_id, day)

    assert Decimal(account["realised"]) == 5000 and Decimal(account["net"]) == Decimal("4947.5")
    assert (account["trades"], account["sales"], account["start_value"], account["end_value"]) == (2, 1, "1000000", "1005000")


def enter_fees(bot: Bot) -> None:
    """The ledger's legs of the bot's trades."""
    ledger.enter_trades(list(Trade.objects.filter(bot=bot).order_by("pk")), base="BTC", quote="KRW")
