"""Settings: obeyed by the very next cycle and by the gateway, explained, reverted, and never read half-changed."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backtests.strategies.registry import STRATEGIES
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from risk.models import RiskProfile
from tests import factories
from tests.factories import AMOUNT, SLOT, D, Thread, World, eager_strategy, planned_entry, world
from tests.scale import scale
from trading import seeds
from trading.domain.config import RISK_LEVELS, cap_in
from trading.domain.lifecycle import Status
from trading.models import BotConfig, ConfigVersion, Cycle, Order, StageResult
from trading.selectors import effective
from trading.services import config, cycles

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A strategy that always proposes."""
    monkeypatch.setitem(STRATEGIES, "eager", eager_strategy())
    seeds.create_settings()
    seeds.create_schedules()
    yield


def change(w: World, key: str, **value: Any) -> None:
    config.change(key=key, value=value, by=w.bot.user, reason="test")


def run_and_send(w: World) -> Order | None:
    """One cycle and the gateway after it; the order as the exchange left it."""
    cycles.run(bot_id=w.bot.pk, slot=SLOT, venue=w.venue)
    w.gateway_step()
    return Order.objects.filter(bot=w.bot).order_by("-pk").first()


def risk_check() -> StageResult:
    return StageResult.objects.get(stage="risk_check")


def eager_world(mode: Mode = Mode.SIMULATED) -> World:
    BotConfig.objects.filter(key="bot_status").update(value={"enabled": True})
    return world(mode=mode, strategy="eager")


def test_without_an_edit_the_bot_buys() -> None:
    order = run_and_send(eager_world())
    assert order is not None and (order.status, order.quote_amount) == (Status.FILLED, AMOUNT)


def test_bot_status_off_is_obeyed_by_the_next_cycle() -> None:
    w = eager_world(Mode.PAPER)
    change(w, "bot_status", enabled=False)

    assert run_and_send(w) is None and "bot_status" in str(risk_check().reasons)


def test_a_removed_symbol_is_obeyed_by_the_next_cycle() -> None:
    w = eager_world()
    change(w, "target_symbols", symbols=["KRW-ETH"])

    assert run_and_send(w) is None and "not among the target symbols" in str(risk_check().reasons)


def test_a_lower_amount_is_obeyed_by_the_next_cycle() -> None:
    w = eager_world()
    change(w, "max_trade_amount_krw", amount=20_000)

    order = run_and_send(w)
    assert order is not None and (order.status, order.quote_amount) == (Status.FILLED, D(20_000))


@pytest.mark.parametrize("level", sorted(RISK_LEVELS))
def test_the_risk_level_is_obeyed_by_the_next_cycle(level: str) -> None:
    w = eager_world()
    RiskProfile.objects.update(divergence_limit=None)  # which few candles leave unknown
    change(w, "risk_level", level=level)

    order = run_and_send(w)
    profile = RiskProfile.objects.get(name=RISK_LEVELS[level], user=None)
    assert risk_check().data["risk_profile"] == profile.name
    assert order is not None, StageResult.objects.get(stage="analysis").reasons
    assert D(order.plan["stop_fraction"]) == profile.stop_fraction


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda w: change(w, "bot_status", enabled=False), "bot_status is off"),
        (lambda w: change(w, "target_symbols", symbols=["KRW-ETH"]), "not among the target symbols"),
        (lambda w: change(w, "max_trade_amount_krw", amount=20_000), "is over the 20000 KRW"),
        (lambda _w: BotConfig.objects.filter(key="risk_level").delete(), "settings risk_level are missing"),
    ],
    ids=["bot_status", "target_symbols", "max_trade_amount_krw", "settings unknown"],
)
def test_an_entry_planned_before_the_edit_does_not_leave_after_it(edit: Callable[[World], object], says: str) -> None:
    w = eager_world(Mode.PAPER)
    order = planned_entry(w.bot)
    edit(w)

    assert w.fill(order).status == Status.DENIED and says in order.error_message


