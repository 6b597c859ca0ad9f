"""The kill switch's own rules: what each level forbids and asks for, and what raises it by itself, word for word."""

import pytest

from risk.domain import kill
from risk.domain.kill import Deed
from risk.domain.reasons import Reason
from risk.domain.trips import Facts, clock_trip, stale_trip, trips

pytestmark = pytest.mark.properties

LEVELS = range(kill.RUN, kill.FREEZE + 1)


def told(facts: Facts) -> tuple[Reason, ...]:
    return trips(facts, most_by_account=120, most_by_bot=12)


# --- Levels ---


@pytest.mark.parametrize(("deed", "allowed"), [(Deed.OPEN, {0}), (Deed.EXIT, {0, 1, 2, 3}), (Deed.CANCEL, {0, 1, 2, 3})])
def test_each_level_forbids_what_the_table_says(deed: Deed, allowed: set[int]) -> None:
    assert {level for level in LEVELS if not kill.forbids(level, deed)} == allowed


@pytest.mark.parametrize("before", LEVELS)
@pytest.mark.parametrize("after", LEVELS)
def test_only_lowering_asks_for_more_than_a_reason(before: int, after: int) -> None:
    assert kill.requires_second_factor(before=before, after=after) is (after < before)
    assert kill.requires_second_person(before=before, after=after, two_person=True) is (after < before and before >= kill.FLATTEN)
    assert not kill.requires_second_person(before=before, after=after, two_person=False)


def test_levels_that_sell_or_freeze_are_typed() -> None:
    assert [level for level in LEVELS if kill.is_typed(level)] == [kill.FLATTEN, kill.FREEZE]


# --- Trips ---


def test_a_quiet_account_trips_nothing() -> None:
    assert told(Facts()) == ()
    assert told(Facts(unknown=3, answers=10, rejected=5, sent_by_bot={1: 12, 2: 12})) == ()
    assert told(Facts(answers=9, rejected=9)) == ()
    assert clock_trip(5.0, exchange="upbit") is clock_trip(-5.0, exchange="upbit") is None
    assert stale_trip(300.0, symbol="KRW-BTC") is None


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (
            Facts(unknown=4),
            Reason(
                "many_unknown",
                "4 orders of unknown fate within 5 minutes, at most 3 are borne.",
                "4",
                "3",
                "Look at the exchange's state and at the connection; lower the switch once these orders are settled.",
            ),
        ),
        (
            Facts(answers=10, rejected=6),
            Reason(
                "many_rejected",
                "The exchange rejected 6 of the last 10 orders, at most 5 are borne.",
                "6",
                "5",
                "Read why under Orders, mend it, then lower the switch.",
            ),
        ),
        (
            Facts(resurrected=(5, 7)),
            Reason(
                "resurrected",
                "Order 5, 7 was given up and has come back at the exchange.",
                "5, 7",
                "none",
                "Compare positions with the exchange, then lower the switch.",
            ),
        ),
        (
            Facts(known_before=(5, 7)),
            Reason(
                "duplicate_id",
                "The exchange knew order 5, 7 before we sent it, and we sent it once.",
                "5, 7",
                "one send",
                "Look for a second platform with the same key, renew the key, then lower the switch.",
            ),
        ),
        (
            Facts(sent_by_bot={3: 13, 2: 12}),
            Reason(
                "rate_bot",
                "Bot 3 sent 13 entries within a minute, at most 12 are allowed.",
                "13",
                "12",
                "Find out which bot sends so much and stop it, then lower the switch.",
            ),
        ),
        (
            Facts(sent_by_bot=dict.fromkeys(range(11), 11)),
            Reason(
                "rate_account",
                "The account sent 121 entries within a minute, at most 120 are allowed.",
                "121",
                "120",
                "Find out which bot sends so much and stop it, then lower the switch.",
            ),
        ),
    ],
)
def test_each_fact_trips_its_own_rule(facts: Facts, reason: Reason) -> None:
    assert told(facts) == (reason,)


def test_a_clock_that_is_off_and_a_price_long_unknown_trip() -> None:
    assert clock_trip(-5.1, exchange="upbit") == Reason(
        "clock",
        "This machine's clock is -5.1 s off that of upbit, at most 5 s are borne.",
        "-5.1 s",
        "5 s",
        "Let this machine keep its time (NTP), then lower the switch.",
    )
    assert stale_trip(301, symbol="KRW-BTC") == Reason(
        "stale",
        "The price of KRW-BTC has been unknown for 301 s, at most 300 s are borne.",
        "301 s",
        "300 s",
        "Look at the exchange and at the feed; lower the switch once prices flow.",
    )


def test_every_broken_rule_is_told_in_order() -> None:
    facts = Facts(unknown=9, answers=10, rejected=10, resurrected=(1,), known_before=(2,), sent_by_bot={5: 200, 4: 20})

    codes = [reason.code for reason in told(facts)]

    assert codes == ["many_unknown", "many_rejected", "resurrected", "duplicate_id", "rate_account", "rate_bot", "rate_bot"]
    assert [reason.value for reason in told(facts)][-2:] == ["20", "200"]
