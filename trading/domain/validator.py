"""Trust but verify: rules every entry must pass, whoever proposed it. A missing value blocks; an exit is never judged.

Each rule is data: it blocks when all of its tests bite. A test compares one reading with one limit of the risk profile; an empty
limit switches its rule off. Source: requirements §2.8 and S2-28…S2-32, where the first failure hid the others and a missing value
counted as zero (W-01). A sale is not judged: the source's "no sale under RSI 30" would hold a position against its own exit.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.domain.reasons import Reason

Readings = Mapping[str, float | None]


@dataclass(frozen=True)
class Thresholds:
    """Where the rules bite, from the risk profile; None switches a rule off. Fractions: 0.01 is 1 %."""

    rsi_buy_limit: Decimal | None = None
    atr_fraction_limit: Decimal | None = None
    atr_expansion_limit: Decimal | None = None
    fakeout_adx: Decimal | None = None
    fakeout_volume: Decimal | None = None
    adx_floor: Decimal | None = None
    volume_floor: Decimal | None = None
    band_width_floor: Decimal | None = None
    divergence_limit: Decimal | None = None
    flash_crash_fraction: Decimal | None = None
    flash_crash_deviations: Decimal | None = None
    btc_fall_fraction: Decimal | None = None
    btc_beta_limit: Decimal | None = None
    correlation_change_limit: Decimal | None = None
    confidence_floor: Decimal | None = None


THRESHOLDS = tuple(item.name for item in fields(Thresholds))


@dataclass(frozen=True)
class Comparison:
    """Bites when the reading lies over the limit, or under it. sign −1: the limit's negative is meant, as for a fall."""

    reading: str
    limit: str
    is_over: bool
    sign: int = 1


@dataclass(frozen=True)
class Rule:
    """Blocks a buy when all tests bite. says: what that means, in words."""

    code: str
    unknown: str
    says: str
    tests: tuple[Comparison, ...]
    remedy: str = "Wait for the next candle, or change the limit in the risk profile."


WORDS = {
    "rsi14": ("RSI14", "{:.1f}"),
    "atr_fraction": ("ATR14 as a share of the price", "{:.2%}"),
    "atr_expansion": ("ATR14 over its usual size", "{:.2f}"),
    "adx14": ("ADX14", "{:.1f}"),
    "volume_ratio": ("Volume over its usual size", "{:.2f}"),
    "band_width": ("The Bollinger width", "{:.2%}"),
    "divergence": ("RSI lost between two rising highs", "{:.1f}"),
    "flash_return": ("The worst move of single minutes", "{:.2%}"),
    "flash_deviations": ("The same move in standard deviations", "{:.1f}"),
    "btc_return": ("BTC over one day", "{:.2%}"),
    "btc_beta": ("Beta to BTC", "{:.2f}"),
    "btc_residual": ("The move beside BTC's", "{:.2%}"),
    "correlation_change": ("The change of the correlation with BTC, in standard errors", "{:.1f}"),
    "confidence": ("The analyst's confidence", "{:.1f}"),
}
ZERO_LIMIT = "zero"  # a limit no profile changes

RULES = (
    Rule("rsi_overbought", "rsi_unknown", "the market is overbought", (Comparison("rsi14", "rsi_buy_limit", True),)),
    Rule("volatility", "volatility_unknown", "the market moves too much", (Comparison("atr_fraction", "atr_fraction_limit", True),)),
    Rule("volatility_burst", "volatility_burst_unknown", "volatility bursts", (Comparison("atr_expansion", "atr_expansion_limit", True),)),
    Rule(
        "fake_out",
        "fake_out_unknown",
        "a move without trend and volume is likely a fake-out",
        (Comparison("adx14", "fakeout_adx", False), Comparison("volume_ratio", "fakeout_volume", False)),
    ),
    Rule("trend_weak", "trend_unknown", "the trend is too weak", (Comparison("adx14", "adx_floor", False),)),
    Rule("volume_thin", "volume_unknown", "too little is traded", (Comparison("volume_ratio", "volume_floor", False),)),
    Rule("band_narrow", "band_width_unknown", "the band is too narrow", (Comparison("band_width", "band_width_floor", False),)),
    Rule(
        "bearish_divergence", "divergence_unknown", "highs rise while momentum falls", (Comparison("divergence", "divergence_limit", True),)
    ),
    Rule(
        "flash_crash",
        "flash_crash_unknown",
        "the price has just crashed",
        (
            Comparison("flash_return", "flash_crash_fraction", False, -1),
            Comparison("flash_deviations", "flash_crash_deviations", False, -1),
        ),
    ),
    Rule(
        "btc_risk",
        "btc_unknown",
        "BTC falls and this market follows it further",
        (
            Comparison("btc_return", "btc_fall_fraction", False, -1),
            Comparison("btc_beta", "btc_beta_limit", True),
            Comparison("btc_residual", ZERO_LIMIT, False),
        ),
    ),
    Rule(
        "correlation_break",
        "correlation_unknown",
        "the correlation with BTC has changed abruptly",
        (Comparison("correlation_change", "correlation_change_limit", True),),
    ),
    Rule("confidence_low", "confidence_unknown", "the analyst is not sure enough", (Comparison("confidence", "confidence_floor", False),)),
)
OF_BTC = frozenset({"btc_risk", "correlation_break"})  # say nothing about BTC itself
OF_ANALYST = frozenset({"confidence_low"})  # rules state no probability


