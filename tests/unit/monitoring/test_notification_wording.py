"""Every form of a notification in every medium's shape and in both languages; splitting and quiet hours. Without a database."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.notifications import quiet, wording
from monitoring.notifications.kinds import Level
from monitoring.notifications.message import Reader
from monitoring.notifications.senders import sender_of
from monitoring.notifications.splitting import split, units
from tests.fakes.notices.telegram import LONGEST, _read
from tests.notice_samples import SAMPLES, sample
from tests.scale import scale

LINES = st.lists(st.text(st.characters(blacklist_characters="\n\r", blacklist_categories=["Cs"]), max_size=60), max_size=30)


@pytest.mark.parametrize("medium", ["telegram", "slack", "email", "webhook", "other"])
@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("name", SAMPLES)
def test_every_form_has_its_shape_for_every_medium(medium: str, language: str, name: str) -> None:
    with translation.override(language):
        message = wording.message(sample(name), Reader(language=language))
        parts = sender_of(medium).parts(message)

    assert message.title and parts


def test_no_form_lacks_a_sample() -> None:
    assert {facts["form"] for facts in SAMPLES.values()} == set(wording.FORMS)


@settings(max_examples=scale(sample=20, full=1000), deadline=None)
@given(text=st.text(max_size=12_000))
def test_telegram_takes_whatever_a_text_holds(text: str) -> None:
    row = sample("literal")
    row.content = {**row.content, "text": text.encode("utf-8", "ignore").decode()}
    for part in sender_of("telegram").parts(wording.message(row, Reader())):
        shown, error = _read({"text": part["html"], "parse_mode": "HTML"})
        assert not error and units(shown) <= LONGEST and units(part["plain"]) <= LONGEST


@settings(deadline=None)
@given(lines=LINES, limit=st.integers(8, 80))
def test_splitting_loses_and_invents_nothing(lines: list[str], limit: int) -> None:
    parts = split(lines, limit=limit)

    assert all(units(part) <= limit for part in parts)
    assert "".join(parts).replace("\n", "") == "".join(lines)


@settings(deadline=None)
@given(at=st.integers(1_767_225_600, 1_798_761_600), begin=st.times(), end=st.times(), level=st.sampled_from(list(Level)))
def test_what_is_held_back_goes_when_quiet_hours_end(at: int, begin: time, end: time, level: Level) -> None:
    now, zone = datetime.fromtimestamp(at, tz=UTC), "America/New_York"  # with its changes of the clock
    held = quiet.held_until(now, level=level, up_to=Level.ERROR, hours=(begin, end), zone=zone)

    if level is Level.CRITICAL:
        assert held is None
    elif held is not None:
        assert held.astimezone(ZoneInfo(zone)).time() == end or held.astimezone(ZoneInfo(zone)).fold or held > now
        assert (held - now).total_seconds() <= 25 * 3600


def test_quiet_hours_over_midnight() -> None:
    hours = (time(22), time(7))
    asked = {"03:00": "2026-01-05 07:00", "21:59": None, "22:00": "2026-01-06 07:00", "07:00": None}
    for clock, expected in asked.items():
        now = datetime.fromisoformat(f"2026-01-05 {clock}").replace(tzinfo=ZoneInfo("Asia/Seoul"))
        end = quiet.quiet_until(now, hours=hours, zone="Asia/Seoul")
        assert (end and f"{end.astimezone(ZoneInfo('Asia/Seoul')):%Y-%m-%d %H:%M}") == expected
