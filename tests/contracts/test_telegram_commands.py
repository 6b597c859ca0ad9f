"""Commands by Telegram: who may, what they do, and that no message ever acts twice."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import OperationalError

from dgbot.accounts import roles
from dgbot.accounts.models import AuditEntry, User
from dgbot.base.fields import ClockTimestamp
from dgbot.core.types import Mode
from monitoring.notifications import channels
from monitoring.notifications.models import Channel, ChatOffset, LinkCode, Notification, PendingDeed, Recipient
from monitoring.notifications.telegram import inbox
from monitoring.notifications.telegram.catalogue import COMMANDS
from monitoring.notifications.telegram.poller import Poller
from risk.models import KillSwitch, RiskState
from tests import face_rows as rows
from tests import notice_stage as stage
from tests.fakes.notices.telegram import TOKEN, FakeTelegram
from trading.models import Bot, BotStatus

pytestmark = pytest.mark.django_db(databases=["default", "venue"])
CHAT = 4711


@pytest.fixture
def telegram(settings) -> Iterator[FakeTelegram]:
    with FakeTelegram(chats={CHAT}) as sink:
        settings.TELEGRAM_URL, settings.TELEGRAM_BOT_TOKEN = sink.url, TOKEN
        yield sink


@pytest.fixture
def poller(telegram) -> Iterator[Poller]:
    made = Poller()
    yield made
    made._let_go()


def linked(role: str = roles.OPERATOR, **columns) -> Channel:
    """Somebody's chat, linked."""
    return stage.channel(rows.user(role=role), "telegram", address=str(CHAT), person=str(CHAT), **columns)


class Chat:
    """A person who types, and reads what our bot answers."""

    def __init__(self, telegram: FakeTelegram, poller: Poller) -> None:
        self.telegram, self.poller = telegram, poller

    def __call__(self, text: str, **more) -> str:
        """The answer to `text`; empty when there was none."""
        before = len(self.telegram.texts)
        self.telegram.says(text, chat=CHAT, **more)
        self.poller.step(long_poll_s=0)
        stage.deliver()
        return "\n".join(self.telegram.texts[before:])


@pytest.fixture
def chat(telegram, poller) -> Chat:
    return Chat(telegram, poller)


def code_in(text: str) -> str:
    found = re.search(r"/confirm (\d{6})", text)
    assert found, text
    return found.group(1)


def test_a_chat_is_linked_once_by_its_code(chat) -> None:
    made = stage.channel(rows.user(), "telegram", address="")
    code = channels.new_link_code(made, by=made.user)

    assert "linked to" in chat(f"/start {code.lower()}")

    made.refresh_from_db()
    assert (made.address, made.person) == (str(CHAT), str(CHAT)) and not LinkCode.objects.exists()
    Channel.objects.update(person="")
    assert chat(f"/link {code}") == ""


def test_an_old_or_foreign_code_links_nothing(chat) -> None:
    made = stage.channel(rows.user(), "telegram", address="")
    code = channels.new_link_code(made, by=made.user)
    LinkCode.objects.update(valid_until=ClockTimestamp() - timedelta(seconds=1))

    assert chat(f"/link {code}") == "" and chat("/link AAAA") == ""
    assert not Channel.objects.get().person


@pytest.mark.parametrize("text", ["/status", "/help", "/start", "/stop 1", "hello", "/confirm 123456"])
def test_a_stranger_learns_nothing(chat, text: str) -> None:
    rows.bot(rows.user())

    assert chat(text) == ""


def test_a_group_gives_no_commands_even_from_a_linked_person(chat, telegram) -> None:
    linked()
    telegram.says("/status", chat=-100, person=CHAT)
    chat.poller.step(long_poll_s=0)

    assert not Notification.objects.exists()


def test_there_are_at_least_twenty_commands_and_each_answers(chat) -> None:
    mine = linked(role=roles.ADMIN)
    bot = rows.bot(mine.user, mode=Mode.PAPER, name="Momentum")
    rows.decision(rows.cycle(bot))
    rows.position(bot)
    rows.trade(bot)
    rows.snapshot(bot.account)
    RiskState.objects.create(bot=bot, account=bot.account, user=bot.user, mode=bot.mode, trading_day="2026-01-05", updated_at=rows.T0)
    assert len(COMMANDS) >= 20

    for name, command in COMMANDS.items():
        if not command.is_deed:
            answer = chat(f"/{name} {'Momentum' if command.usage == 'BOT' else ''}")
            assert answer and "Something broke" not in answer, f"{name}: {answer}"


