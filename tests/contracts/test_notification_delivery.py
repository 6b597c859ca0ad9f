"""The outbox and its deliveries, over real sockets: once, in order, to those who may know, whatever the other end does."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F

from dgbot.accounts import roles
from dgbot.accounts.models import User
from dgbot.base.fields import ClockTimestamp
from monitoring.notifications import delivery, outbox
from monitoring.notifications.kinds import Kind, Level, Medium
from monitoring.notifications.models import Channel, Delivery, Notification
from tests import face_rows as rows
from tests import notice_stage as stage
from tests.fakes.notices.http import Answer, Closed
from tests.fakes.notices.mail import FakeMail
from tests.fakes.notices.slack import FakeSlack
from tests.fakes.notices.telegram import TOKEN, FakeTelegram, too_many
from tests.fakes.notices.webhook import FakeWebhook

pytestmark = pytest.mark.django_db
CHAT = 4711


@pytest.fixture(autouse=True)
def on_this_machine(settings) -> None:
    settings.PRIVATE_ADDRESSES = True


@pytest.fixture
def owner() -> User:
    return rows.user()


@pytest.fixture
def hook() -> Iterator[FakeWebhook]:
    with FakeWebhook() as sink:
        yield sink


@pytest.fixture
def telegram(settings) -> Iterator[FakeTelegram]:
    with FakeTelegram(chats={CHAT}) as sink:
        settings.TELEGRAM_URL, settings.TELEGRAM_BOT_TOKEN = sink.url, TOKEN
        yield sink


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as sink:
        yield sink


@pytest.fixture
def mailbox(settings) -> Iterator[FakeMail]:
    with FakeMail() as sink:
        settings.SMTP_HOST, settings.SMTP_PORT, settings.SMTP_FROM_ADDR = "127.0.0.1", sink.port, "dgbot@example.com"
        yield sink


def try_again_now() -> None:
    """As if the pause after a failure had passed."""
    Channel.objects.update(retry_at=None)


def test_one_event_arrives_by_every_medium(owner, hook, telegram, slack, mailbox) -> None:
    stage.to_webhook(owner, hook)
    stage.channel(owner, Medium.TELEGRAM, address=str(CHAT))
    stage.channel(owner, Medium.SLACK, address=slack.address)
    stage.channel(owner, Medium.EMAIL, address="me@example.com")

    stage.tell(owner, "Disk <nearly> full & more", level=Level.WARNING, text="90 %% of 10 GB", params={"x": 1}, fields=[("Value", "90 %")])
    stage.deliver()

    assert stage.states() == ["sent"] * 4
    assert hook.arrived[0].json["fields"] == [{"label": "Value", "value": "90 %"}]
    assert telegram.texts[0].startswith("⚠️ Disk <nearly> full & more\nValue: 90 %\n\n90 % of 10 GB")
    post = slack.arrived[0].json
    assert post["text"] == "⚠️ Disk &lt;nearly&gt; full &amp; more" and post["attachments"][0]["color"] == "#d97706"
    (mail,) = mailbox.mails
    assert mail["Subject"] == "dgbot ⚠️ Disk <nearly> full & more" and mail["To"] == "me@example.com"
    text, html = mail.get_body(("plain",)).get_content(), mail.get_body(("html",)).get_content()
    assert "Value: 90 %" in text and "Disk &lt;nearly&gt; full &amp; more" in html


def test_what_is_rolled_back_is_never_told(owner, hook) -> None:
    stage.to_webhook(owner, hook)

    with pytest.raises(RuntimeError), transaction.atomic():
        stage.tell(owner)
        raise RuntimeError
    stage.deliver()

    assert not hook.arrived and not Notification.objects.exists()


def test_nobody_hears_of_anothers_matters(owner, hook) -> None:
    stranger, admin = rows.user(), rows.user(role=roles.ADMIN)
    stage.to_webhook(stranger, hook)
    curious = stage.to_webhook(stranger, hook, sees_everyone=True)
    seeing = stage.to_webhook(admin, hook, sees_everyone=True)

    stage.tell(owner)
    stage.tell(None)

    told = set(Delivery.objects.values_list("channel", "notification__user"))
    assert told == {(seeing.pk, owner.pk), (seeing.pk, None)}
    assert curious.pk not in {channel for channel, _user in told}


def test_a_right_withdrawn_before_delivery_counts(owner, hook) -> None:
    admin = rows.user(role=roles.ADMIN)
    stage.to_webhook(admin, hook, sees_everyone=True)
    stage.tell(owner)

    admin.groups.clear()
    stage.deliver()

    assert stage.states() == ["refused"] and not hook.arrived


def test_a_channel_hears_only_the_kinds_and_levels_it_chose(owner, hook) -> None:
    stage.to_webhook(owner, hook, kinds=[Kind.BACKUP], least_level=Level.WARNING)

    stage.tell(owner, "1", kind=Kind.BACKUP, level=Level.INFO)
    stage.tell(owner, "2", kind=Kind.HEALTH, level=Level.CRITICAL)
    stage.tell(owner, "3", kind=Kind.BACKUP, level=Level.ERROR)
    stage.deliver()

    assert hook.titles == ["3"]


def test_the_order_is_kept_while_the_other_end_fails(owner, hook) -> None:
    made = stage.to_webhook(owner, hook)
    hook.is_down = True
    for number in range(5):
        stage.tell(owner, str(number))
        stage.deliver()
        try_again_now()
    made.refresh_from_db()
    assert made.failures >= 5 and made.failing_since is not None and not hook.arrived

    hook.is_down = False
    try_again_now()
    stage.deliver()

    told_of_itself = "Notifications do not arrive by"
    assert [title for title in hook.titles if not title.startswith(told_of_itself)] == ["0", "1", "2", "3", "4"]
    made.refresh_from_db()
    assert made.failures == 0 and made.failing_since is None


def test_a_failing_channel_waits_longer_each_time(owner, hook) -> None:
    made = stage.to_webhook(owner, hook)
    hook.is_down = True
    stage.tell(owner)
    waits = []
    for _ in range(7):
        try_again_now()
        before = rows_clock()
        stage.deliver()
        made.refresh_from_db()
        waits.append(round((made.retry_at - before).total_seconds()))

    assert waits == [1, 2, 4, 8, 15, 30, 60]


def test_telegram_says_how_long_to_wait(owner, telegram) -> None:
    made = stage.channel(owner, Medium.TELEGRAM, address=str(CHAT))
    telegram.faults.append(too_many(37))
    before = rows_clock()

    stage.tell(owner)
    stage.deliver()

    made.refresh_from_db()
    assert 36 <= (made.retry_at - before).total_seconds() <= 39
    try_again_now()
    stage.deliver()
    assert len(telegram.texts) == 1


@pytest.mark.parametrize("fault", [Answer(500), Answer(503), Answer(429, headers=(("Retry-After", "0"),)), Closed()])
def test_what_may_pass_is_tried_again(owner, hook, fault) -> None:
    stage.to_webhook(owner, hook)
    hook.faults.append(fault)

    stage.tell(owner, "1")
    stage.deliver()
    assert stage.states() == ["pending"]
    try_again_now()
    stage.deliver()

    assert hook.titles == ["1"]


def test_a_redirect_is_never_followed(owner, hook) -> None:
    made = stage.to_webhook(owner, hook)
    hook.faults.append(Answer(302, headers=(("Location", f"{hook.url}/inside"),)))

    stage.tell(owner)
    stage.deliver()

    made.refresh_from_db()
    assert made.broken_at is not None and hook.asked == 1


def test_a_message_that_is_refused_holds_up_no_other(owner, hook) -> None:
    stage.to_webhook(owner, hook)
    hook.faults.append(Answer(400, b"too strange"))

    stage.tell(owner, "1")
    stage.tell(owner, "2")
    stage.deliver()

    assert stage.states() == ["refused", "sent"] and hook.titles == ["2"]


def test_a_chat_that_blocked_us_stops_its_channel_and_the_others_are_told(owner, telegram, hook) -> None:
    dead = stage.channel(owner, Medium.TELEGRAM, address=str(CHAT))
    stage.to_webhook(owner, hook)
    telegram.blocked.add(CHAT)

    stage.tell(owner, "1")
    stage.tell(owner, "2")
    stage.deliver()

    dead.refresh_from_db()
    assert dead.broken_at is not None and "blocked" in dead.last_error
    assert hook.titles[:2] == ["1", "2"] and hook.titles[2].startswith("Notifications do not arrive by")
    telegram.blocked.clear()
    delivery.look_after(dead)
    stage.deliver()
    assert [text.splitlines()[0].removeprefix("ℹ️ ") for text in telegram.texts][:2] == ["1", "2"]


def test_a_repeated_alarm_is_told_once_and_its_worsening_at_once(owner, hook) -> None:
    stage.to_webhook(owner, hook)

    for level in (Level.WARNING, Level.WARNING, Level.CRITICAL, Level.CRITICAL, Level.WARNING):
        stage.tell(owner, level.value, level=level, topic="disk")
    stage.deliver()

    assert hook.titles == ["warning", "critical", "warning"]


def test_an_alarm_that_lasts_is_told_again_after_its_time(owner, hook) -> None:
    stage.to_webhook(owner, hook)
    first = stage.tell(owner, "1", topic="disk", repeat_after=timedelta(hours=1))
    assert stage.tell(owner, "2", topic="disk", repeat_after=timedelta(hours=1)) is None

    Notification.objects.filter(pk=first.pk).update(created_at=F("created_at") - timedelta(hours=2))

    assert stage.tell(owner, "3", topic="disk", repeat_after=timedelta(hours=1)) is not None


def test_quiet_hours_hold_back_what_is_not_critical(owner, hook) -> None:
    stage.to_webhook(owner, hook)
    stage.recipient(owner, quiet_from=time(0), quiet_until=time(23, 59, 59), quiet_levels=Level.ERROR)

    stage.tell(owner, "held", level=Level.ERROR)
    stage.tell(owner, "passes", level=Level.CRITICAL)
    stage.deliver()
    assert hook.titles == ["passes"]

    Delivery.objects.update(not_before=ClockTimestamp())
    stage.deliver()
    assert hook.titles == ["passes", "held"]


def test_more_than_its_rate_waits(owner, hook) -> None:
    stage.to_webhook(owner, hook, per_minute=2)
    for number in range(4):
        stage.tell(owner, str(number))

    stage.deliver()
    assert hook.titles == ["0", "1"]
    Delivery.objects.filter(state="sent").update(sent_at=ClockTimestamp() - timedelta(seconds=61))
    stage.deliver()

    assert hook.titles == ["0", "1", "2", "3"]


def test_what_a_dead_sender_held_is_sent_by_the_next_and_marked(owner, hook) -> None:
    stage.to_webhook(owner, hook)
    stage.tell(owner, "1")
    claim = delivery._claim(Channel.objects.get().pk)
    assert claim is not None
    stage.deliver()
    assert not hook.arrived, "somebody else is sending it"

    Delivery.objects.update(claimed_until=ClockTimestamp() - timedelta(seconds=1))
    stage.deliver()

    assert [one.json["may_be_a_repeat"] for one in hook.arrived] == [True]
    assert delivery._book(claim, state=delivery.State.REFUSED, error="late") is False, "the sleeper books nothing any more"


def test_a_delivery_number_stays_the_same_over_attempts(owner, hook) -> None:
    stage.to_webhook(owner, hook)
    hook.faults.append(Closed(has_arrived=True))
    stage.tell(owner, "1")
    stage.deliver()
    try_again_now()
    stage.deliver()

    first, second = (one.headers["X-Dgbot-Delivery"] for one in hook.arrived)
    assert first == second


def test_a_long_text_comes_in_parts_and_goes_on_where_it_broke_off(owner, telegram) -> None:
    stage.channel(owner, Medium.TELEGRAM, address=str(CHAT))
    lines = [f"line {number} <&> {'x' * 90}" for number in range(200)]
    stage.tell(owner, "Long", text="\n".join(lines).replace("%", "%%"))

    stage.deliver()

    texts = telegram.texts
    assert len(texts) == 6 and all("(part" in text.splitlines()[0] for text in texts)
    body = [line for text in texts for line in text.splitlines()[1:] if line.startswith("line ")]
    assert body == lines


def test_an_interrupted_text_does_not_repeat_its_first_parts(owner, telegram) -> None:
    stage.channel(owner, Medium.TELEGRAM, address=str(CHAT))
    stage.tell(owner, "Long", text="\n".join(["y" * 100] * 100))
    made = Delivery.objects.get()
    Delivery.objects.filter(pk=made.pk).update(parts_sent=2)

    stage.deliver()

    assert [text.splitlines()[0] for text in telegram.texts] == ["ℹ️ Long (part 3/3)"]


def test_what_is_too_old_is_not_sent(owner, hook) -> None:
    stage.to_webhook(owner, hook)
    stage.tell(owner)
    Delivery.objects.update(expires_at=datetime(2020, 1, 1, tzinfo=UTC))

    assert delivery.expire() == 1
    stage.deliver()

    assert stage.states() == ["expired"] and not hook.arrived


def test_addresses_lie_encrypted_and_are_never_shown(owner, slack) -> None:
    made = stage.channel(owner, Medium.SLACK, address=slack.address, secret="hidden-secret")

    with connection.cursor() as cursor:
        cursor.execute("SELECT address, secret FROM notification_channels")
        stored = " ".join(cursor.fetchone())

    assert "secret" not in stored and "services" not in stored
    assert Channel.objects.get().address == slack.address
    assert "secret"[-4:] in made.shown and "/services/" not in made.shown


def test_a_lost_key_breaks_the_channel_and_loses_nothing(owner, hook, settings) -> None:
    from cryptography.fernet import Fernet

    from dgbot.base import secret_field

    stage.to_webhook(owner, hook)
    stage.tell(owner)
    kept = settings.FIELD_KEYS
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    secret_field._fernet.cache_clear()
    stage.deliver()
    channel = Channel.objects.get()
    assert channel.broken_at is not None and "DGBOT_FIELD_KEYS" in channel.last_error

    settings.FIELD_KEYS = kept
    secret_field._fernet.cache_clear()
    delivery.look_after(channel)
    stage.deliver()

    assert len(hook.arrived) == 1


def test_a_private_address_is_refused_at_each_use(owner, hook, settings) -> None:
    stage.to_webhook(owner, hook)
    settings.PRIVATE_ADDRESSES = False
    stage.tell(owner)
    stage.deliver()

    assert not hook.asked and Channel.objects.get().broken_at is not None


def test_a_fact_is_told_once(owner, hook) -> None:
    stage.to_webhook(owner, hook)
    draft = outbox.Draft(Kind.HEALTH, Level.INFO, "literal", {"title": "1"}, owner.pk, rows.T0, fact="trade:1")

    outbox.write([draft])
    outbox.write([draft])
    stage.deliver()

    assert hook.titles == ["1"]


def rows_clock() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]
