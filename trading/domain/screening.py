"""Screening markets by their daily candles: one to five conditions, joined by AND or OR. Unknown is a value, and matches nothing.

    change_rate[1W] > 5        percent, close over the close that many days before (1D, 1W = 7, 1M = 30 days)
    volume[1D] >= 1000         base currency traded in the period
    trade_amount[1W] > 1e10    quote currency traded in the period: volume × mean of high, low and close, day by day
    ma_divergence[20] < -3     percent, close over its mean of 5, 20 or 60 days
    ma_alignment == bullish    the means of 5, 20 and 60 days: bullish when they fall in this order, bearish when they rise, else mixed

Source: requirements §1.4 (screener of coin_hts).
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from backtests.candles.series import Candles
from dgbot.core.errors import BadInput

PERIODS = {"1D": 1, "1W": 7, "1M": 30}  # closed days
MEANS = ("5", "20", "60")
MOST_CONDITIONS = 5
DAYS = 61  # closed candles every reading can be told from
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
ALIGNMENTS = {"bullish": 1.0, "mixed": 0.0, "bearish": -1.0}
FORM = re.compile(r"\s*(\w+)\s*(?:\[\s*(\w+)\s*\])?\s*(>=|<=|==|>|<)\s*(\S+)\s*")


class Reading(StrEnum):
    """What is compared."""

    CHANGE_RATE = "change_rate"
    VOLUME = "volume"
    TRADE_AMOUNT = "trade_amount"
    MA_DIVERGENCE = "ma_divergence"
    MA_ALIGNMENT = "ma_alignment"


OVER = {
    Reading.CHANGE_RATE: tuple(PERIODS),
    Reading.VOLUME: tuple(PERIODS),
    Reading.TRADE_AMOUNT: tuple(PERIODS),
    Reading.MA_DIVERGENCE: MEANS,
    Reading.MA_ALIGNMENT: (),
}


@dataclass(frozen=True)
class Condition:
    """One comparison. over: the period or the length of the mean; empty for the alignment. value: in the reading's own unit."""

    reading: Reading
    over: str
    sign: str
    value: float

    def __str__(self) -> str:
        over = f"[{self.over}]" if self.over else ""
        named = next((name for name, value in ALIGNMENTS.items() if value == self.value), "")
        return f"{self.reading}{over} {self.sign} {named if self.reading is Reading.MA_ALIGNMENT else f'{self.value:g}'}"

    @property
    def name(self) -> str:
        """The reading with what it is taken over."""
        return f"{self.reading}[{self.over}]" if self.over else self.reading.value

    def holds(self, readings: dict[str, float | None]) -> bool | None:
        """Whether it holds; None when its reading is unknown."""
        value = readings.get(self.name)
        return None if value is None else OPERATORS[self.sign](value, self.value)


def parse(text: str) -> Condition:
    """A condition as people write it. Raises BadInput with the allowed forms."""
    form = FORM.fullmatch(text)
    if form is None:
        raise BadInput(f"{text!r} is no condition; one is written change_rate[1W] > 5 or ma_alignment == bullish.")
    name, over, sign, value = form.groups()
    if name not in list(Reading):
        raise BadInput(f"{name!r} cannot be screened by; known are {', '.join(Reading)}.")
    reading = Reading(name)
    allowed = OVER[reading]
    over = over or (allowed[0] if allowed else "")
    if over not in (allowed or ("",)):
        raise BadInput(f"{name} is taken over {', '.join(allowed) or 'nothing'}, was [{over}].")
    return Condition(reading, over, sign, _value(reading, value))


def parse_all(texts: Sequence[str]) -> tuple[Condition, ...]:
    """One to five conditions. Raises BadInput for more, for fewer, and for what cannot be read."""
    if not 1 <= len(texts) <= MOST_CONDITIONS:
        raise BadInput(f"1 to {MOST_CONDITIONS} conditions can be joined; {len(texts)} were given.")
    return tuple(parse(text) for text in texts)


def read(candles: Candles) -> dict[str, float | None]:
    """Every reading of a market at its newest closed day, by `Condition.name`; None where there are too few days."""
    close = candles.close
    found: dict[str, float | None] = {}
    amount = candles.volume * (candles.high + candles.low + close) / 3
    for name, days in PERIODS.items():
        found[f"{Reading.CHANGE_RATE}[{name}]"] = 100 * (close[-1] / close[-1 - days] - 1) if len(close) > days else None
        found[f"{Reading.VOLUME}[{name}]"] = float(candles.volume[-days:].sum()) if len(close) >= days else None
        found[f"{Reading.TRADE_AMOUNT}[{name}]"] = float(amount[-days:].sum()) if len(close) >= days else None
    means = [float(np.mean(close[-int(length) :])) if len(close) >= int(length) else None for length in MEANS]
    for length, mean in zip(MEANS, means, strict=True):
        found[f"{Reading.MA_DIVERGENCE}[{length}]"] = None if mean is None else float(100 * (close[-1] / mean - 1))
    found[Reading.MA_ALIGNMENT.value] = _alignment(means)
    return {name: None if value is None else float(value) for name, value in found.items()}


def matches(readings: dict[str, float | None], conditions: Sequence[Condition], *, is_any: bool) -> bool | None:
    """AND or, with `is_any`, OR, in three values: what does not hang on an unknown reading is told, the rest is None."""
    answers = [condition.holds(readings) for condition in conditions]
    decisive = is_any
    if decisive in answers:
        return decisive
    return None if None in answers else not decisive


def _alignment(means: Sequence[float | None]) -> float | None:
    short, middle, long = means
    if short is None or middle is None or long is None:
        return None
    return 1.0 if short > middle > long else -1.0 if short < middle < long else 0.0


def _value(reading: Reading, text: str) -> float:
    if reading is Reading.MA_ALIGNMENT:
        if text not in ALIGNMENTS:
            raise BadInput(f"ma_alignment is compared with {', '.join(ALIGNMENTS)}, was {text!r}.")
        return ALIGNMENTS[text]
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise BadInput(f"{reading} is compared with a number, was {text!r}.")
    return value
