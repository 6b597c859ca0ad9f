"""Every rule of the validator, on both sides of its edge; one verdict for a bar alone and for a whole column."""

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.validator import OF_ANALYST, RULES, THRESHOLDS, Thresholds, allowed, judge_buy, needs

D = Decimal
EVERY_RULE = Thresholds(
    rsi_buy_limit=D(70),
    atr_fraction_limit=D("0.06"),
    atr_expansion_limit=D(2),
    fakeout_adx=D(20),
    fakeout_volume=D("1.3"),
    adx_floor=D(15),
    volume_floor=D("0.5"),
    band_width_floor=D("0.04"),
    divergence_limit=D(5),
    flash_crash_fraction=D("0.03"),
    flash_crash_deviations=D(5),
    btc_fall_fraction=D("0.01"),
    btc_beta_limit=D("1.2"),
    correlation_change_limit=D(4),
    confidence_floor=D(50),
)
GOOD = {
    "rsi14": 55.0,
    "atr_fraction": 0.02,
    "atr_expansion": 1.0,
    "adx14": 30.0,
    "volume_ratio": 2.0,
    "band_width": 0.08,
    "divergence": 0.0,
    "flash_return": -0.001,
    "flash_deviations": -0.5,
    "btc_return": 0.004,
    "btc_beta": 0.9,
    "btc_residual": 0.001,
    "correlation_change": 0.3,
    "confidence": 72.0,
}
# rule → readings at its edge, where it still lets pass, and just beyond it
EDGES: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    "rsi_overbought": ({"rsi14": 70.0}, {"rsi14": 70.0001}),
    "volatility": ({"atr_fraction": 0.06}, {"atr_fraction": 0.0601}),
    "volatility_burst": ({"atr_expansion": 2.0}, {"atr_expansion": 2.01}),
    "fake_out": ({"adx14": 19.9, "volume_ratio": 1.3}, {"adx14": 19.9, "volume_ratio": 1.29}),
    "trend_weak": ({"adx14": 15.0}, {"adx14": 14.9}),
    "volume_thin": ({"volume_ratio": 0.5}, {"volume_ratio": 0.49}),
    "band_narrow": ({"band_width": 0.04}, {"band_width": 0.0399}),
    "bearish_divergence": ({"divergence": 5.0}, {"divergence": 5.1}),
    "flash_crash": ({"flash_return": -0.03, "flash_deviations": -9.0}, {"flash_return": -0.0301, "flash_deviations": -5.1}),
    "btc_risk": (
        {"btc_return": -0.02, "btc_beta": 1.3, "btc_residual": 0.0},
        {"btc_return": -0.02, "btc_beta": 1.3, "btc_residual": -0.001},
    ),
    "correlation_break": ({"correlation_change": 4.0}, {"correlation_change": 4.01}),
    "confidence_low": ({"confidence": 50.0}, {"confidence": 49.99}),
}


def test_every_rule_has_a_case() -> None:
    assert {rule.code for rule in RULES} == set(EDGES)
    assert {test.limit for rule in RULES for test in rule.tests} == {*THRESHOLDS, "zero"}


def test_a_good_buy_passes_every_rule() -> None:
    verdict = judge_buy(GOOD, thresholds=EVERY_RULE)

    assert verdict.is_valid and {ruling.answer for ruling in verdict.rulings} == {"passed"}


@pytest.mark.parametrize("code", EDGES)
def test_a_rule_passes_at_its_edge_and_blocks_beyond_it(code: str) -> None:
    at_edge, beyond = EDGES[code]

    assert code not in blocked({**GOOD, **at_edge})
    assert code in blocked({**GOOD, **beyond})


@pytest.mark.parametrize("code", EDGES)
@pytest.mark.parametrize("missing", [None, math.nan, "left out"])
def test_a_missing_input_cannot_be_decided_and_blocks(code: str, missing: object) -> None:
    rule = next(rule for rule in RULES if rule.code == code)
    seen = {**GOOD, **{test.reading: missing for test in rule.tests}}
    if missing == "left out":
        seen = {name: value for name, value in seen.items() if value != missing}

    assert rule.unknown in blocked(seen)  # type: ignore[arg-type]


def test_one_known_reading_that_clears_decides_a_rule_of_two() -> None:
    assert "fake_out_unknown" not in blocked({**GOOD, "volume_ratio": None, "adx14": 25.0})


def test_all_failures_are_told_each_with_value_limit_and_remedy() -> None:
    seen = {**GOOD, "rsi14": 81.0, "atr_fraction": 0.09, "confidence": 30.0}
    verdict = judge_buy(seen, thresholds=EVERY_RULE)

    assert [reason.code for reason in verdict.reasons] == ["rsi_overbought", "volatility", "confidence_low"]
    assert all(reason.value and reason.limit and reason.remedy for reason in verdict.reasons)
    assert verdict.reasons[1].message == (
        "ATR14 as a share of the price is 9.00%, over the limit of 6.00%: the market moves too much, so the buy is blocked."
    )


@pytest.mark.parametrize("limit", THRESHOLDS)
def test_an_empty_limit_switches_its_rules_off(limit: str) -> None:
    verdict = judge_buy({}, thresholds=replace(EVERY_RULE, **{limit: None}))
    off = {rule.code for rule in RULES if any(test.limit == limit for test in rule.tests)}

    assert {ruling.code for ruling in verdict.rulings if ruling.answer == "off"} == off


def test_rules_state_no_probability_so_theirs_is_not_asked() -> None:
    verdict = judge_buy({**GOOD, "confidence": None}, thresholds=EVERY_RULE, skipped=OF_ANALYST)

    assert verdict.is_valid and verdict.rulings[-1].answer == "not asked"


def test_a_reading_is_needed_by_a_rule_that_is_on() -> None:
    assert needs("flash_return", EVERY_RULE)
    assert not needs("flash_return", replace(EVERY_RULE, flash_crash_deviations=None))


ANY = st.none() | st.floats(-100, 100)


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(("rsi14", "atr_fraction", "adx14", "volume_ratio"), ANY)), min_size=1, max_size=5))
def test_a_column_is_judged_bar_by_bar_as_a_bar_alone_is(bars: list[dict[str, float | None]]) -> None:
    asked = Thresholds(rsi_buy_limit=D(70), atr_fraction_limit=D("0.06"), fakeout_adx=D(20), fakeout_volume=D("1.3"))
    columns = {name: np.array([math.nan if bar[name] is None else bar[name] for bar in bars], dtype=float) for name in bars[0]}

    assert allowed(columns, thresholds=asked).tolist() == [judge_buy(bar, thresholds=asked).is_valid for bar in bars]


def blocked(readings: dict[str, float | None]) -> set[str]:
    return {reason.code for reason in judge_buy(readings, thresholds=EVERY_RULE).reasons}
