"""Every refusal of the rule book, word for word: the fact, the value, the limit, the remedy."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from risk.domain.assess import RiskUse, blocks
from risk.domain.breakers import Losses, LossLimits, tripped
from risk.domain.exposure import Bound, exceeded, liquidated_first, unfit_leverage
from risk.domain.limits import EffectiveLimits
from risk.domain.reasons import Reason
from risk.domain.sizing import Edge, Market, SizingMode, SizingPlan, half_kelly, size_within, trapped, wanted

D = Decimal
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def mode(chosen: SizingMode, market: Market) -> tuple[Reason, ...]:
    """Why this mode asks for nothing."""
    return wanted(SizingPlan(mode=chosen), equity=D(100), free_cash=D(100), market=market, edge=None).reasons


# Asked when the test runs and not when this file is read: a mutant that is put in between must be heard.
TOLD: list[tuple[str, Callable[[], tuple[Reason, ...]], list[Reason]]] = [
    (
        "few trades",
        lambda: half_kelly(Edge(3, 4, D(1), D(1)))[1],
        [
            Reason(
                "edge_unknown",
                "No order: 7 closed trades tell no edge; half Kelly needs 30.",
                "7",
                "30",
                "Choose another sizing mode until there are enough trades.",
            ),
        ],
    ),
    (
        "no trades",
        lambda: half_kelly(None)[1],
        [
            Reason(
                "edge_unknown",
                "No order: 0 closed trades tell no edge; half Kelly needs 30.",
                "0",
                "30",
                "Choose another sizing mode until there are enough trades.",
            ),
        ],
    ),
    (
        "one kind",
        lambda: half_kelly(Edge(40, 0, D(1), D(0)))[1],
        [
            Reason(
                "edge_unknown",
                "No order: 40 winning and 0 losing trades tell no odds; half Kelly needs both kinds.",
                "40/0",
                "",
                "Choose another sizing mode until both kinds were seen.",
            ),
        ],
    ),
    (
        "tiny edge",
        lambda: half_kelly(Edge(20, 20, D("0.0100"), D("0.0099")))[1],
        [
            Reason(
                "edge_too_small",
                "No order: half Kelly is 0.25 %, below its floor of 5 %.",
                "0.2500 %",
                "5.0000 %",
                "Nothing to do: the trades so far do not earn a bet.",
            ),
        ],
    ),
    (
        "no swing",
        lambda: mode(SizingMode.VOLATILITY_TARGET, Market(D(100), D(95), D(0), D(0))),
        [
            Reason(
                "size_unknown", "No order: the ATR of the signal bar is unknown or zero.", "", "", "Wait, or choose another sizing mode."
            ),
        ],
    ),
    (
        "no risk",
        lambda: mode(SizingMode.RISK_AT_STOP, Market(D(100), D(100), D(0), D(0))),
        [
            Reason(
                "size_unknown",
                "No order: an entry at 100 with its stop at 100 risks nothing that could be measured.",
                "",
                "",
                "Wait, or choose another sizing mode.",
            ),
        ],
    ),
    (
        "conflict",
        lambda: size_within(wanted=D(50), caps={"cap": D(7)}, free_cash=D(60), fee_rate=D(0), minimum_total=D(60), step=D(1)).reasons,
        [
            Reason("below_minimum", "No order: 7 allowed by the cap is below the market's minimum of 60.", "7", "60", "Raise the cap."),
            Reason(
                "below_minimum",
                "No order: 50 allowed by the trade amount is below the market's minimum of 60.",
                "50",
                "60",
                "Raise the trade amount.",
            ),
        ],
    ),
    (
        "trap",
        lambda: trapped(quote_amount=D(5200), entry=D(100), stop=D(95), lot_step=D(1), minimum_total=D(5000)),
        [
            Reason(
                "unsellable_at_stop",
                "At its stop this entry would be worth 4845, less than the minimum order of 5000.",
                "4845",
                "5000",
                "Raise the trade amount.",
            ),
        ],
    ),
    (
        "at stake",
        lambda: exceeded(
            (Bound("account_exposure", "account exposure limit", D(11), D(10)), Bound("leverage", "leverage limit", D(1), None))
        ),
        [
            Reason(
                "account_exposure",
                "11 at stake would pass the account exposure limit of 10.",
                "11",
                "10",
                "Wait until a position is closed, or raise the limit with a reason.",
            ),
            Reason(
                "equity_unknown",
                "The leverage limit cannot be told: the account's equity is unknown.",
                "",
                "",
                "Wait until the gateway has told the account's balances.",
            ),
        ],
    ),
    (
        "leverage",
        lambda: unfit_leverage(confirmed=None, limit=D(1)) + unfit_leverage(confirmed=D(3), limit=D(2)),
        [
            Reason(
                "leverage_unknown", "The exchange has not confirmed the leverage.", "", "", "Wait for the gateway, or check the account."
            ),
            Reason(
                "leverage", "The leverage is 3; the limit is 2.", "3", "2", "Lower it at the exchange, or raise the limit with a reason."
            ),
        ],
    ),
    (
        "liquidation",
        lambda: liquidated_first(entry=D(100), stop=D(95), liquidation=D(96), gap_fraction=D("0.01")),
        [
            Reason(
                "liquidation_before_stop",
                "Liquidation at 96 is not beyond the stop at 95 by more than 1.00.",
                "96",
                "95",
                "Lower the leverage, or move the stop nearer.",
            ),
        ],
    ),
    (
        "blocks",
        lambda: blocks(
            limits=EffectiveLimits(spacing=4 * HOUR, entries_per_day=5),
            use=RiskUse(
                entries_today=5,
                last_entry_at=NOW - 1.5 * HOUR,
                kill_level=2,
                safe_mode_reasons=("bot: lost",),
                unknown=("no price",),
                unproven_orders=1,
            ),
            now=NOW,
        ),
        [
            Reason("kill_switch", "The kill switch is at level 2.", "2", "0", "Lower it in the admin once its cause is gone."),
            Reason("safe_mode", "Safe mode: bot: lost", "", "", "Release it in Risk states with a reason."),
            Reason("unknown", "Entries wait: no price", "", "", ""),
            Reason(
                "unproven_order",
                "1 order(s) of this bot may be at the exchange without our knowing.",
                "1",
                "0",
                "Reconciliation settles them; wait.",
            ),
            Reason(
                "spacing",
                "The last entry was 1 h 30 min ago; entries keep 4 h 0 min apart.",
                "1 h 30 min",
                "4 h 0 min",
                "Wait until 2026-03-01T14:30:00+00:00.",
            ),
            Reason("daily_count", "5 entries today; the limit is 5.", "5", "5", "Wait for the next trading day."),
        ],
    ),
    (
        "minutes",
        lambda: blocks(
            limits=EffectiveLimits(spacing=timedelta(minutes=60)),
            use=RiskUse(entries_today=0, last_entry_at=NOW - timedelta(minutes=59, seconds=59), kill_level=0),
            now=NOW,
        ),
        [
            Reason(
                "spacing",
                "The last entry was 59 min ago; entries keep 1 h 0 min apart.",
                "59 min",
                "1 h 0 min",
                "Wait until 2026-03-01T12:00:01+00:00.",
            ),
        ],
    ),
    (
        "breakers",
        lambda: tripped(
            losses=Losses(D(-10), D(-20), D(0), D("0.5"), 4), limits=LossLimits(D(100), D("0.1"), D("0.2"), D("0.5"), 4), whose="Bot a"
        ),
        [
            Reason(
                "daily_loss",
                "Bot a lost 10.00 % today; the limit is 10.00 %. Entries are blocked until safe mode is released.",
                "10.0000 %",
                "10.0000 %",
                "Find the cause, then release safe mode with a reason.",
            ),
            Reason(
                "weekly_loss",
                "Bot a lost 20.00 % in 7 trading days; the limit is 20.00 %. Entries are blocked until safe mode is released.",
                "20.0000 %",
                "20.0000 %",
                "Find the cause, then release safe mode with a reason.",
            ),
            Reason(
                "drawdown",
                "Bot a fell 50.00 % from its peak; the limit is 50.00 %. Entries are blocked until safe mode is released.",
                "50.0000 %",
                "50.0000 %",
                "Find the cause, then release safe mode with a reason.",
            ),
            Reason(
                "loss_streak",
                "Bot a lost 4 trades in a row; the limit is 4. Entries are blocked until safe mode is released.",
                "4",
                "4",
                "Find the cause, then release safe mode with a reason.",
            ),
        ],
    ),
]


@pytest.mark.parametrize(("found", "expected"), [case[1:] for case in TOLD], ids=[case[0] for case in TOLD])
def test_a_refusal_reads_so(found: Callable[[], tuple[Reason, ...]], expected: list[Reason]):
    assert list(found()) == expected


def test_a_reason_is_stored_field_by_field():
    row = {"code": "a", "message": "b", "value": "c", "limit": "d", "remedy": "e"}

    assert Reason(**row).as_row() == row
