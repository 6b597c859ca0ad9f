"""Sizing modes: whatever comes in, the loss at the stop stays within the risk taken, and what cannot be told is no order."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dgbot.core.money import EXACT, round_down
from risk.domain.sizing import (
    KELLY_TRADES,
    Edge,
    Market,
    SizingMode,
    SizingPlan,
    Wanted,
    edge_of,
    half_kelly,
    loss_per_unit,
    size_sale,
    size_within,
    trapped,
    wanted,
)

D = Decimal
equities = st.decimals(min_value=0, max_value=10**12, places=8, allow_nan=False)
prices = st.decimals(min_value="0.0001", max_value=10**9, places=8)
fractions = st.decimals(min_value="0.0001", max_value=1, places=4)
rates = st.sampled_from([D(0), D("0.0005"), D("0.0025"), D("0.05")])
modes = st.sampled_from(SizingMode)
edges = st.builds(
    Edge,
    wins=st.integers(0, 200),
    losses=st.integers(0, 200),
    mean_win=st.decimals(min_value=0, max_value=5, places=6),
    mean_loss=st.decimals(min_value=0, max_value=1, places=6),
)
markets = st.builds(Market, entry=prices, stop=prices, fee_rate=rates, slippage_fraction=rates, atr=st.none() | prices)
MILLION = D(1_000_000)
MARKET = Market(entry=D(100), stop=D(95), fee_rate=D("0.001"), slippage_fraction=D("0.01"), atr=D(4))
GOOD = Edge(wins=30, losses=20, mean_win=D("0.04"), mean_loss=D("0.03"))


def asked(mode: SizingMode, *, market: Market = MARKET, edge: Edge | None = GOOD, equity: Decimal = MILLION, **changes: object) -> Wanted:
    """What a mode asks for with its default numbers."""
    return wanted(SizingPlan(mode=mode), equity=equity, free_cash=D(800_000), market=market, edge=edge, **changes)  # type: ignore[arg-type]


@given(equity=equities, risk=fractions, market=markets, step=st.sampled_from([D(1), D("0.01"), D("0.00000001")]))
def test_the_loss_at_the_stop_never_exceeds_the_risk_taken_costs_included(equity: Decimal, risk: Decimal, market: Market, step: Decimal):
    plan = SizingPlan(mode=SizingMode.RISK_AT_STOP, risk_fraction=risk)
    found = wanted(plan, equity=equity, free_cash=equity, market=market, edge=None)
    spent = round_down(found.quote_amount, step=step)

    with localcontext(prec=120):  # the slow, obvious sum
        quantity = spent / market.entry
        direction = -1 if market.stop < market.entry else 1
        left_at = market.stop * (1 + direction * market.slippage_fraction)
        loss = quantity * abs(market.entry - left_at) + market.fee_rate * quantity * (market.entry + left_at)
        assert loss <= equity * risk * (1 + D(10) ** -60)
    assert found.quote_amount > 0 or found.reasons or equity == 0


@given(mode=modes, equity=equities, cash=equities, market=markets, edge=st.none() | edges, hint=st.decimals(0, 1, places=3), cap=equities)
def test_whatever_the_mode_no_size_exceeds_a_cap_or_the_cash(
    mode: SizingMode, equity: Decimal, cash: Decimal, market: Market, edge: Edge | None, hint: Decimal, cap: Decimal
):
    asked_for = wanted(SizingPlan(mode=mode), equity=equity, free_cash=cash, market=market, edge=edge, size_hint=hint)
    assert asked_for.quote_amount >= 0

    found = size_within(
        wanted=asked_for.quote_amount, caps={"cap": cap}, free_cash=cash, fee_rate=market.fee_rate, minimum_total=D(5000), step=D(1)
    )

    assert found.quote_amount <= min(cap, asked_for.quote_amount) or found.quote_amount == 0
    assert EXACT.multiply(found.quote_amount, 1 + market.fee_rate) <= cash
    assert (found.quote_amount >= 5000) != bool(found.reasons)


@pytest.mark.parametrize("mode", SizingMode)
@pytest.mark.parametrize("name", ["equity", "free_cash", "size_hint", "entry", "stop", "fee_rate", "slippage_fraction", "atr"])
@given(wrong=st.sampled_from([D("NaN"), D("sNaN"), D("Infinity"), D("-Infinity")]))
def test_what_is_not_a_number_never_becomes_a_size(mode: SizingMode, name: str, wrong: Decimal):
    given_numbers = {"equity": D(1), "free_cash": D(1), "size_hint": D(1)}
    in_market = {"entry": D(100), "stop": D(95), "fee_rate": D(0), "slippage_fraction": D(0), "atr": D(1)}
    (given_numbers if name in given_numbers else in_market)[name] = wrong

    with pytest.raises(ValueError, match="must be finite"):
        wanted(SizingPlan(mode=mode), market=Market(**in_market), edge=GOOD, **given_numbers)


def test_each_mode_asks_for_what_its_formula_says():
    # Risk: 10,000 × 100 / (|100 − 94.05| + 0.001 × 194.05); swing: 10,000 × 100 / 4; Kelly: 0.6 − 0.4/(4/3) = 0.3, half of it 15 %.
    assert asked(SizingMode.FIXED).quote_amount == 50_000
    assert asked(SizingMode.EQUITY_FRACTION).quote_amount == 100_000
    assert loss_per_unit(MARKET) == D("6.14405")
    assert asked(SizingMode.RISK_AT_STOP).quote_amount.quantize(D("0.0001")) == D("162759.0921")
    assert asked(SizingMode.VOLATILITY_TARGET).quote_amount == 250_000
    assert asked(SizingMode.HALF_KELLY).quote_amount == 150_000
    assert asked(SizingMode.BUY_RATIO).quote_amount == 240_000
    assert asked(SizingMode.FIXED, size_hint=D("0.5")).quote_amount == 25_000


def test_a_short_loses_above_its_entry():
    assert loss_per_unit(Market(entry=D(100), stop=D(105), fee_rate=D(0), slippage_fraction=D("0.01"))) == D("6.05")


@pytest.mark.parametrize("hint", [D("-0.001"), D("1.001")])
def test_a_hint_outside_its_range_is_refused(hint: Decimal):
    with pytest.raises(ValueError, match="size hint must lie between 0 and 1"):
        asked(SizingMode.FIXED, size_hint=hint)


@pytest.mark.parametrize("hint", [D(0), D(1)])
def test_a_hint_may_be_all_or_nothing(hint: Decimal):
    assert asked(SizingMode.FIXED, size_hint=hint).quote_amount == 50_000 * hint


@pytest.mark.parametrize("atr", [None, D(0), D(-1)])
def test_without_a_known_swing_there_is_no_size(atr: Decimal | None):
    found = asked(SizingMode.VOLATILITY_TARGET, market=Market(D(100), D(95), D(0), D(0), atr=atr))

    assert (found.quote_amount, [reason.code for reason in found.reasons]) == (0, ["size_unknown"])
    assert "ATR" in found.reasons[0].message and found.reasons[0].remedy


@pytest.mark.parametrize(("entry", "stop"), [(D(100), D(100)), (D(0), D(95)), (D(100), D(0)), (D(-1), D(-2))])
def test_an_entry_that_risks_nothing_measurable_has_no_size(entry: Decimal, stop: Decimal):
    found = asked(SizingMode.RISK_AT_STOP, market=Market(entry, stop, D(0), D(0)))

    assert (found.quote_amount, [reason.code for reason in found.reasons]) == (0, ["size_unknown"])
    assert "risks nothing" in found.reasons[0].message


# --- Half Kelly ---


@given(edge=edges)
def test_half_kelly_lies_between_its_bounds_and_never_bets_on_no_edge(edge: Edge):
    fraction, reasons = half_kelly(edge)

    assert fraction == 0 or D("0.05") <= fraction <= D("0.30")
    assert (fraction == 0) == bool(reasons)
    if fraction:
        p = D(edge.wins) / (edge.wins + edge.losses)
        assert fraction <= (p - (1 - p) * edge.mean_loss / edge.mean_win) / 2 + D("1e-20")


@pytest.mark.parametrize(
    ("edge", "codes"),
    [
        (None, ["edge_unknown"]),
        (Edge(wins=20, losses=KELLY_TRADES - 21, mean_win=D(1), mean_loss=D("0.1")), ["edge_unknown"]),
        (Edge(wins=20, losses=KELLY_TRADES - 20, mean_win=D(1), mean_loss=D("0.1")), []),
        (Edge(wins=40, losses=0, mean_win=D(1), mean_loss=D(0)), ["edge_unknown"]),
        (Edge(wins=0, losses=40, mean_win=D(0), mean_loss=D(1)), ["edge_unknown"]),
        (Edge(wins=20, losses=20, mean_win=D(1), mean_loss=D(0)), ["edge_unknown"]),
        (Edge(wins=20, losses=20, mean_win=D(0), mean_loss=D(1)), ["edge_unknown"]),
        (Edge(wins=10, losses=30, mean_win=D("0.01"), mean_loss=D("0.01")), ["edge_too_small"]),
        (Edge(wins=20, losses=20, mean_win=D(1), mean_loss=D("0.8")), []),  # half of 10 % is the floor itself
        (Edge(wins=20, losses=20, mean_win=D(1), mean_loss=D("0.8000001")), ["edge_too_small"]),
    ],
)
def test_a_negative_unknown_or_tiny_edge_is_no_trade(edge: Edge | None, codes: list[str]):
    _fraction, reasons = half_kelly(edge)

    assert [reason.code for reason in reasons] == codes
    assert all(reason.message.startswith("No order: ") and reason.value and reason.remedy for reason in reasons)


def test_a_great_edge_is_capped_at_thirty_percent():
    assert half_kelly(Edge(wins=39, losses=1, mean_win=D(1), mean_loss=D("0.01")))[0] == D("0.30")


def test_an_edge_counts_a_draw_among_the_losses():
    assert edge_of([D("0.02"), D("0.04"), D(0), D("-0.06")]) == Edge(wins=2, losses=2, mean_win=D("0.03"), mean_loss=D("0.03"))
    assert edge_of([]) == Edge(wins=0, losses=0, mean_win=D(0), mean_loss=D(0))
    with localcontext(prec=120):
        assert edge_of([D(1), D(1), D("0.5")]).mean_win * 3 < D("2.5") < edge_of([D(-1), D(-1), D("-0.5")]).mean_loss * 3


@pytest.mark.parametrize("edge", [None, Edge(wins=20, losses=20, mean_win=D(1), mean_loss=D("0.99"))])
def test_half_kelly_passes_its_reasons_on(edge: Edge | None):
    assert asked(SizingMode.HALF_KELLY, edge=edge) == Wanted(D(0), half_kelly(edge)[1])


# --- Caps in conflict ---


def test_every_limit_that_is_too_small_is_told_smallest_first():
    found = size_within(
        wanted=D(50_000),
        caps={"cap a": D(4000), "cap b": D(3000), "cap c": D(6000)},
        free_cash=D(4500),
        fee_rate=D(0),
        minimum_total=D(5000),
        step=D(1),
    )

    assert [reason.remedy for reason in found.reasons] == ["Raise the cap b.", "Raise the cap a.", "Raise the free cash after fees."]
    assert found.reasons[0].message == "No order: 3000 allowed by the cap b is below the market's minimum of 5000."
    assert (found.reasons[0].code, found.reasons[0].value, found.reasons[0].limit) == ("below_minimum", "3000", "5000")


def test_a_fee_below_zero_is_refused():
    with pytest.raises(ValueError, match="fee rate must not be negative"):
        size_within(wanted=D(1), caps={}, free_cash=D(1), fee_rate=D("-0.0001"), minimum_total=D(0), step=D(1))


# --- Traps and sales ---


@given(amount=st.decimals(min_value=1, max_value=10**9, places=0), entry=prices, stop=prices, minimum=st.sampled_from([D(0), D(5000)]))
def test_what_is_not_a_trap_can_be_sold_at_its_stop(amount: Decimal, entry: Decimal, stop: Decimal, minimum: Decimal):
    lot = D("0.00000001")
    reasons = trapped(quote_amount=amount, entry=entry, stop=stop, lot_step=lot, minimum_total=minimum)

    bought = round_down(EXACT.divide(amount, entry), step=lot)
    assert reasons or EXACT.multiply(bought, stop) >= minimum


def test_a_trap_says_what_it_would_be_worth():
    (reason,) = trapped(quote_amount=D(5200), entry=D(100), stop=D(95), lot_step=D(1), minimum_total=D(5000))

    assert (reason.code, reason.value, reason.limit, reason.remedy) == ("unsellable_at_stop", "4845", "5000", "Raise the trade amount.")
    assert reason.message == "At its stop this entry would be worth 4845, less than the minimum order of 5000."
    assert trapped(quote_amount=D(5364), entry=D(100), stop=D(95), lot_step=D(1), minimum_total=D(5000)) == ()
    assert trapped(quote_amount=D(1), entry=D(100), stop=D(95), lot_step=D(1), minimum_total=D(5000))[0].value == "0"


@given(
    held=prices,
    ratio=fractions,
    price=prices,
    lot=st.sampled_from([D("0.00000001"), D("0.01"), D(1)]),
    minimum=st.sampled_from([D(0), D(5000)]),
)
def test_a_sale_leaves_nothing_that_could_not_be_sold(held: Decimal, ratio: Decimal, price: Decimal, lot: Decimal, minimum: Decimal):
    sold = size_sale(held=held, ratio=ratio, price=price, lot_step=lot, minimum_total=minimum)

    assert EXACT.multiply(held, ratio) <= sold <= held
    rest = held - sold
    assert sold == held or (EXACT.remainder(sold, lot) == 0 and min(sold, rest) * price >= minimum)


def test_a_sale_is_the_part_or_all_of_it():
    def sale(ratio: str, minimum: str = "5000", held: str = "10") -> Decimal:
        return size_sale(held=D(held), ratio=D(ratio), price=D(1000), lot_step=D("0.1"), minimum_total=D(minimum))

    assert (sale("0.5"), sale("0.49"), sale("0.51"), sale("1")) == (D(5), D(10), D(10), D(10))
    assert sale("0.333", minimum="1000") == D("3.4")
    assert sale("0.5", minimum="5001") == 10


@pytest.mark.parametrize(
    ("held", "ratio", "price"), [("1", "0", "1"), ("1", "1.01", "1"), ("0", "1", "1"), ("1", "1", "0"), ("-1", "1", "1")]
)
def test_a_sale_of_nothing_is_refused(held: str, ratio: str, price: str):
    with pytest.raises(ValueError, match="a sale needs"):
        size_sale(held=D(held), ratio=D(ratio), price=D(price), lot_step=D(1), minimum_total=D(0))


@given(held=prices)
def test_a_sale_with_a_step_that_is_no_step_is_refused(held: Decimal):
    assume(held > 0)
    with pytest.raises(ValueError, match="step must be positive"):
        size_sale(held=held, ratio=D("0.5"), price=D(1), lot_step=D(0), minimum_total=D(0))


@pytest.mark.parametrize(("name", "word"), [("held", "held"), ("ratio", "ratio"), ("price", "price"), ("minimum_total", "minimum")])
def test_a_sale_by_what_is_not_a_number_is_refused_by_name(name: str, word: str):
    numbers = {"held": D(1), "ratio": D(1), "price": D(1), "lot_step": D(1), "minimum_total": D(0), name: D("NaN")}

    with pytest.raises(ValueError, match=f"^{word} must be finite, was NaN"):
        size_sale(**numbers)
