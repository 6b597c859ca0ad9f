"""Somebody's rows: one in every table that shows one owner's, each recognisable by a word that nobody else may ever read."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone

from backtests.models import BacktestRun, ResultFile, Sweep
from backtests.models.runs import ResultKind, ResultPlace
from dgbot.accounts import heartbeats, logins, personal_tokens, roles
from dgbot.accounts.models import Heartbeat, User
from dgbot.core.types import Mode
from risk import kill_switch, services
from risk.models import KillScope, KillSwitch, KillSwitchChange, LimitChange, RiskEvent, RiskProfile
from tests import factories, notice_stage, run_factory
from tests.contracts.test_schema import one_of_everything
from trading.models import Bot, Command, CommandKind, OrderEvent, OrderSend, ParityRun, ReconcileRun, StageResult

WORD = "quagga"  # in names and reasons of somebody's rows


@dataclass
class Somebody:
    """An owner and the rows. rows: admin's name of a model → primary key."""

    user: User
    bot: Bot
    rows: dict[str, Any] = field(default_factory=dict)

    def becomes(self, role: str) -> User:
        """The same person in another role; returned anew, since permissions are kept on the object."""
        self.user.groups.set(Group.objects.filter(name=role))
        return User.objects.get(pk=self.user.pk)


def with_everything() -> Somebody:
    """Somebody with one row of everything."""
    roles.create_missing()
    made = one_of_everything(Mode.PAPER)
    bot = Bot.objects.get(pk=made["bots"])
    User.objects.filter(pk=bot.user_id).update(is_staff=True, username=f"{WORD}-owner{bot.user_id}")
    user = User.objects.get(pk=bot.user_id)
    Bot.objects.filter(pk=bot.pk).update(name=f"{WORD} bot")
    type(bot.account).objects.filter(pk=bot.account_id).update(name=f"{WORD} account")
    bot = Bot.objects.select_related("account", "user").get(pk=bot.pk)
    rows: dict[str, Any] = {
        "trading_bot": made["bots"],
        "trading_cycle": made["cycles"],
        "trading_order": made["orders"],
        "trading_position": made["positions"],
        "trading_trade": made["trades"],
        "risk_reservation": made["reservations"],
        "risk_transfer": made["transfers"],
        "trading_exchangeaccount": made["exchange_accounts"],
        "trading_decision": made["ai_decisions"],
        "trading_analystcall": made["analyst_calls"],
        "trading_ledgerentry": made["ledger_entries"],
        "trading_accountbalance": made["account_balances"],
        "trading_portfoliosnapshot": made["portfolio_snapshots"],
        "trading_reconcilebreak": made["reconcile_breaks"],
        "trading_externalorder": made["external_orders"],
        "trading_protectivestop": made["protective_stops"],
        "risk_riskstate": made["risk_states"],
        "risk_accountlimits": bot.account_id,
        "risk_botlimits": bot.pk,
        **_backtests(user),
        **_further(bot, order_pk=made["orders"], cycle_pk=made["cycles"]),
    }
    return Somebody(user=user, bot=bot, rows=rows)


def _backtests(user: User) -> dict[str, Any]:
    """A run, a sweep, and the file of a result."""
    about = {"user": user, "strategy": "volatility_breakout", "exchange": "upbit", "interval": "1h"}
    run = BacktestRun.objects.create(**about, spec=run_factory.run_spec().as_json() | {"note": WORD}, symbols=["KRW-BTC"])
    sweep = Sweep.objects.create(
        **about, spec=run_factory.sweep_spec().as_json() | {"note": WORD}, symbol="KRW-BTC", sampler="sobol", sets=1
    )
    file = ResultFile.objects.create(
        run=run, kind=ResultKind.values[0], name=f"backtests/{WORD}-{run.pk}", place=ResultPlace.values[0], sha256="0" * 64, size=1, rows=1
    )
    return {"backtests_backtestrun": run.pk, "backtests_sweep": sweep.pk, "backtests_resultfile": file.pk}


def _further(bot: Bot, *, order_pk: int, cycle_pk: int) -> dict[str, Any]:
    """The tables that hold no money."""
    user = bot.user
    send = OrderSend.objects.create(order_id=order_pk, send_no=1, gateway="g", gateway_epoch=1, permit_until=factories.SLOT)
    stage = StageResult.objects.create(
        cycle_id=cycle_pk, stage="risk_check", action="continue", reasons=[{"message": WORD}], duration_ms=1, created_at=factories.SLOT
    )
    event = RiskEvent.objects.create(
        bot=bot, account=bot.account, user=user, code="daily_loss", message=WORD, actor="test", created_at=factories.SLOT
    )
    profile = RiskProfile.objects.create(name=f"{WORD} profile", user=user)
    profile.daily_loss_fraction /= 2
    services.change_limits(profile, by=user, reason=WORD, governs_live=False, second_factor=lambda: False)
    kill_switch.change(scope=KillScope.BOT, scope_id=str(bot.pk), level=1, by=user, reason=f"{WORD} fell")
    run = ReconcileRun.objects.create(
        account=bot.account, scope=1, verdict="stable", gateway_epoch=1, booked={}, differences=[WORD], duration_ms=1
    )
    parity = ParityRun.objects.create(
        bot=bot, account=bot.account, user=user, mode=bot.mode, verdict="impossible", reason=WORD, duration_ms=1
    )
    command = Command.objects.create(
        kind=CommandKind.CHECK_KEY, account=bot.account, user=user, asked_by=user.get_username(), valid_until=factories.SLOT
    )
    heartbeats.beat_bot(bot_id=bot.pk, started_at=factories.SLOT, late_after_s=60)
    channel = notice_stage.channel(user, "email", address=f"{WORD}@example.com")
    notice = notice_stage.tell(user, WORD)
    assert notice is not None
    return {
        "monitoring_channel": channel.pk,
        "monitoring_recipient": notice_stage.recipient(user, time_zone="Asia/Seoul").pk,
        "monitoring_notification": notice.pk,
        "trading_ordersend": send.pk,
        "trading_orderevent": OrderEvent.objects.filter(order_id=order_pk).latest("pk").pk,
        "trading_stageresult": stage.pk,
        "risk_riskevent": event.pk,
        "risk_riskprofile": profile.pk,
        "risk_limitchange": LimitChange.objects.latest("pk").pk,
        "risk_killswitch": KillSwitch.objects.get(scope=KillScope.BOT, scope_id=str(bot.pk)).pk,
        "risk_killswitchchange": KillSwitchChange.objects.latest("pk").pk,
        "trading_reconcilerun": run.pk,
        "trading_parityrun": parity.pk,
        "trading_command": command.pk,
        "accounts_personaltoken": personal_tokens.make(
            user, name=WORD, scopes=["read"], expires_at=timezone.now() + timedelta(days=1), by=user
        )[0].pk,
        "accounts_apilogin": logins.begin(user, address=None, agent=WORD, is_verified=False).login.pk,
        "accounts_heartbeat": Heartbeat.objects.get(name=f"bot:{bot.pk}").pk,
    }
