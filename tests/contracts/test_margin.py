"""Leverage at Bitget: confirmed before an entry leaves, within its limit, and with liquidation beyond the stop. Over a socket."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from dgbot.core.clock import SystemClock
from dgbot.core.types import Mode
from risk.models import AccountLimits, RiskProfile
from risk.seeds import create_profiles
from tests import factories
from tests.factories import World, execute
from tests.fakes.bitget.server import FakeBitget
from tests.fakes.core.faults import html
from trading.domain.stages import Collected, Outcome
from trading.exchanges import bitget
from trading.exchanges.keys import ApiKey
from trading.exchanges.venue import Venue
from trading.models import Decision, ExchangeAccount, MarginSetting, Order, Position
from trading.models.accounts import ExchangeName
from trading.selectors.limits import usage_of
from trading.services import config, gateway, krw_rates, margins
from trading.services.stages import execution, readings
from trading.services.stages.context import Context

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(transaction=True, databases=["default", "venue"])]

D = Decimal
ETH = "ETH/USDT:USDT"
ASK = D("3000.5")


@pytest.fixture
def fake() -> Iterator[FakeBitget]:
    """ETH at about 3,000 USDT, one account with 1,000."""
    with FakeBitget() as made:
        made.open_market("ETHUSDT", price=3_000)
        made.strangers_trade("ETHUSDT", count=1)
        yield made
        assert made.disagreements() == []


@pytest.fixture
def w(fake: FakeBitget, settings: Any) -> World:
    """A live bot that would buy for 300 USDT, and its gateway. Leverage up to 3, stop 5 % below."""
    settings.ENTRY_PERMIT_S = 30.0
    create_profiles()
    config.create_missing(
        {"bot_status": {"enabled": True}, "target_symbols": {"symbols": [ETH]}, "max_trade_amount_krw": {"amount": 10**8}}
    )
    RiskProfile.objects.update(leverage_limit=3, account_exposure_fraction=3, symbol_exposure_fraction=3, group_exposure_fraction=3)
    known = fake.add_account(usdt=1_000)
    key = ApiKey(known.key, known.secret, known.passphrase)
    home = ExchangeAccount.objects.create(
        user=factories.user(), name="bitget", mode=Mode.LIVE.value, exchange=ExchangeName.BITGET, quote_currency="USDT"
    )
    bot = factories.bot(home=home, symbol=ETH, allocation=D(1_000), trade_amount=D(300))
    krw_rates.KrwRate.objects.create(
        currency="USDT", krw_per_unit=1_400, source="test", known_at=factories.SLOT, recorded_at=factories.SLOT
    )
    execute("UPDATE krw_rates SET recorded_at = clock_timestamp()")
    clock = SystemClock()
    exchange = bitget.connect(url=fake.url, key=key)
    venue = Venue(mode=Mode.LIVE, clock=clock, exchange=exchange, history=None, rates=krw_rates.StoredRates())  # type: ignore[arg-type]
    tenure = gateway.take_account(home.pk)
    assert tenure is not None
    gateway.record_balances(account_id=home.pk, venue=venue, tenure=tenure)
    return World(bot=bot, quotes=None, clock=clock, edge=exchange, venue=venue, tenure=tenure)  # type: ignore[arg-type]


def enter(w: World) -> tuple[Order | None, Outcome]:
    """Execution plans a buy at the best ask."""
    now = w.venue.clock.now()
    with transaction.atomic():
        bot = type(w.bot).objects.select_related("risk_profile", "limits", "account", "account__limits").get(pk=w.bot.pk)
        cycle = factories.cycle(bot, slot=now)
        context = Context(cycle=cycle, bot=bot, venue=w.venue, readings=readings.read([bot]), now=now, lease_epoch=1)
        decision = Decision(decision="buy", verdict={"is_valid": True}, proposal={"plan": {}})
        book = w.venue.exchange.order_book(ETH)
        collected = Collected(candles=None, ticker=None, book=book, balances={}, unknown=(), known_at=now)
        return execution.execute(context, decision=decision, risk_exit=None, collected=collected)


def send(w: World, order: Order | None) -> Order:
    """The gateway sends it and books what became of it."""
    assert order is not None
    for _ in range(2):
        gateway.settle_and_send(account_id=w.bot.account_id, venue=w.venue, tenure=w.tenure, is_hurried=True)
    order.refresh_from_db()
    return order


def profile(**values: Any) -> None:
    RiskProfile.objects.filter(name="medium").update(**values)


def test_an_entry_leaves_in_whole_lots_under_a_leverage_the_exchange_has_confirmed(w: World, fake: FakeBitget) -> None:
    order = send(w, enter(w)[0])

    assert (order.status, order.quote_amount, order.amount) == ("filled", None, D("0.09")), order.error_message
    assert MarginSetting.objects.get().leverage == 3
    (account,) = fake.accounts.values()
    assert fake._leverage_of(account.name, "ETHUSDT") == 3
    assert Position.objects.get().amount == D("0.09")


def test_the_pages_bar_tells_how_much_gap_there_is(w: World) -> None:
    send(w, enter(w)[0])

    told = {usage.code: usage for usage in usage_of(w.bot.pk, settings=config.current(), now=w.venue.clock.now())}

    gap = told["liquidation_gap"]
    assert gap.value == D("0.01") and gap.limit is not None and D("0.27") < gap.limit < D("0.29"), "5 % to the stop, a third to the end"
    MarginSetting.objects.all().delete()
    assert told["liquidation_gap"].fraction is not None
    again = {usage.code: usage for usage in usage_of(w.bot.pk, settings=config.current(), now=w.venue.clock.now())}
    assert again["liquidation_gap"].fraction is None


@pytest.mark.parametrize(
    ("changes", "is_refused"),
    [
        ({"leverage_limit": 15}, False),
        ({"leverage_limit": 17}, True),
        ({"leverage_limit": 15, "liquidation_gap_fraction": D("0.02")}, True),
    ],
)
def test_liquidation_must_lie_beyond_the_stop_by_the_gap(w: World, changes: dict[str, Any], is_refused: bool) -> None:
    profile(**changes)

    order, outcome = enter(w)

    assert (order is None) is is_refused
    assert ("liquidation_before_stop" in [reason.code for reason in outcome.reasons]) is is_refused


def test_a_leverage_that_is_not_confirmed_sends_nothing(w: World, fake: FakeBitget) -> None:
    order, _outcome = enter(w)
    fake.server.faults.set("POST /api/v2/mix/account/set-leverage", html(502))

    order = send(w, order)

    assert order.status == "denied" and "has not confirmed the leverage" in order.error_message
    assert MarginSetting.objects.get().cause != ""
    assert not fake.server.requests("POST /api/v2/mix/order/place-order")


def test_an_old_confirmation_says_nothing(w: World) -> None:
    send(w, enter(w)[0])
    assert margins.confirmed(w.bot.account_id, ETH) == 3

    execute("UPDATE margin_settings SET asked_at = asked_at - interval '61 seconds'")

    assert margins.confirmed(w.bot.account_id, ETH) is None


def test_a_leverage_limit_tightened_after_planning_denies_the_entry(w: World) -> None:
    order, _outcome = enter(w)
    AccountLimits.objects.create(account=w.bot.account, leverage_limit=2)

    order = send(w, order)

    assert order.status == "denied" and "The leverage is 3; the limit is 2" in order.error_message


def test_tiers_that_are_not_told_leave_liquidation_unknown(w: World, fake: FakeBitget) -> None:
    fake.server.faults.set("GET /api/v2/mix/market/query-position-lever", html(502))

    order, outcome = enter(w)

    assert order is None and [reason.code for reason in outcome.reasons] == ["maintenance_unknown"]


def test_leverage_lets_cash_buy_more_than_itself_and_no_more_than_the_limit(w: World) -> None:
    type(w.bot).objects.update(allocation=10_000, trade_amount=10_000)
    profile(position_fraction=1, leverage_limit=2, slippage_limit=1)

    order, _outcome = enter(w)

    assert order is not None and order.amount is not None
    assert D(1_900) < order.amount * ASK <= D(2_000)


def test_less_than_a_lot_is_refused_with_the_least(w: World) -> None:
    type(w.bot).objects.update(trade_amount=20)

    order, outcome = enter(w)

    assert order is None and ("below_minimum", "30.005") in [(reason.code, reason.limit) for reason in outcome.reasons]
