"""What stands between a bot and its first trade, and between a paper bot and real money: told before anything is started."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from backtests.models import CandleSeries, CandleSync, SyncStatus
from dgbot.accounts.models import AuditEntry
from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.types import Mode
from risk.models import FilterMode, RiskProfile
from risk.seeds import create_profiles
from tests import face_rows as rows
from trading.exchanges import upbit_rules
from trading.models import Bot, Credential
from trading.services import config, markets, preflight, promotion
from trading.services.preflight import Verdict

pytestmark = pytest.mark.django_db(databases=["default", "venue"])


class Listing:
    """A public exchange as the preflight sees it."""

    def __init__(self, *symbols: str) -> None:
        self.symbols = symbols

    def markets(self) -> list[Any]:
        if not self.symbols:
            raise ExchangeUnavailable("it does not answer")
        return [upbit_rules.rules(symbol, machine_now()) for symbol in self.symbols]


@pytest.fixture(autouse=True)
def listing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upbit lists one market; settings and profiles are those of a new installation."""
    monkeypatch.setattr(markets.venues, "public_exchange", lambda _name: Listing("KRW-BTC"))
    markets.forget()
    create_profiles()
    config.create_missing()


def verdicts(bot: Bot) -> dict[str, Verdict]:
    return {check.code: check.verdict for check in preflight.checks(bot)}


def paper_bot(**columns: Any) -> Bot:
    return rows.bot(rows.user(), mode=Mode.PAPER, **columns)


def candles(bot: Bot, *, days: int) -> CandleSeries:
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    return CandleSeries.objects.create(
        exchange="upbit",
        symbol=bot.symbol,
        interval=bot.interval,
        path="x",
        rows=24 * days,
        first_opened_at=now - timedelta(days=days),
        last_opened_at=now - timedelta(hours=1),
        gap_count=0,
        missing_count=0,
        content_sha256="0" * 64,
        source_name="test",
    )


def test_a_new_paper_bot_is_told_everything_that_blocks_it() -> None:
    found = verdicts(paper_bot())

    assert found["switch"] == found["candles"] == found["processes"] == Verdict.BLOCKS
    assert found["mode"] == found["symbols"] == found["kill"] == found["market"] == found["analyst"] == Verdict.GOOD
    assert found["schedule"] == Verdict.NOTE
    assert found["cash"] == Verdict.UNKNOWN


@pytest.mark.parametrize(("days", "verdict"), [(740, Verdict.GOOD), (100, Verdict.BLOCKS)])
def test_the_quick_filter_asks_for_two_years(days: int, verdict: Verdict) -> None:
    bot = paper_bot()
    candles(bot, days=days)

    assert verdicts(bot)["candles"] == verdict


def test_an_exchange_that_has_no_older_candles_is_not_asked_for_ever() -> None:
    bot = paper_bot()
    candles(bot, days=100)
    since, until = preflight.first_candle_wanted(interval=preflight.Interval(bot.interval), now=machine_now()), machine_now()
    done = {"status": SyncStatus.DONE, "since": since, "until": until, "finished_at": until}
    CandleSync.objects.create(exchange="upbit", symbol=bot.symbol, interval=bot.interval, **done)

    assert verdicts(bot)["candles"] == Verdict.NOTE


def test_a_filter_that_is_only_shown_does_not_wait_for_candles() -> None:
    RiskProfile.objects.update(filter_mode=FilterMode.SHOWS)

    assert verdicts(paper_bot())["candles"] == Verdict.NOTE


def test_a_download_that_runs_shows_how_far_it_is() -> None:
    bot = paper_bot()
    running = {"status": SyncStatus.RUNNING, "until": machine_now(), "windows_done": 3, "windows_total": 92}
    CandleSync.objects.create(exchange="upbit", symbol=bot.symbol, interval=bot.interval, **running)

    (check,) = [check for check in preflight.checks(bot) if check.code == "candles"]
    assert check.progress == preflight.Progress(done=3, total=92)


def test_an_amount_under_the_minimum_is_refused_with_both_figures() -> None:
    (check,) = [check for check in preflight.checks(paper_bot(trade_amount=1000)) if check.code == "market"]

    assert check.verdict == Verdict.BLOCKS
    assert "1,000 KRW" in check.message and "5,000 KRW" in check.message


