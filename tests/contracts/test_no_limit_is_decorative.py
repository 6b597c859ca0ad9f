"""Every number an operator can set in a profile, in an account's hard limits or in a bot's own changes what the real path does.

Each is flipped alone, in a scene where it matters, and one whole cycle runs through gateway and exchange. A column that is added
without a scene here fails the suite.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from backtests.candles.series import Candles
from backtests.strategies.registry import STRATEGIES
from dgbot.core.types import Level
from risk import services as risk
from risk.domain.limits import NAMES, EffectiveLimits
from risk.domain.sizing import SizingMode
from risk.models import AccountLimits, BotLimits, RiskProfile, RiskState
from risk.services import NOT_LIMITS, Observation, Owner
from tests import factories
from tests.factories import PRICE, SLOT, World, world
from trading.domain.validator import THRESHOLDS
from trading.models import Bot, Order, Position, StageResult
from trading.services import cycles

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

D = Decimal
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SEOUL = "Asia/Seoul"
WIDE = {"account_exposure_fraction": D(3), "symbol_exposure_fraction": D(3), "group_exposure_fraction": D(3), "leverage_limit": D(3)}


def nothing(_world: World) -> None:
    """A bot that may buy, and would."""


def owner(w: World) -> Owner:
    return Owner(account_id=w.bot.account_id, user_id=w.bot.user_id, mode=w.bot.mode)


def seen(w: World, equity: int, *, ago: timedelta) -> None:
    """Somebody looked at the bot before, and it was worth this much."""
    look = Observation(w.bot.pk, "It", equity=D(equity), limit_base=None, limits=EffectiveLimits(), capital=w.bot.allocation)
    risk.observe(owner=owner(w), observations=[look], now=SLOT - ago, zone=SEOUL)


def lost_today(w: World) -> None:
    seen(w, 1_050_000, ago=HOUR)


def lost_this_week(w: World) -> None:
    seen(w, 1_050_000, ago=DAY)


def lost_twice(w: World) -> None:
    seen(w, 1_000_000, ago=HOUR)
    for _ in range(2):
        risk.record_close(account_id=w.bot.account_id, bot_id=w.bot.pk, profit=D(-1))


def entered_before(w: World) -> None:
    risk.record_entry(owner=owner(w), bot_id=w.bot.pk, at=SLOT - 5 * HOUR, zone=SEOUL)


def under_water(w: World) -> None:
    """Another bot's position cost 500,000 and is worth nothing any more; 530,000 are left."""
    factories.position(factories.bot(home=w.bot.account), amount=D("0.005"))


def on_a_thin_book(w: World) -> None:
    """The second half of any order costs half a percent more."""
    w.edge.after["order_book"] = lambda book: replace(book, asks=(Level(PRICE, D("0.00025")), Level(PRICE * D("1.01"), D(1))))


def leaving(w: World) -> None:
    """It holds a position, and its strategy says that it is time to go."""
    STRATEGIES["eager"] = goes()
    w.fill(factories.planned_entry(w.bot, slot=SLOT - HOUR))


def goes() -> Any:
    eager = factories.eager_strategy()

    def signals(candles: Candles, parameters: Any) -> Any:
        return replace(eager.signals(candles, parameters), exit=np.ones(len(candles), np.int8))

    return replace(eager, signals=signals)


@dataclass(frozen=True)
class Flip:
    """One number, from `before` to `after`, where `scene` makes it matter. within: what else the profile says."""

    before: Any
    after: Any
    scene: Callable[[World], None] = nothing
    cash: Decimal = factories.CASH
    within: dict[str, Any] = field(default_factory=dict)