@pytest.mark.parametrize(("rate", "cap"), [(D(1_400), D(1_000_000) / 1_400), (None, None), (D(0), None), (D("NaN"), None)])
def test_a_cap_in_krw_reaches_other_currencies_through_their_rate_or_not_at_all(rate: Any, cap: Any) -> None:
    assert cap_in("USDT", cap_krw=D(1_000_000), krw_per_unit=rate) == cap
    assert cap_in("KRW", cap_krw=D(1_000_000), krw_per_unit=rate) == D(1_000_000)


# --- Explained and reverted ---


def test_a_change_can_be_reverted_and_both_stay_on_record() -> None:
    w = eager_world()
    change(w, "max_trade_amount_krw", amount=20_000)
    version = ConfigVersion.objects.latest("pk")

    config.revert(version_pk=version.pk, by=w.bot.user, reason="too low")

    assert config.current().max_trade_amount_krw == D(1_000_000)
    last = ConfigVersion.objects.latest("pk")
    assert (last.before, last.after, last.reason) == ({"amount": 20_000}, {"amount": 1_000_000}, "too low")


def test_a_first_value_cannot_be_reverted() -> None:
    with pytest.raises(BadInput, match="there is none before it"):
        config.revert(version_pk=ConfigVersion.objects.earliest("pk").pk, by=factories.user(), reason="x")


def test_each_effective_value_names_its_origin() -> None:
    w = eager_world(Mode.PAPER)
    change(w, "max_trade_amount_krw", amount=20_000)
    change(w, "bot_status", enabled=False)
    change(w, "risk_level", level="low")

    rows = {row.name: (row.value, row.origin) for row in effective.for_bot(w.bot, settings=config.current())}

    assert rows["Entries"] == ("blocked", "bot_config: bot_status")
    assert rows["Most per entry (KRW)"] == ("20000", "bot_config: max_trade_amount_krw")
    assert rows["Risk profile"] == ("conservative", "bot_config: risk_level low")
    origins = effective.of_settings()
    assert w.bot.user.username in origins["risk_level"] and origins["target_symbols"] == "code: the first value"


# --- Never half-changed ---


def test_no_reading_is_a_mixture_of_two_states() -> None:
    edits, by = scale(sample=120, full=1000), factories.user()
    values: dict[str, list[dict[str, Any]]] = {
        "bot_status": [{"enabled": True}, {"enabled": False}],
        "max_trade_amount_krw": [{"amount": amount} for amount in range(10_000, 20_000, 1_000)],
        "risk_level": [{"level": level} for level in RISK_LEVELS],
        "target_symbols": [{"symbols": ["KRW-BTC"]}, {"symbols": ["KRW-ETH"]}, {"symbols": ["KRW-BTC", "KRW-ETH"]}],
        "trading_interval_minutes": [{"minutes": minutes} for minutes in (10, 15, 30, 60)],
    }
    first = {row.key: row.value for row in BotConfig.objects.all()}
    is_over: list[bool] = []

    def write(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(edits // 4):
            key = draw.choice(sorted(values))
            config.change(key=key, value=draw.choice(values[key]), by=by, reason="random")

    def read() -> list[tuple[int | None, Any]]:
        found = []
        while not is_over:
            reading = config.current()
            found.append((reading.version, reading))
        return found

    readers = [Thread(read) for _ in range(2)]
    for writer in [Thread(lambda seed=seed: write(seed)) for seed in range(4)]:
        writer.join(120)
        writer.join_or_fail()
    is_over.append(True)
    readings = [reading for reader in readers for reading in reader.join_or_fail()]

    states, state = {}, dict(first)
    for version in ConfigVersion.objects.order_by("pk"):
        state = {**state, version.key: version.after}
        states[version.pk] = state
    assert len(readings) > 10
    for pk, reading in readings:
        then = states[pk]
        assert reading.enabled == then["bot_status"]["enabled"]
        assert reading.max_trade_amount_krw == D(then["max_trade_amount_krw"]["amount"])
        assert (reading.risk_level, reading.interval_minutes) == (then["risk_level"]["level"], then["trading_interval_minutes"]["minutes"])
        assert list(reading.target_symbols) == then["target_symbols"]["symbols"]


def test_a_cycle_records_the_version_it_obeyed() -> None:
    w = eager_world()
    change(w, "risk_level", level="high")
    run_and_send(w)

    assert Cycle.objects.get().config_version_id == ConfigVersion.objects.latest("pk").pk
