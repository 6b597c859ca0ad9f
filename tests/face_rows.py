"""Rows that faces show: owners, bots, and what a cycle leaves behind. A test says only what matters to it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from django.contrib.auth.models import Group

from dgbot.accounts import roles
from dgbot.accounts.models import User
from dgbot.core.types import Mode
from trading.domain.stages import STAGES
from trading.models import (
    Bot,
    Cycle,
    CycleStatus,
    Decision,
    ExchangeAccount,
    PortfolioSnapshot,
    Position,
    SimulatedMarket,
    StageResult,
    Trade,
)
from trading.models.accounts import ExchangeName

D = Decimal
T0 = datetime(2026, 1, 5, 3, tzinfo=UTC)
PASSWORD = "a-long-password"
_numbers = count(1)


def user(name: str = "", *, role: str = roles.OPERATOR, is_superuser: bool = False) -> User:
    """Someone with a role; staff, so that the admin opens."""
    roles.create_missing()
    made = User.objects.create_user(name or f"user{next(_numbers)}", password=PASSWORD, is_staff=True, is_superuser=is_superuser)
    made.groups.add(Group.objects.get(name=role))
    return made


def account(owner: User, *, mode: Mode = Mode.SIMULATED, name: str = "", is_hidden: bool = False) -> ExchangeAccount:
    """An account in KRW."""
    number = next(_numbers)
    is_simulated = mode is Mode.SIMULATED
    market = (
        SimulatedMarket.objects.create(name=f"market {number}", origin=T0, elapsed=timedelta(0), speed=3600, checkpoint_at=T0)
        if is_simulated
        else None
    )
    exchange = ExchangeName.SIMULATED if is_simulated else ExchangeName.UPBIT
    return ExchangeAccount.objects.create(
        user=owner, name=name or f"account {number}", exchange=exchange, mode=mode.value, simulated_market=market, is_hidden=is_hidden
    )


def bot(owner: User, *, mode: Mode = Mode.SIMULATED, within: ExchangeAccount | None = None, **columns: Any) -> Bot:
    """A bot on KRW-BTC."""
    home = within or account(owner, mode=mode)
    given = {"name": f"bot {next(_numbers)}", "symbol": "KRW-BTC", "strategy": "volatility_breakout", **columns}
    return Bot.objects.create(user=owner, account=home, mode=home.mode, **given)


def cycle(of: Bot, *, slot: datetime = T0, status: str = CycleStatus.DONE, outcome: str = "nothing to do", stages: int = 4) -> Cycle:
    """A cycle that came through its first `stages` stages."""
    made = Cycle.objects.create(
        bot=of,
        account=of.account,
        user=of.user,
        mode=of.mode,
        slot=slot,
        status=status,
        outcome=outcome,
        runner="test",
        finished_at=datetime.now(tz=UTC),
    )
    for stage in STAGES[:stages]:
        reason = {"code": "sample", "message": f"{stage} found nothing against it", "value": "0.3 %", "limit": "10 %", "remedy": ""}
        StageResult.objects.create(cycle=made, stage=stage, action="continue", reasons=[reason], duration_ms=12, created_at=slot)
    return made


def decision(of: Cycle, *, kind: str = "hold", why: str = "the rules propose nothing") -> Decision:
    """A decision of the rules."""
    return Decision.objects.create(
        cycle=of,
        bot=of.bot,
        account=of.account,
        user=of.user,
        mode=of.mode,
        symbol=of.bot.symbol,
        decision=kind,
        reason=why,
        market_data={},
        analyst="rules",
        hash="0" * 64,
        created_at=of.slot,
    )


def position(of: Bot, *, opened_at: datetime = T0, entry: str = "100000000", amount: str = "0.0005") -> Position:
    """An open position with stop and target."""
    price, held = D(entry), D(amount)
    return Position.objects.create(
        bot=of,
        account=of.account,
        user=of.user,
        mode=of.mode,
        symbol=of.symbol,
        amount=held,
        bought_amount=held,
        bought_total=price * held,
        stop_price=price * D("0.95"),
        target_price=price * D("1.1"),
        opened_at=opened_at,
    )


def trade(
    of: Bot,
    *,
    at: datetime = T0,
    side: str = "buy",
    price: str = "100000000",
    amount: str = "0.0005",
    reason: str = "",
    within: Position | None = None,
) -> Trade:
    """A fill, of the position `within` where one is given."""
    total = D(price) * D(amount)
    return Trade.objects.create(
        bot=of,
        position=within,
        account=of.account,
        user=of.user,
        mode=of.mode,
        exchange_trade_id=f"t{next(_numbers)}-{at.timestamp()}",
        symbol=of.symbol,
        side=side,
        purpose="entry" if side == "buy" else "exit",
        exit_reason=reason,
        price=D(price),
        amount=D(amount),
        total=total,
        fee=total * D("0.0005"),
        fee_currency="KRW",
        created_at=at,
        updated_at=at,
    )


def snapshot(
    of: ExchangeAccount, *, at: datetime = T0, value: str | None = "1000000", positions: dict[str, Any] | None = None, cause: str = ""
) -> PortfolioSnapshot:
    """What the account was worth; unknown with a cause when `value` is None."""
    worth = None if value is None else D(value)
    why = cause or "KRW-USD rate unknown"
    return PortfolioSnapshot.objects.create(
        account=of, user=of.user, mode=of.mode, total_value_krw=worth, positions=positions or {}, cause=why, created_at=at
    )
