"""Numbers as people read them."""

from datetime import timedelta
from decimal import Decimal

import pytest

from dgbot.base import display

D = Decimal


@pytest.mark.parametrize(
    ("value", "currency", "shown"),
    [
        (D("100250000.500000000000000000"), "KRW", "100,250,000"),
        (D("29.95"), "KRW", "29.95"),
        (D("0.001234567"), "KRW", "0.0012"),
        (D("-1234.5"), "USDT", "-1,234.50"),
        (D(0), "KRW", "0"),
    ],
)
def test_money_has_separators_and_no_needless_decimals(value: Decimal, currency: str, shown: str) -> None:
    assert display.money(value, currency) == shown


def test_unknown_money_is_unknown_and_not_zero() -> None:
    assert display.money(None) == display.signed(None) == display.percent(None) == "unknown"


@pytest.mark.parametrize(
    ("value", "shown"), [(D("0.000500000000000000"), "0.0005"), (D("1234567.5"), "1,234,567.5"), (D("-0.25"), "-0.25"), (D(7), "7")]
)
def test_amount_drops_trailing_zeros(value: Decimal, shown: str) -> None:
    assert display.amount(value) == shown


def test_gain_carries_its_sign() -> None:
    assert display.signed(D(1500)) == "+1,500"
    assert display.percent(D("0.0123"), with_sign=True) == "+1.23 %"


@pytest.mark.parametrize(("seconds", "shown"), [(3, "3 s"), (720, "12 min"), (18_000, "5 h"), (691_200, "8 d"), (-5, "0 s")])
def test_age_uses_its_largest_unit(seconds: int, shown: str) -> None:
    assert display.age(timedelta(seconds=seconds)) == shown


def test_a_demo_account_is_not_called_live() -> None:
    assert display.mode_label("live", is_demo=True) == "DEMO"
    assert display.mode_label("live", is_demo=False) == "LIVE"
