"""The KRW–USDT rate: from Upbit's market into a row, from the row into caps of entries and values of accounts. Unknown blocks."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from backtests.strategies.registry import STRATEGIES
from dgbot import env
from dgbot.core.types import Mode, Ticker
from risk.models import RiskProfile
from risk.seeds import create_profiles
from tests import factories
from tests.factories import execute
from tests.fakes.bitget.server import FakeBitget
from tests.fakes.core.faults import html
from tests.fakes.upbit.server import FakeUpbit
from trading import tasks, vault
from trading.models import Bot, ExchangeAccount, KrwRate, Order, PortfolioSnapshot, StageResult
from trading.models.accounts import ExchangeName
from trading.services import config, cycles, krw_rates, snapshots, venues
from trading.services.gateway_loop import Gateway
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import account_key, venue_for

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(transaction=True, databases=["default", "venue"])]

D = Decimal
ETH = "ETH/USDT:USDT"
CAP_KRW = 70_000


@pytest.fixture
def upbit(settings: Any) -> Iterator[FakeUpbit]:
    """Upbit and Bitget on loopback: a USDT costs about 1,400 KRW, an ETH about 3,000 USDT."""
    with FakeUpbit() as upbit, FakeBitget() as bitget:
        upbit.open_market("KRW-USDT", price=1_400)
        upbit.strangers_trade("KRW-USDT", count=1)
        bitget.open_market("ETHUSDT", price=3_000)
        bitget.strangers_trade("ETHUSDT", count=1)
        settings.ENV = env.load({"DGBOT_UPBIT_URL": upbit.url, "DGBOT_BITGET_URL": bitget.url}, dotenv=None)
        venues.public_exchange.cache_clear()
        yield upbit
        venues.public_exchange.cache_clear()


@pytest.fixture
def bot(monkeypatch: pytest.MonkeyPatch) -> Bot:
    """A paper bot at Bitget with 10,000 USDT that would spend 500 of them at every close."""
    monkeypatch.setitem(STRATEGIES, "eager", factories.eager_strategy())
    create_profiles()
    RiskProfile.objects.update(rsi_buy_limit=100)  # the fake's candles only rise
    first = {"bot_status": {"enabled": True}, "target_symbols": {"symbols": [ETH]}, "max_trade_amount_krw": {"amount": CAP_KRW}}
    config.create_missing(first)
    home = ExchangeAccount.objects.create(
        user=factories.user(), name="usdt", mode=Mode.PAPER.value, exchange=ExchangeName.BITGET, quote_currency="USDT"
    )
    DatabaseVenueStore(account_key(home)).open(asset="USDT", amount=D(10_000))
    return factories.bot(home=home, strategy="eager", symbol=ETH, allocation=D(10_000), trade_amount=D(500))


def gateway_turn() -> None:
    loop = Gateway(open_key=vault.open_key)
    loop.turn()
    loop.close()


def run(bot: Bot) -> Order | None:
    """One cycle between two turns of the gateway."""
    gateway_turn()
    venue = venue_for(bot.account)
    cycles.run(bot_id=bot.pk, slot=venue.clock.now(), venue=venue)
    gateway_turn()
    return Order.objects.filter(bot=bot).first()


def grow_old(seconds: float) -> None:
    execute("UPDATE krw_rates SET recorded_at = recorded_at - %s * interval '1 second'", seconds)


def test_an_entry_in_usdt_is_capped_in_krw_through_the_rate(upbit: FakeUpbit, bot: Bot) -> None:
    tasks.refresh_krw_rates()

    order = run(bot)

    row = KrwRate.objects.get()
    assert row.source == "upbit KRW-USDT" and row.krw_per_unit > 1_000
    assert order is not None and order.status == "filled"
    assert order.quote_amount is not None and order.quote_amount < 500
    assert order.quote_amount * row.krw_per_unit <= CAP_KRW < (order.quote_amount + D("0.01")) * row.krw_per_unit


@pytest.mark.parametrize("age_s", [None, krw_rates.GOOD_FOR_S + 1], ids=["never asked", "stale"])
def test_without_a_known_rate_no_entry_in_usdt_is_made(age_s: float | None, upbit: FakeUpbit, bot: Bot) -> None:
    if age_s is not None:
        tasks.refresh_krw_rates()
        grow_old(age_s)

    assert run(bot) is None
    reasons = StageResult.objects.get(stage="execution").reasons
    assert [reason["code"] for reason in reasons] == ["size_unknown"]
    assert "the rate from USDT to KRW is unknown" in reasons[0]["message"]


def test_an_exchange_that_does_not_answer_lets_the_rate_grow_old(upbit: FakeUpbit, bot: Bot) -> None:
    krw_rates.refresh("USDT", quotes=Dollar())  # type: ignore[arg-type]  # of Quotes it needs the ticker alone
    before = KrwRate.objects.get()
    upbit.server.faults.set("GET /v1/ticker", html(502))

    told = tasks.refresh_krw_rates()

    assert told.startswith("USDT unknown: ")
    assert KrwRate.objects.get().recorded_at == before.recorded_at
    assert krw_rates.StoredRates().krw_per("USDT") == before.krw_per_unit


def test_where_nothing_is_real_nobody_is_asked(upbit: FakeUpbit) -> None:
    factories.account(mode=Mode.SIMULATED)

    assert tasks.refresh_krw_rates() == "no account at a real market needs a rate"
    assert not upbit.server.requests("GET /v1/ticker")


def test_only_currencies_with_a_market_have_a_rate(bot: Bot) -> None:
    assert krw_rates.StoredRates().krw_per("KRW") == 1
    assert krw_rates.StoredRates().krw_per("USDT") is None
    assert krw_rates.StoredRates().krw_per("EUR") is None


# --- What accounts are worth ---


class Dollar:
    """A quote of 1,400 KRW."""

    def ticker(self, symbol: str) -> Ticker:
        """See Quotes."""
        return Ticker(symbol=symbol, price=D(1_400), known_at=datetime.now(tz=UTC))


def taken(account: ExchangeAccount) -> PortfolioSnapshot:
    venue = venue_for(account)
    return snapshots.take(account=account, venue=venue, now=venue.clock.now())


def test_an_account_in_usdt_is_worth_both_currencies_while_the_rate_is_known(upbit: FakeUpbit, bot: Bot) -> None:
    gateway_turn()
    krw_rates.refresh("USDT", quotes=Dollar())  # type: ignore[arg-type]

    known = taken(bot.account)
    grow_old(krw_rates.GOOD_FOR_S + 1)
    unknown = taken(bot.account)

    assert (known.total_value_krw, known.total_value_usd, known.cause) == (D(14_000_000), D(10_000), "")
    assert (unknown.total_value_krw, unknown.total_value_usd, unknown.cause) == (None, D(10_000), "the KRW–USD rate is not known")


def test_a_holding_is_told_in_krw(upbit: FakeUpbit, bot: Bot) -> None:
    krw_rates.refresh("USDT", quotes=Dollar())  # type: ignore[arg-type]
    order = run(bot)
    assert order is not None

    known = taken(bot.account)

    price = venue_for(bot.account).exchange.ticker(ETH).price
    assert D(known.positions[ETH]["value_krw"]) == (order.filled_amount * price * 1_400).quantize(D("0.01"))
    assert known.total_value_krw is not None and known.total_value_usd is not None
    assert abs(known.total_value_krw - known.total_value_usd * 1_400) <= 14  # of rounding to a cent


def test_an_account_in_krw_is_worth_dollars_while_the_rate_is_known(upbit: FakeUpbit) -> None:
    home = factories.account(mode=Mode.PAPER)
    DatabaseVenueStore(account_key(home)).open(asset="KRW", amount=D(1_400_000))
    gateway_turn()
    krw_rates.refresh("USDT", quotes=Dollar())  # type: ignore[arg-type]

    known = taken(home)
    grow_old(krw_rates.GOOD_FOR_S + 1)
    unknown = taken(home)

    assert (known.total_value_krw, known.total_value_usd, known.cause) == (D(1_400_000), D(1_000), "")
    assert (unknown.total_value_krw, unknown.total_value_usd) == (D(1_400_000), None)
