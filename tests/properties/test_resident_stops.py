"""Keeping a stop at an exchange: at every moment the next step, for whatever was done and is seen there."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.resident_stops import LONGEST_NAKED_S, Kept, Step, Verdict, next_step

D = Decimal


def step(*kept: Kept, seen: str = "", naked_s: float = 0.0, trigger: int = 90, amount: int = 2) -> Verdict:
    """What comes next for a stop of 2 at 90. seen: client ids, one letter each."""
    return next_step(trigger_price=D(trigger), amount=D(amount), kept=kept, seen=frozenset(seen), naked_s=naked_s)


def one(
    name: str, *, asked_s: float | None = 1.0, trigger: int = 90, amount: int = 2, failed: bool = False, seen_before: bool = False
) -> Kept:
    return Kept(name, D(trigger), D(amount), asked_s, has_failed=failed, was_seen=seen_before)


@pytest.mark.parametrize(
    ("verdict", "wanted"),
    [
        (step(), Verdict(Step.PLACE)),
        (step(one("A"), seen="A"), Verdict(Step.HOLD)),
        (step(one("A", asked_s=4.9)), Verdict(Step.WAIT)),
        (step(one("A", asked_s=5.0)), Verdict(Step.PLACE, failed=("A",))),
        (step(one("B", asked_s=5.0), one("A", failed=True)), Verdict(Step.LEAVE, failed=("B",))),
        (step(one("A", failed=True), one("B", failed=True)), Verdict(Step.LEAVE)),
        (step(one("A", failed=True)), Verdict(Step.PLACE)),
        (step(one("A", asked_s=1.0), naked_s=20.0), Verdict(Step.LEAVE)),
        (step(naked_s=600.0), Verdict(Step.PLACE)),  # we slept: asked once before anything is sold
        # More was bought: the larger one first, the smaller goes once the larger is seen.
        (step(one("A", amount=1), seen="A"), Verdict(Step.PLACE)),
        (step(one("B"), one("A", amount=1), seen="A"), Verdict(Step.WAIT)),
        (step(one("B"), one("A", amount=1), seen="AB"), Verdict(Step.HOLD, surplus=("A",))),
        # It was there and is gone: no failure of the exchange's, it is made anew.
        (step(one("B", asked_s=60, seen_before=True), one("A", failed=True, seen_before=True)), Verdict(Step.PLACE, failed=("B",))),
        # One that was given up and shows up all the same does its duty.
        (step(one("A", failed=True), seen="A"), Verdict(Step.HOLD)),
    ],
)
def test_the_next_step(verdict: Verdict, wanted: Verdict) -> None:
    assert verdict == wanted


kept_rows = st.lists(
    st.builds(
        Kept,
        st.sampled_from("ABCDEF"),
        st.sampled_from([D(89), D(90)]),
        st.sampled_from([D(1), D(2)]),
        st.none() | st.floats(0, 60),
        has_failed=st.booleans(),
        was_seen=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda row: row.client_id,
)


@given(kept_rows, st.frozensets(st.sampled_from("ABCDEF")), st.floats(0, 60))
def test_nothing_that_covers_is_taken_away_before_its_successor_is_seen(kept: list[Kept], seen: frozenset[str], naked_s: float) -> None:
    verdict = next_step(trigger_price=D(90), amount=D(2), kept=kept, seen=seen, naked_s=naked_s)

    is_covered = any(row.client_id in seen and row.covers(trigger_price=D(90), amount=D(2)) for row in kept)
    assert (verdict.step is Step.HOLD) == is_covered
    assert not verdict.surplus or is_covered
    assert set(verdict.surplus) < seen or not verdict.surplus
    assert not set(verdict.failed) & seen
    was_tried = any(not row.was_seen and row.covers(trigger_price=D(90), amount=D(2)) for row in kept)
    if naked_s >= LONGEST_NAKED_S and was_tried and not is_covered:
        assert verdict.step is Step.LEAVE
