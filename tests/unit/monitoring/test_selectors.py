"""What the dashboard is told: one's own rows, nothing hidden, unknown with its cause, in a fixed number of queries."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dgbot.accounts import roles
from dgbot.core.types import Mode
from monitoring import selectors
from risk.models import RiskEvent, RiskState
from risk.seeds import create_profiles
from tests import face_rows as rows
from trading.models import Bot
from trading.services import config

pytestmark = pytest.mark.django_db
MOST_QUERIES = 22


def test_a_user_sees_only_own_rows() -> None:
    mine, other = rows.user(), rows.user()
    rows.trade(rows.bot(other, name="theirs"))
    rows.trade(rows.bot(mine, name="mine"))

    told = selectors.snapshot(mine)

    assert [bot["name"] for bot in told["bots"]] == ["mine"]
    assert [trade["bot"] for trade in told["trades"]] == ["mine"]
    assert len(told["accounts"]) == 1


def test_a_risk_manager_sees_all_owners() -> None:
    rows.bot(rows.user())
    rows.bot(rows.user())

    assert len(selectors.snapshot(rows.user(role=roles.RISK_MANAGER))["bots"]) == 2


def test_replays_are_left_out() -> None:
    owner = rows.user()
    hidden = rows.account(owner, mode=Mode.REPLAY, is_hidden=True)
    bot = rows.bot(owner, within=hidden)
    rows.decision(rows.cycle(bot))
    rows.snapshot(hidden)
    trade, position = rows.trade(bot), rows.position(bot)

    told = selectors.snapshot(owner)

    assert [told[name] for name in ("bots", "positions", "decisions", "trades", "accounts")] == [[], [], [], [], []]
    assert selectors.recorded_trade(trade.pk) is None
    assert selectors.changed_position(position.pk) is None
    assert selectors.changed_bot(bot.pk) is None


def test_newest_cycle_shows_its_stages_in_order() -> None:
    bot = rows.bot(rows.user())
    rows.cycle(bot)
    rows.cycle(bot, slot=rows.T0 + timedelta(hours=1), stages=2)

    (card,) = selectors.snapshot(bot.user)["bots"]

    assert card["cycle"] is not None
    assert [stage["stage"] for stage in card["cycle"]["stages"]] == ["risk_check", "data_collection"]
    assert card["cycle"]["stages"][0]["reasons"][0]["limit"] == "10 %"


def test_unrealised_profit_follows_the_last_valuation() -> None:
    bot = rows.bot(rows.user())
    rows.position(bot, entry="100000000", amount="0.0005")
    rows.snapshot(bot.account, at=rows.T0 + timedelta(hours=1), positions={"KRW-BTC": {"amount": "0.001", "value_krw": "102000"}})

    (card,) = selectors.snapshot(bot.user)["positions"]

    assert (card["price"], card["unrealised"], card["unrealised_rate"]) == ("102000000", "1000", "0.02")


@pytest.mark.parametrize(
    ("hours", "positions", "cause"),
    [
        (-1, {"KRW-BTC": {"amount": "1", "value_krw": "1"}}, "valued_before_opening"),
        (1, {}, "no price since 09:12"),
        (1, {"KRW-BTC": {"amount": "x", "value_krw": "1"}}, "not_readable"),
    ],
)
def test_unknown_profit_is_told_with_its_cause(hours: int, positions: dict[str, dict[str, str]], cause: str) -> None:
    bot = rows.bot(rows.user())
    rows.position(bot)
    rows.snapshot(bot.account, at=rows.T0 + timedelta(hours=hours), value=None, positions=positions, cause="no price since 09:12")

    (card,) = selectors.snapshot(bot.user)["positions"]

    assert (card["unrealised"], card["cause"]) == (None, cause)


def test_unknown_value_is_a_gap_with_its_cause() -> None:
    bot = rows.bot(rows.user())
    rows.snapshot(bot.account, value=None, cause="rate unknown")

    (account,) = selectors.snapshot(bot.user)["accounts"]

    assert account["points"] == [{"at": "2026-01-05T03:00:00.000Z", "value": None, "cause": "rate unknown"}]


def test_snapshot_costs_a_fixed_number_of_queries() -> None:
    owner = rows.user()
    counts = []
    for _ in range(3):
        bot = rows.bot(owner)
        rows.decision(rows.cycle(bot))
        rows.position(bot)
        rows.trade(bot)
        rows.snapshot(bot.account)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            selectors.snapshot(type(owner).objects.get(pk=owner.pk))
        counts.append(len(queries))

    assert Bot.objects.count() == 3
    assert len(set(counts)) == 1
    assert counts[0] <= MOST_QUERIES


def test_the_limit_used_most_is_told_with_each_bot() -> None:
    create_profiles()
    config.create_missing()
    bot = rows.bot(rows.user(), allocation=D(1_000_000))
    today = {"trading_day": rows.T0.date(), "updated_at": rows.T0, "daily_trade_count": 4}
    RiskState.objects.create(bot=bot, account=bot.account, user=bot.user, mode=bot.mode, **today)

    (card,) = selectors.snapshot(bot.user)["bots"]

    assert card["limit"] is not None
    assert (card["limit"]["code"], card["limit"]["fraction"]) == ("daily_count", "0.8000")
    assert selectors.snapshot(rows.user())["bots"] == []


def test_a_limit_that_acted_is_told_to_its_owner_only() -> None:
    bot = rows.bot(rows.user())
    told = {"code": "daily_loss", "message": "lost too much", "actor": "risk", "created_at": rows.T0}
    RiskEvent.objects.create(bot=bot, account=bot.account, user=bot.user, **told)

    assert [alarm["message"] for alarm in selectors.snapshot(bot.user)["alarms"]] == ["lost too much"]
    assert selectors.snapshot(rows.user())["alarms"] == []