FLIPS: dict[str, Flip] = {
    # --- how much ---
    "sizing_mode": Flip(SizingMode.FIXED.value, SizingMode.EQUITY_FRACTION.value),
    "equity_fraction": Flip(D("0.1"), D("0.2"), within={"sizing_mode": SizingMode.EQUITY_FRACTION.value}),
    "risk_fraction": Flip(D("0.001"), D("0.002"), within={"sizing_mode": SizingMode.RISK_AT_STOP.value}),
    "volatility_fraction": Flip(D("0.0001"), D("0.0002"), within={"sizing_mode": SizingMode.VOLATILITY_TARGET.value}),
    "buy_ratio": Flip(D("0.1"), D("0.2"), within={"sizing_mode": SizingMode.BUY_RATIO.value}),
    "position_fraction": Flip(D("0.3"), D("0.03")),
    "account_exposure_fraction": Flip(D(1), D("0.03")),
    "symbol_exposure_fraction": Flip(D(1), D("0.03")),
    "group_exposure_fraction": Flip(D(1), D("0.03")),
    "leverage_limit": Flip(D(3), D(1), under_water, D(530_000), WIDE),
    # --- where it ends ---
    "stop_fraction": Flip(D("0.05"), D("0.01")),
    "target_fraction": Flip(D("0.10"), D("0.01")),
    "stop_atr_multiple": Flip(None, D(1)),
    "target_atr_multiple": Flip(None, D(1)),
    "trailing_atr_multiple": Flip(None, D(2)),
    "takes_partial_profit": Flip(False, True),
    "first_gain_fraction": Flip(D("0.05"), D("0.04"), within={"takes_partial_profit": True}),
    "first_share": Flip(D("0.5"), D("0.4"), within={"takes_partial_profit": True}),
    "second_gain_fraction": Flip(D("0.10"), D("0.09"), within={"takes_partial_profit": True}),
    "sell_ratio": Flip(D(1), D("0.5"), leaving),
    # --- whether at all ---
    "daily_loss_fraction": Flip(D("0.10"), D("0.04"), lost_today),
    "weekly_loss_fraction": Flip(D("0.15"), D("0.04"), lost_this_week),
    "drawdown_fraction": Flip(D("0.30"), D("0.04"), lost_this_week),
    "loss_streak": Flip(3, 2, lost_twice),
    "spacing": Flip(4 * HOUR, 6 * HOUR, entered_before),
    "entries_per_day": Flip(5, 1, entered_before),
    "slippage_limit": Flip(D("0.01"), D("0.001"), on_a_thin_book),
    "rsi_buy_limit": Flip(D(70), D(10)),
}


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy that would buy at every close."""
    monkeypatch.setitem(STRATEGIES, "eager", factories.eager_strategy())


def what_happens(flip: Flip, *, put: Callable[[Bot], object]) -> dict[str, Any]:
    """One cycle in the flip's scene with its orders filled: everything that was decided, but not the limits it was decided by."""
    w = world(strategy="eager", cash=flip.cash)
    RiskProfile.objects.filter(name="medium").update(**flip.within)
    flip.scene(w)
    put(w.bot)
    cycles.run(bot_id=w.bot.pk, slot=SLOT, venue=w.venue)
    w.gateway_step()
    orders = Order.objects.filter(bot=w.bot, created_at=SLOT).order_by("pk")
    held = Position.objects.open().filter(bot=w.bot).first()
    told = {
        "reasons": [reason["code"] for row in StageResult.objects.filter(cycle__bot=w.bot).order_by("pk") for reason in row.reasons],
        "orders": [(one.status, one.quote_amount, one.amount, _without_limits(one.plan)) for one in orders],
        "position": held and (held.stop_price, held.target_price, held.amount),
        "safe": sorted(RiskState.objects.filter(bot=w.bot, trading_day=SLOT.date()).values_list("safe_mode", flat=True)),
    }
    RiskProfile.objects.update(**{name: RiskProfile._meta.get_field(name).get_default() for name in flip.within})
    return told


def _without_limits(plan: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plan.items() if name not in ("limits", "liquidity")}


@pytest.mark.parametrize("name", FLIPS)
def test_every_number_of_a_profile_changes_what_is_done(name: str) -> None:
    flip = FLIPS[name]

    before, after = (
        what_happens(flip, put=lambda _bot, value=value: RiskProfile.objects.filter(name="medium").update(**{name: value}))  # type: ignore[misc]
        for value in (flip.before, flip.after)
    )

    assert before["orders"] and before != after


@pytest.mark.parametrize("model", [AccountLimits, BotLimits])
@pytest.mark.parametrize("name", NAMES)
def test_every_hard_limit_and_every_own_one_changes_what_is_done(name: str, model: Any) -> None:
    flip = FLIPS[name]

    def put(bot: Bot) -> None:
        model.objects.create(**({"account": bot.account} if model is AccountLimits else {"bot": bot}), **{name: flip.after})

    assert what_happens(flip, put=nothing_put) != what_happens(flip, put=put)


def nothing_put(_bot: Bot) -> None:
    """No own limit."""


def test_no_column_is_without_its_scene() -> None:
    """Elsewhere: the gap is flipped on margin (test_margin), the validator's and the filter's numbers in the tests of Analysis."""
    columns = {item.attname for item in RiskProfile._meta.concrete_fields} - NOT_LIMITS

    elsewhere = {"liquidation_gap_fraction", *(set(THRESHOLDS) - set(NAMES)), *(name for name in columns if name.startswith("filter_"))}
    assert columns == set(FLIPS) | elsewhere
    assert set(NAMES) <= set(FLIPS)
