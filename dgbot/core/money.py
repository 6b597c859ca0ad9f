"""Money and quantity: Decimal from the exchange's text to the database's NUMERIC, rounded only here."""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow

MAX_DIGITS = 38
DECIMAL_PLACES = 18
LARGEST = Decimal(10) ** (MAX_DIGITS - DECIMAL_PLACES)  # no amount or price may reach it; comparing with it also refuses NaN
SMALLEST_STEP = Decimal(1).scaleb(-DECIMAL_PLACES)

# Products of two 38-digit numbers stay exact; an impossible operation raises instead of giving NaN.
EXACT = Context(prec=80, traps=[DivisionByZero, InvalidOperation, Overflow])


def parse_decimal(text: str | int, *, name: str) -> Decimal:
    """The finite Decimal written in `text`.

    Raises ValueError naming `name` for anything else, for a float (its digits are already guesses) and for absurd sizes.
    """
    if isinstance(text, float | bool):
        raise ValueError(f"{name} must be text or an integer, was the {type(text).__name__} {text!r}")
    if len(str(text)) > 64:
        raise ValueError(f"{name} has {len(str(text))} characters; at most 64 are read")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{name} must be a decimal number, was {text!r}") from None
    if not value.is_finite() or abs(value) >= LARGEST:
        raise ValueError(f"{name} must be finite and below {LARGEST:f}, was {text!r}")
    return value


def from_float(value: float, *, step: Decimal) -> Decimal:
    """The Decimal on `step`'s grid nearest to a float from an indicator. Raises ValueError for NaN and infinity."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number that money can be made of")
    return round_nearest(Decimal(repr(float(value))), step=step)


def round_down(value: Decimal, *, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `value`."""
    return _round(value, step=step, rounding=ROUND_FLOOR)


def round_up(value: Decimal, *, step: Decimal) -> Decimal:
    """The smallest multiple of `step` that is not below `value`."""
    return _round(value, step=step, rounding=ROUND_CEILING)


def round_nearest(value: Decimal, *, step: Decimal) -> Decimal:
    """The multiple of `step` nearest to `value`; a tie goes to the even multiple."""
    return _round(value, step=step, rounding=ROUND_HALF_EVEN)


def _round(value: Decimal, *, step: Decimal, rounding: str) -> Decimal:
    if not (step.is_finite() and step > 0):
        raise ValueError(f"step must be positive, was {step}")
    if not value.is_finite():
        raise ValueError(f"{value} cannot be rounded to a step")
    multiples = EXACT.divide(value, step).quantize(Decimal(1), rounding=rounding, context=EXACT)
    return EXACT.multiply(multiples, step)


def plain(value: Decimal) -> str:
    """Digits without an exponent and without trailing zeros: `0.00001`, never `1E-5`."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
