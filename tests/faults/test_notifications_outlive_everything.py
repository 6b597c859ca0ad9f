"""A sink that is down, a notifier that is killed meanwhile: afterwards everything has arrived, once and in order."""

import time

import pytest

from monitoring.notifications import delivery
from monitoring.notifications.models import Channel, Delivery
from tests import face_rows as rows
from tests import notice_stage as stage
from tests.fakes.notices.http import Slow
from tests.fakes.notices.webhook import FakeWebhook
from tests.notifier_process import NotifierProcess
from tests.scale import only_in_full, scale

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "venue"]), pytest.mark.timeout(300)]
PATIENCE_S = 60.0


def wait_until(is_so, what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until, what
        time.sleep(0.02)


def test_an_outage_and_a_kill_lose_nothing_and_double_nothing() -> None:
    """Ten minutes of outage are made short: the pause before the next attempt is taken away when the sink is back."""
    count = scale(sample=20, full=600)
    with FakeWebhook() as hook, NotifierProcess() as notifier:
        made = stage.to_webhook(rows.user(), hook)
        stage.tell(made.user, "before")
        wait_until(lambda: hook.titles == ["before"], "the first message")
        hook.is_down = True
        for number in range(count // 2):
            stage.tell(made.user, f"{number}")
        wait_until(lambda: Channel.objects.get().failures >= 1, "a failure")
        notifier.kill()
        for number in range(count // 2, count):
            stage.tell(made.user, f"{number}")
        notifier.start()
        hook.is_down = False
        delivery.look_after(made)

        wait_until(lambda: len(hook.titles) > count, "everything to arrive")

        assert hook.titles == ["before", *(f"{number}" for number in range(count))]
        assert not any(one.json["may_be_a_repeat"] for one in hook.arrived)
        wait_until(lambda: set(Delivery.objects.values_list("state", flat=True)) == {"sent"}, "everything to be booked")


@only_in_full
def test_what_was_being_sent_when_the_notifier_died_comes_again_and_says_so() -> None:
    """Between the other end's taking it and our booking it nobody can know: it may come twice, marked, under one number."""
    with FakeWebhook() as hook, NotifierProcess() as notifier:
        made = stage.to_webhook(rows.user(), hook)
        hook.faults.append(Slow(1.5))
        stage.tell(made.user, "1")
        wait_until(lambda: hook.asked == 1, "the message to leave")
        notifier.kill()
        notifier.start()

        wait_until(lambda: len(hook.arrived) == 2, "the repeat")

        assert [one.json["may_be_a_repeat"] for one in hook.arrived].count(True) == 1
        assert len({one.headers["X-Dgbot-Delivery"] for one in hook.arrived}) == 1
