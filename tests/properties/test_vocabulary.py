"""The vocabulary: money is rounded one way and never lost, client ids notice a wrong character, candles lie on a grid."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgbot.core import client_id
from dgbot.core.client_id import ALPHABET, ClientId
from dgbot.core.clock import SteppedClock, from_nanoseconds, to_nanoseconds
from dgbot.core.interval import Interval, interval_of_seconds
from dgbot.core.money import EXACT, LARGEST, from_float, parse_decimal, plain, round_down, round_nearest, round_up
from dgbot.core.types import Mode

D = Decimal

money = st.decimals(min_value=-(LARGEST - 1), max_value=LARGEST - 1, places=18)
steps = st.decimals(min_value="0.000000000000000001", max_value=10**6, places=18)
instants = st.integers(0, 7 * 10**15).map(lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds))
identifiers = st.builds(
    lambda mode, deployment, bot_id, bits: (mode, deployment, bot_id, bits),
    st.sampled_from(Mode),
    st.text(ALPHABET, min_size=3, max_size=3),
    st.integers(0, 32**6 - 1),
    st.integers(0, 2**client_id.ORDER_BITS - 1),
)


# --- Money ---


@given(value=money, step=steps)
def test_rounding_gives_the_neighbouring_multiples(value: Decimal, step: Decimal):
    down, up, near = round_down(value, step=step), round_up(value, step=step), round_nearest(value, step=step)

    assert down <= value <= up
    assert EXACT.subtract(up, down) in (0, step)
    assert all(EXACT.remainder(multiple, step) == 0 for multiple in (down, up, near))
    assert near in (down, up)
    assert abs(EXACT.subtract(near, value)) == min(EXACT.subtract(value, down), EXACT.subtract(up, value))


@given(whole=st.integers(-(10**9), 10**9), step=st.sampled_from([D(1), D("0.01"), D(5)]))
def test_a_tie_goes_to_the_even_multiple(whole: int, step: Decimal):
    assert round_nearest(step * whole + step / 2, step=step) == step * (whole + whole % 2)


@pytest.mark.parametrize("rounding", [round_down, round_up, round_nearest])
@pytest.mark.parametrize("step", [D(0), D(-1), D("-0.1")])
def test_a_step_that_is_not_positive_is_refused(rounding: Any, step: Decimal):
    with pytest.raises(ValueError, match="step must be positive"):
        rounding(D(1), step=step)


@given(value=money)
def test_plain_text_is_read_back_as_the_same_number(value: Decimal):
    text = plain(value)

    assert D(text) == value and parse_decimal(text, name="value") == value
    assert "e" not in text.lower() and not (("." in text) and text.endswith(("0", ".")))


@pytest.mark.parametrize("value", ["1E+3", "1E-5", "0E-18", "-0.0", "1000", "0.10"])
def test_plain_writes_no_exponent(value: str):
    assert D(plain(D(value))) == D(value) and "E" not in plain(D(value))


@pytest.mark.parametrize(
    "wrong",
    [
        "NaN",
        "sNaN",
        "Infinity",
        "-inf",
        "1e20",
        "-1e20",
        "1e999999",
        "",
        " ",
        "1,5",
        "0x10",
        "9" * 65,
        "einhundert",
        10**20,
        1.5,
        True,
        float("nan"),
    ],
)
def test_what_is_not_money_is_refused_by_name(wrong: Any):
    with pytest.raises(ValueError, match="fee"):
        parse_decimal(wrong, name="fee")


@given(text=st.text(max_size=80) | st.integers())
def test_anything_read_is_finite_and_small_enough_to_store(text: Any):
    try:
        value = parse_decimal(text, name="amount")
    except ValueError:
        return
    assert value.is_finite() and abs(value) < LARGEST


@given(value=st.floats(-1e12, 1e12), step=st.sampled_from([D(1), D("0.001"), D("0.00000001")]))
def test_a_float_becomes_the_nearest_multiple(value: float, step: Decimal):
    found = from_float(value, step=step)

    assert abs(found - D(repr(value))) <= step / 2 and found % step == 0


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_no_money_is_made_of_a_float_that_is_no_number(wrong: float):
    with pytest.raises(ValueError, match="not a number"):
        from_float(wrong, step=D(1))


# --- Client ids ---


@given(parts=identifiers)
def test_a_client_id_tells_what_it_was_made_of(parts: tuple[Mode, str, int, int]):
    mode, deployment, bot_id, bits = parts

    text = client_id.make(mode=mode, deployment=deployment, bot_id=bot_id, random_bits=bits)

    assert len(text) == 31 and set(text) <= set(ALPHABET) and text[0] == mode.value[0].upper()
    assert client_id.parse(text) == ClientId(mode=mode, deployment=deployment, bot_id=bot_id)


@given(parts=identifiers, place=st.integers(0, 30), other=st.sampled_from(ALPHABET + "018a-_ "))
def test_any_single_wrong_character_is_noticed(parts: tuple[Mode, str, int, int], place: int, other: str):
    mode, deployment, bot_id, bits = parts
    text = client_id.make(mode=mode, deployment=deployment, bot_id=bot_id, random_bits=bits)

    changed = text[:place] + other + text[place + 1 :]

    assert changed == text or client_id.parse(changed) is None


@given(one=identifiers, other=identifiers)
def test_two_orders_never_share_a_client_id(one: tuple[Mode, str, int, int], other: tuple[Mode, str, int, int]):
    texts = [client_id.make(mode=mode, deployment=place, bot_id=bot, random_bits=bits) for mode, place, bot, bits in (one, other)]

    assert (texts[0] == texts[1]) == (one == other)


@given(text=st.text(max_size=40))
def test_a_strangers_id_is_not_ours(text: str):
    found = client_id.parse(text)

    assert found is None or (len(text) == 31 and text[0] in "SRPL")


@pytest.mark.parametrize(
    ("name", "wrong"), [("deployment", "ab1"), ("deployment", "ABCD"), ("bot_id", 32**6), ("bot_id", -1), ("random_bits", 2**100)]
)
def test_parts_that_do_not_fit_are_refused(name: str, wrong: Any):
    given = {"mode": Mode.PAPER, "deployment": "DEV", "bot_id": 1, "random_bits": 1, name: wrong}

    with pytest.raises(ValueError, match=r"must be|does not fit"):
        client_id.make(**given)


# --- Time ---


@given(instant=instants, interval=st.sampled_from(Interval))
def test_a_candle_opens_on_the_grid_at_or_before_the_instant(instant: datetime, interval: Interval):
    opened = interval.open_of(instant)

    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    assert opened <= instant < opened + interval.length
    assert (opened - midnight) % interval.length == timedelta(0)
    assert interval.open_of(opened) == opened


@pytest.mark.parametrize("interval", Interval)
def test_an_interval_is_found_by_its_seconds(interval: Interval):
    assert interval_of_seconds(interval.seconds) is interval
    assert interval_of_seconds(interval.seconds + 7) is None


@given(instant=instants)
def test_nanoseconds_keep_every_microsecond(instant: datetime):
    assert from_nanoseconds(to_nanoseconds(instant)) == instant


@given(first=instants, second=instants)
def test_a_stepped_clock_never_goes_back(first: datetime, second: datetime):
    clock = SteppedClock(first)

    if second < first:
        with pytest.raises(ValueError, match="cannot go back"):
            clock.move_to(second)
        assert clock.now() == first
    else:
        clock.move_to(second)
        assert clock.now() == second