def test_nobody_reads_anothers_rows(chat) -> None:
    linked()
    other = rows.bot(rows.user(), mode=Mode.PAPER, name="Secret")
    rows.decision(rows.cycle(other), why="Secret reasons")
    rows.position(other)
    rows.trade(other)
    rows.snapshot(other.account)
    RiskState.objects.create(
        bot=other, account=other.account, user=other.user, mode=other.mode, trading_day="2026-01-05", updated_at=rows.T0,
        safe_mode=True, safe_mode_reason="Secret loss",
    )  # fmt: skip

    for name in COMMANDS.keys() - {"test"}:
        assert "Secret" not in chat(f"/{name}"), name
    for name in ("bot", "why", "stop", "start", "pause", "close", "run"):
        assert "There is no bot" in chat(f"/{name} {other.pk}"), name


@pytest.mark.parametrize("name", ["start", "stop", "pause", "resume", "run", "close", "kill", "release"])
def test_a_viewer_does_nothing(chat, name: str) -> None:
    mine = linked(role=roles.VIEWER)
    rows.bot(mine.user, mode=Mode.SIMULATED, is_running=True, status=BotStatus.RUNNING)
    before = Bot.objects.values().get()

    assert "Your roles do not allow" in chat(f"/{name} 1")
    assert Bot.objects.values().get() == before and not PendingDeed.objects.exists() and not KillSwitch.objects.exists()


def test_what_tightens_is_done_at_once(chat) -> None:
    bot = rows.bot(linked().user, mode=Mode.SIMULATED, is_running=True, status=BotStatus.RUNNING)

    assert "opens nothing more" in chat("/pause")
    assert Bot.objects.get().is_paused
    assert "stops" in chat(f"/stop {bot.pk}")
    assert not Bot.objects.get().is_running
    assert set(AuditEntry.objects.values_list("action", flat=True)) >= {"pause entries", "stop bot", "telegram /stop"}


def test_what_loosens_waits_for_one_confirmation(chat) -> None:
    bot = rows.bot(linked().user, mode=Mode.SIMULATED)

    code = code_in(chat(f"/start {bot.pk}"))
    assert not Bot.objects.get().is_running
    assert "will run" in chat(f"/confirm {code}")
    assert Bot.objects.get().is_running
    Bot.objects.update(is_running=False, status=BotStatus.STOPPED)
    assert "Nothing waits" in chat(f"/confirm {code}")
    assert not Bot.objects.get().is_running


def test_a_wrong_code_ends_the_confirmation(chat) -> None:
    rows.bot(linked().user, mode=Mode.SIMULATED)
    code = code_in(chat(f"/start {Bot.objects.get().pk}"))

    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    assert "not the code" in chat(f"/confirm {wrong}")
    assert "Nothing waits" in chat(f"/confirm {code}")
    assert not Bot.objects.get().is_running


def test_a_late_confirmation_does_nothing(chat) -> None:
    rows.bot(linked().user, mode=Mode.SIMULATED)
    code = code_in(chat(f"/start {Bot.objects.get().pk}"))
    PendingDeed.objects.update(valid_until=ClockTimestamp() - timedelta(seconds=1))

    assert "too late" in chat(f"/confirm {code}")
    assert not Bot.objects.get().is_running


def test_a_right_withdrawn_before_the_confirmation_counts(chat) -> None:
    mine = linked()
    rows.bot(mine.user, mode=Mode.SIMULATED)
    code = code_in(chat(f"/start {Bot.objects.get().pk}"))
    mine.user.groups.clear()

    assert "do not allow" in chat(f"/confirm {code}")
    assert not Bot.objects.get().is_running


def test_an_old_message_carries_out_nothing_and_says_so(chat) -> None:
    rows.bot(linked().user, mode=Mode.SIMULATED, is_running=True, status=BotStatus.RUNNING)

    answer = chat("/stop", at=time.time() - 700)

    assert "11 minutes late" in answer
    assert Bot.objects.get().is_running
    assert "Bots running" in chat("/status", at=time.time() - 700)


def test_a_message_told_again_acts_once(chat, telegram) -> None:
    bot = rows.bot(linked().user, mode=Mode.SIMULATED, is_running=True, status=BotStatus.RUNNING)
    update = telegram.says("/pause", chat=CHAT)
    told = {"update_id": update, "message": telegram.updates[0]["message"]}

    inbox.take(told, bot="123456")
    Bot.objects.filter(pk=bot.pk).update(is_paused=False)
    inbox.take(told, bot="123456")
    chat.poller.step(long_poll_s=0)

    assert not Bot.objects.get().is_paused and Notification.objects.count() == 1


