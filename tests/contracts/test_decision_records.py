"""A stored decision is made again from what is stored, to the byte and without network; any changed byte shows."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from backtests.strategies.base import NO, UNKNOWN
from backtests.strategies.registry import STRATEGIES
from dgbot.core.errors import BadInput
from risk.models import RiskProfile
from tests import factories
from tests.contracts.test_analyst import analyst, asking_world, run
from tests.factories import SLOT, World, eager_strategy, execute, planned_entry, triggers_off, world
from tests.fakes.openai import FakeOpenAI, Refused, Said, decision
from trading.models import Analyst, AnalystCall, Decision
from trading.selectors import scorecards
from trading.services import analysts, decision_records
from trading.services.stages import quick_filter

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])
D = Decimal


@pytest.fixture
def fake(settings: Any) -> Iterator[FakeOpenAI]:
    """An endpoint, and settings that point to it."""
    with FakeOpenAI() as made:
        settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = made.url, "sk-fake"
        yield made


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy that buys at every close is known by name."""
    monkeypatch.setitem(STRATEGIES, "eager", eager_strategy())


def again(w: World, made: Decision) -> decision_records.Replayed:
    """The decision as the database holds it, made again."""
    quick_filter.forget()
    stored = Decision.objects.select_related("call__prompt").get(pk=made.pk)
    return decision_records.replay(stored, lambda _symbol, _interval: w.quotes.recording)


def bought() -> World:
    return world(strategy="eager")


def filtered() -> World:
    return world(strategy="eager", filter_mode="blocks")


def overbought() -> World:
    return world(strategy="eager", candles=factories.rising())


def holding() -> World:
    w = world(strategy="eager", candles=factories.choppy(factories.BARS + 40))
    w.fill(planned_entry(w.bot, slot=SLOT - factories.timedelta(hours=1)))
    return w


def silent() -> World:
    STRATEGIES["eager"] = eager_strategy(entry=UNKNOWN)
    return bought()


def resting() -> World:
    STRATEGIES["eager"] = eager_strategy(entry=NO)
    return bought()


def without_minutes() -> World:
    w = bought()
    RiskProfile.objects.update(flash_crash_fraction=D("0.03"))
    return w


@pytest.mark.parametrize("case", [bought, filtered, overbought, holding, silent, resting, without_minutes])
def test_what_the_rules_decided_comes_out_the_same(case: Callable[[], World]) -> None:
    w = case()
    made = run(w, hours=30 if case is holding else 0)  # the time-out of a position that goes nowhere

    replayed = again(w, made)
    assert replayed.is_equal, replayed.differing
    assert replayed.again.hash == made.hash


@pytest.mark.parametrize("script", [Said(decision()), Said(decision(decision="hold")), Said("nonsense"), Refused()])
def test_what_a_model_decided_comes_out_the_same_without_it(fake: FakeOpenAI, settings: Any, script: Any) -> None:
    analyst()
    fake.script.append(script)
    w = asking_world(candles=factories.choppy(300))
    made = run(w)
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = "http://127.0.0.1:9/v1", ""

    replayed = again(w, made)
    assert replayed.is_equal, replayed.differing
    assert len(fake.requests) == 1


def test_an_answer_that_was_never_sought_comes_out_the_same(settings: Any) -> None:
    settings.OPENAI_API_KEY = ""
    analyst()
    w = asking_world()

    assert again(w, run(w)).is_equal


TAMPERED = (
    "UPDATE ai_decisions SET reason = reason || ' '",
    "UPDATE ai_decisions SET confidence = 99",
    "UPDATE ai_decisions SET candle_count = candle_count - 1",
    "UPDATE ai_decisions SET market_data = jsonb_set(market_data, '{price}', '\"1\"')",
    "UPDATE ai_decisions SET inputs = jsonb_set(inputs, '{known_at}', '\"2020-01-01T00:00:00+00:00\"')",
    "UPDATE ai_decisions SET verdict = jsonb_set(verdict, '{is_valid}', 'false')",
    "UPDATE ai_decisions SET previous_hash = 'ff'",
    "UPDATE ai_decisions SET hash = repeat('0', 64)",
    "UPDATE ai_decisions SET answer = jsonb_set(answer, '{probability}', '\"0.9\"')",
    "UPDATE analyst_calls SET raw_answer = raw_answer || ' '",
    "UPDATE analyst_calls SET messages = '[]'",
    "UPDATE analyst_calls SET output_tokens = output_tokens + 1",
)


@pytest.mark.parametrize("statement", TAMPERED)
def test_a_changed_byte_shows(fake: FakeOpenAI, statement: str) -> None:
    analyst()
    w = asking_world()
    made = run(w)
    with triggers_off():
        execute(statement)

    assert not again(w, made).is_equal
    assert decision_records.tampered_in(Decision.objects.all())


def test_a_row_cut_out_of_the_chain_shows() -> None:
    w = world(strategy="eager", candles=factories.choppy(factories.BARS + 10))
    for hours in range(3):
        run(w, hours=hours)
        execute("UPDATE risk_states SET last_trade_time = NULL")
        w.gateway_step()
    assert decision_records.tampered_in(Decision.objects.all()) == []
    with triggers_off():
        execute("DELETE FROM ai_decisions WHERE id = %s", Decision.objects.order_by("pk")[1].pk)

    (told,) = decision_records.tampered_in(Decision.objects.all())
    assert "does not follow" in told


def test_candles_that_were_corrected_since_are_told() -> None:
    w = bought()
    made = run(w)
    changed = factories.choppy(price=float(factories.PRICE) + 1)

    with pytest.raises(BadInput, match="not those of the decision"):
        decision_records.replay(Decision.objects.get(pk=made.pk), lambda _symbol, _interval: changed)


def test_another_model_and_prompt_are_asked_about_the_same_facts(fake: FakeOpenAI) -> None:
    analyst()
    w = asking_world()
    made = run(w)
    fake.script.append(Said(decision(decision="hold", probability=0.9)))
    other = analysts.create_prompt(name="test", system="Judge twice.")

    told = decision_records.what_if(made, lambda _symbol, _interval: w.quotes.recording, model="other", prompt=other)
    then, now = fake.requests
    assert told.answer.decision == "hold" and now["model"] == "other" and now["messages"][0]["content"].startswith("Judge twice.")
    assert then["messages"][1] == now["messages"][1], "the very same facts"
    assert Decision.objects.get().decision == "buy" and AnalystCall.objects.filter(purpose="what_if").count() == 1
    assert Analyst.objects.get().model == "gpt-test"


def test_a_forecast_is_resolved_by_the_close_at_its_horizon(fake: FakeOpenAI) -> None:
    analyst()
    candles = factories.choppy(factories.BARS + 40)
    run(asking_world(candles=candles))
    rows, day = Decision.objects.select_related("bot__account", "call__prompt"), factories.timedelta(hours=24)

    found = scorecards.resolve(rows, lambda *_: candles, now=SLOT + day)
    (told,) = found.forecasts
    begin = factories.BARS - 1
    assert (told.probability, told.rose) == (0.72, bool(candles.close[begin + 24] > candles.close[begin])) and told.group == "gpt-test"
    assert scorecards.resolve(rows, lambda *_: candles, now=SLOT + day / 2).pending == 1
    assert scorecards.resolve(rows, lambda *_: candles.prefix(factories.BARS + 10), now=SLOT + day).unknown == 1, "its candle is missing"