def test_an_unlisted_symbol_and_a_silent_exchange_are_two_things(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdicts(paper_bot(symbol="KRW-NONE"))["market"] == Verdict.BLOCKS
    monkeypatch.setattr(markets.venues, "public_exchange", lambda _name: Listing())
    markets.forget()

    assert verdicts(paper_bot())["market"] == Verdict.UNKNOWN


def test_a_simulated_bot_needs_neither_switch_nor_candles() -> None:
    assert not {"switch", "symbols", "candles", "market", "key"} & set(verdicts(rows.bot(rows.user())))


def test_a_live_bot_needs_a_key_that_was_checked() -> None:
    bot = rows.bot(rows.user(), mode=Mode.LIVE)
    assert verdicts(bot)["key"] == Verdict.BLOCKS

    key = {"sealed": b"x", "sealed_with": "k", "shown": "…abcd", "sealed_at": machine_now(), "checked_at": machine_now()}
    Credential.objects.create(account=bot.account, status="verified", can_trade=True, can_withdraw=False, is_ip_locked=True, **key)
    assert verdicts(bot)["key"] == Verdict.GOOD


def test_a_clone_stands_still_beside_the_first(client: Client) -> None:
    bot = rows.bot(rows.user(), name="alpha", parameters={"trend_bars": 30}, is_running=True, status="running")
    client.force_login(bot.user)

    client.post(reverse("clone_bot", args=[bot.pk]))

    made = Bot.objects.exclude(pk=bot.pk).get()
    assert (made.name, made.parameters, made.is_running, made.account_id) == ("alpha 2", {"trend_bars": 30}, False, bot.account_id)
    assert AuditEntry.objects.latest("pk").action == "clone bot"


def promoted(bot: Bot, **changes: Any) -> Bot:
    given = {"account": rows.account(bot.user, mode=Mode.LIVE), "name": "real", "by": bot.user, "reason": "it has proven itself"}
    return promotion.promote(bot, second_factor=True, **{**given, **changes})


def test_promotion_tells_everything_that_forbids_it_and_makes_nothing() -> None:
    bot = paper_bot()

    with pytest.raises(BadInput) as refused:
        promoted(bot)

    for cause in ("DGBOT_LIVE_TRADING is off", "not run one cycle", "never compared", "no hard limits", "no key"):
        assert cause in str(refused.value)
    assert Bot.objects.count() == 1


def test_promotion_makes_a_new_bot_and_leaves_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = paper_bot(name="alpha", parameters={"trend_bars": 30}, is_running=True, status="running")
    monkeypatch.setattr(promotion, "checklist", lambda *_, **__: ())

    made = promoted(bot)

    bot.refresh_from_db()
    assert (made.mode, made.parameters, made.is_running, made.name) == (Mode.LIVE, {"trend_bars": 30}, False, "real")
    assert (bot.mode, bot.is_running) == (Mode.PAPER, True)
    assert AuditEntry.objects.latest("pk").diff["promoted_from"] == [None, bot.pk]


@pytest.mark.parametrize("changes", [{"reason": " "}, {"second_factor": False}])
def test_promotion_wants_a_reason_and_a_second_factor(changes: dict[str, Any]) -> None:
    bot = paper_bot()
    given = {"account": rows.account(bot.user, mode=Mode.LIVE), "name": "real", "by": bot.user, "reason": "why", "second_factor": True}

    with pytest.raises(BadInput, match=r"reason|second factor"):
        promotion.promote(bot, **{**given, **changes})


def test_only_paper_bots_are_promoted_and_only_to_their_owners_account() -> None:
    with pytest.raises(BadInput, match="only a paper bot"):
        promoted(rows.bot(rows.user()))
    with pytest.raises(BadInput, match="of its owner"):
        promoted(paper_bot(), account=rows.account(rows.user(), mode=Mode.LIVE))


def test_the_second_step_wants_the_bots_name(client: Client) -> None:
    bot = paper_bot(name="alpha")
    account = rows.account(bot.user, mode=Mode.LIVE)
    client.force_login(bot.user)

    answer = client.post(
        reverse("promote_bot", args=[bot.pk]), {"account": account.pk, "step": "promote", "typed": "beta", "reason": "why"}
    )

    assert "Type the name of the bot" in answer.content.decode()
    assert Bot.objects.count() == 1