def test_killed_before_the_commit_a_message_has_not_been_taken(chat, telegram, monkeypatch) -> None:
    rows.bot(linked().user, mode=Mode.SIMULATED, is_running=True, status=BotStatus.RUNNING)
    real = inbox.outbox.answer
    monkeypatch.setattr(inbox.outbox, "answer", lambda **_: (_ for _ in ()).throw(OperationalError("gone")))
    telegram.says("/pause", chat=CHAT)
    with pytest.raises(OperationalError):
        chat.poller.step(long_poll_s=0)
    assert not Bot.objects.get().is_paused and not ChatOffset.objects.filter(update_id__gt=0).exists()

    monkeypatch.setattr(inbox.outbox, "answer", real)
    chat.poller.step(long_poll_s=0)

    assert Bot.objects.get().is_paused


def test_the_kill_switch_is_raised_at_once_and_never_lowered_here(chat) -> None:
    mine = linked()

    assert "covers all your bots" in chat("/kill 2 the exchange acts up")
    switch = KillSwitch.objects.get()
    assert (switch.scope, switch.scope_id, switch.level, switch.reason) == ("user", str(mine.user.pk), 2, "the exchange acts up")
    assert "already" in chat("/kill 1")
    assert "lowered in the admin" in chat("/kill 0")
    code = code_in(chat("/kill 3"))
    assert KillSwitch.objects.get().level == 2
    chat(f"/confirm {code}")
    assert KillSwitch.objects.get().level == 3


def test_safe_mode_is_released_with_a_reason_and_a_confirmation(chat) -> None:
    mine = linked(role=roles.RISK_MANAGER)
    bot = rows.bot(mine.user, mode=Mode.PAPER)
    state = RiskState.objects.create(
        bot=bot, account=bot.account, user=bot.user, mode=bot.mode, trading_day="2026-01-05", updated_at=rows.T0,
        safe_mode=True, safe_mode_reason="daily loss",
    )  # fmt: skip

    assert "daily loss" in chat("/release")
    assert "reason is needed" in chat(f"/confirm {code_in(chat(f'/release {state.pk}'))}")
    assert "let through again" in chat(f"/confirm {code_in(chat(f'/release {state.pk} looked at it'))}")
    assert not RiskState.objects.get().safe_mode


def test_an_extra_cycle_is_queued_once_after_the_commit(chat, monkeypatch, django_capture_on_commit_callbacks) -> None:
    from trading import tasks

    queued = []
    monkeypatch.setattr(tasks.run_cycle, "apply_async", lambda arguments, **_: queued.append(arguments))
    bot = rows.bot(linked().user, mode=Mode.SIMULATED, is_running=True, status=BotStatus.RUNNING)

    answer = chat(f"/confirm {code_in(chat('/run'))}")

    assert [arguments[0] for arguments in queued] == [bot.pk] and "a cycle was queued" in answer


def test_wishes_change_how_one_is_told(chat) -> None:
    mine = linked()
    chat("/quiet 22:00 07:00")
    chat("/level warning")
    chat("/language ko")

    recipient = Recipient.objects.get(user=mine.user)
    assert (recipient.language, f"{recipient.quiet_from:%H:%M}") == ("ko", "22:00")
    assert Channel.objects.get().least_level == "warning"
    assert "/language" in chat("/language fr")


def test_only_one_poller_asks(chat, telegram) -> None:
    linked()
    other = Poller()
    chat("/status")
    asked = telegram.calls.count("getUpdates")

    assert other.step(long_poll_s=0) > 0 and telegram.calls.count("getUpdates") == asked
    chat.poller._let_go()
    until = time.monotonic() + 10  # PostgreSQL notices the end of a session in its own time
    while other.step(long_poll_s=0) > 0 and time.monotonic() < until:
        time.sleep(0.02)
    assert telegram.calls.count("getUpdates") == asked + 1
    other._let_go()


def test_a_person_who_links_anew_leaves_the_old_channel(chat) -> None:
    former = linked()
    made = stage.channel(rows.user(), "telegram", address="")
    code = channels.new_link_code(made, by=made.user)

    assert "linked to" in chat(f"/start {code}")

    former.refresh_from_db()
    assert former.person == "" and Channel.objects.get(person=str(CHAT)) == made
    assert User.objects.count() == 2