@dataclass(frozen=True)
class Ruling:
    """One rule's answer: passed, blocked, unknown, off, or not asked because it does not apply here."""

    code: str
    answer: str
    reason: Reason | None = None
    tests: tuple[dict[str, str], ...] = ()

    def as_row(self) -> dict[str, Any]:
        """As it is stored and shown."""
        return {"code": self.code, "answer": self.answer, "tests": list(self.tests)}


@dataclass(frozen=True)
class Verdict:
    """Whether an entry may go on, with every rule's answer."""

    is_valid: bool
    reasons: tuple[Reason, ...] = ()
    rulings: tuple[Ruling, ...] = ()


def judge_buy(readings: Readings, *, thresholds: Thresholds, skipped: Iterable[str] = ()) -> Verdict:
    """Judge a proposed buy by every rule but the `skipped` ones. readings: by the names of WORDS; missing, None and NaN are unknown."""
    rulings = tuple(_ruling(rule, readings, thresholds, is_asked=rule.code not in skipped) for rule in RULES)
    reasons = tuple(ruling.reason for ruling in rulings if ruling.reason is not None)
    return Verdict(is_valid=not reasons, reasons=reasons, rulings=rulings)


def allowed(columns: Mapping[str, NDArray[np.float64]], *, thresholds: Thresholds) -> NDArray[np.bool_]:
    """(n,) bool: the bars at which the rules that candles alone can answer let a buy pass. The same verdict as `judge_buy`'s."""
    passes = np.ones(len(next(iter(columns.values()))), dtype=np.bool_)
    for rule in RULES:
        limits = [_limit(test, thresholds) for test in rule.tests]
        if all(test.reading in columns for test in rule.tests) and None not in limits:
            passes &= np.any([_clears(columns[test.reading], test, limit) for test, limit in zip(rule.tests, limits, strict=True)], axis=0)
    return passes


def needs(reading: str, thresholds: Thresholds) -> bool:
    """Whether a rule that is switched on asks for this reading."""
    return any(
        any(test.reading == reading for test in rule.tests) and all(_limit(test, thresholds) is not None for test in rule.tests)
        for rule in RULES
    )


def _clears(column: NDArray[np.float64], test: Comparison, limit: float | None) -> NDArray[np.bool_]:
    return column <= limit if test.is_over else column >= limit  # type: ignore[operator]  # NaN clears nothing


def _limit(test: Comparison, thresholds: Thresholds) -> float | None:
    if test.limit == ZERO_LIMIT:
        return 0.0
    value = getattr(thresholds, test.limit)
    return None if value is None else test.sign * float(value)


def _ruling(rule: Rule, readings: Readings, thresholds: Thresholds, *, is_asked: bool) -> Ruling:
    if not is_asked:
        return Ruling(rule.code, "not asked")
    limits = [_limit(test, thresholds) for test in rule.tests]
    if None in limits:
        return Ruling(rule.code, "off")
    values = [_known(readings.get(test.reading)) for test in rule.tests]
    told = tuple(
        {"reading": test.reading, "value": _said(test, value), "limit": _said(test, limit), "blocks": "over" if test.is_over else "under"}
        for test, value, limit in zip(rule.tests, values, limits, strict=True)
    )
    if any(
        value is not None and _clears(np.array(value), test, limit) for test, value, limit in zip(rule.tests, values, limits, strict=True)
    ):
        return Ruling(rule.code, "passed", tests=told)
    value, limit = "; ".join(one["value"] for one in told), "; ".join(one["limit"] for one in told)
    if None in values:
        missing = " and ".join(WORDS[test.reading][0] for test, value in zip(rule.tests, values, strict=True) if value is None)
        message = f"The buy cannot be judged, {missing} being unknown."
        return Ruling(rule.code, "unknown", Reason(rule.unknown, message, value=value, limit=limit, remedy=UNKNOWN_REMEDY), told)
    facts = " and ".join(f"{WORDS[one['reading']][0]} is {one['value']}, {one['blocks']} the limit of {one['limit']}" for one in told)
    message = f"{facts}: {rule.says}, so the buy is blocked."
    return Ruling(rule.code, "blocked", Reason(rule.code, message, value=value, limit=limit, remedy=rule.remedy), told)


UNKNOWN_REMEDY = "Wait for more data, or switch the rule off in the risk profile."


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _said(test: Comparison, value: float | None) -> str:
    return "unknown" if value is None else WORDS[test.reading][1].format(value)
