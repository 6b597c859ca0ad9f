"""The clock of simulated markets: one row, the same for all, standing while nobody ticks it, never going back."""

import time
from datetime import datetime, timedelta

import pytest
from django.db import connection

from tests import factories
from tests.factories import FIRST_OPEN, Thread, execute
from trading.models import SimulatedMarket
from trading.services.simulated_clock import LONGEST_STEP_S, SimulatedClock, checkpoint, hour_slots

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


def market(*, speed: int = 3600, checkpoint_ago_s: float = 0) -> SimulatedMarket:
    """A market whose last checkpoint was so many machine seconds ago."""
    made = factories.simulated_market(speed=speed)
    execute(
        "UPDATE simulated_markets SET checkpoint_at = clock_timestamp() - %s * interval '1 second' WHERE id = %s", checkpoint_ago_s, made.pk
    )
    return made


def machine() -> datetime:
    """PostgreSQL's wall clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def test_an_hour_passes_each_second():
    clock = SimulatedClock(market(checkpoint_ago_s=2).pk)

    assert FIRST_OPEN + 2 * HOUR <= clock.now() < FIRST_OPEN + 5 * HOUR


def test_it_stands_still_while_nobody_ticks():
    made = market(checkpoint_ago_s=86_400)
    clock = SimulatedClock(made.pk)

    first = clock.now()
    time.sleep(0.05)

    assert first == clock.now() == FIRST_OPEN + LONGEST_STEP_S * HOUR


def test_a_night_switched_off_counts_as_a_moment():
    made = market(checkpoint_ago_s=8 * 3600)

    assert checkpoint(market_pk=made.pk) == FIRST_OPEN + LONGEST_STEP_S * HOUR
    assert SimulatedClock(made.pk).now() < FIRST_OPEN + LONGEST_STEP_S * HOUR + HOUR


def test_all_processes_read_the_same_time():
    clock = SimulatedClock(market(checkpoint_ago_s=86_400).pk)

    assert Thread(clock.now).join_or_fail() == clock.now()


def test_two_connections_disagree_only_by_the_time_between_their_questions():
    clock = SimulatedClock(market(checkpoint_ago_s=1).pk)

    before = machine()
    here, there = clock.now(), Thread(clock.now).join_or_fail()
    passed = machine() - before

    assert timedelta(0) <= there - here <= passed * 3600


def test_time_never_goes_back_across_checkpoints():
    made = market()
    clock = SimulatedClock(made.pk)
    told = []
    for _ in range(30):
        told += [clock.now(), checkpoint(market_pk=made.pk), clock.now()]

    assert told == sorted(told)


def test_another_speed_goes_on_where_the_old_one_was():
    made = market(checkpoint_ago_s=2)
    clock = SimulatedClock(made.pk)
    before = clock.now()
    started = machine()
    SimulatedMarket.objects.filter(pk=made.pk).update(speed=60)  # as dispatch does, and the admin
    at_change = checkpoint(market_pk=made.pk)
    after = clock.now()
    passed = machine() - started

    assert before <= at_change <= after <= at_change + passed * 60
    assert at_change - before <= (passed + timedelta(seconds=1)) * 3600
    made.refresh_from_db()
    assert made.speed == 60


def test_ticks_at_once_count_no_second_twice():
    made = market(checkpoint_ago_s=3)
    started = machine()
    for thread in [Thread(lambda: checkpoint(market_pk=made.pk)) for _ in range(5)]:
        thread.join_or_fail()

    passed = machine() - started
    assert SimulatedClock(made.pk).now() - FIRST_OPEN <= (timedelta(seconds=3.5) + passed) * 3600


def test_a_machine_clock_set_back_does_not_set_the_market_back():
    made = market(checkpoint_ago_s=-3600)

    assert SimulatedClock(made.pk).now() == FIRST_OPEN
    assert checkpoint(market_pk=made.pk) == FIRST_OPEN


def test_a_market_that_is_gone_is_told():
    with pytest.raises(LookupError):
        SimulatedClock(0).now()


@pytest.mark.parametrize(
    ("after_minutes", "until_minutes", "hours"),
    [(0, 0, []), (0, 59, []), (0, 60, [1]), (30, 60, [1]), (0, 185, [1, 2, 3]), (60, 120, [2]), (90, 30, []), (0, 600, [1, 2, 3, 4, 5])],
)
def test_hour_slots_are_the_full_hours_passed_oldest_first(after_minutes: int, until_minutes: int, hours: list[int]):
    after, until = (FIRST_OPEN + timedelta(minutes=minutes) for minutes in (after_minutes, until_minutes))

    assert hour_slots(after=after, until=until, most=5) == [FIRST_OPEN + number * HOUR for number in hours]
