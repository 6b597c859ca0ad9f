"""What trading needs before it starts: settings, schedules, a demo bot. Added if missing, never overwritten."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models.functions import Now
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from dgbot.accounts import audit
from trading.domain.config import PERIODS
from trading.models import Bot, BotStatus, ExchangeAccount, SimulatedMarket
from trading.models.accounts import ExchangeName
from trading.services import config
from trading.services.krw_rates import ASKED_EVERY_S
from trading.services.schedules import CYCLES, HOURLY, SEOUL, crontab_of, follow_schedule
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import account_key

SIMULATED = "Simulated market (every second)"
SNAPSHOT = "Portfolio snapshot (hourly)"
SWEEP = "Unfinished cycles (every 15 seconds)"
RATES = "Rates in KRW (every 20 seconds)"
CLEAN_UP = "Clean-up (daily)"
CHECK_BOOKS = "Check of the books (daily)"
PARITY = "Comparison with the engine (nightly)"

DEMO = "Demo bot (simulated)"
DEMO_CASH = Decimal(10_000_000)
DEMO_ORIGIN = datetime(2025, 1, 1, tzinfo=UTC)
FAST = Decimal(3600)  # one hour a second


def create_sealing_key() -> str | None:
    """The pair of keys that seals and opens exchange keys."""
    from trading import vault

    return vault.create_missing()


def import_keys() -> str | None:
    """The exchange key in the environment, sealed once."""
    from trading.services import credentials

    return credentials.import_from_environment()


def create_settings() -> str | None:
    """The bot_config rows that are missing, first values from the environment where it names them."""
    added = config.create_missing(_first_values())
    return f"Settings added: {', '.join(added)}." if added else None


def create_schedules() -> str | None:
    """The schedules that are missing; the default one with the period that the setting names."""
    minutes = config.current().interval_minutes
    made = [
        _schedule(HOURLY, CYCLES, crontab=crontab_of(minutes), enabled=settings.SCHEDULER_ENABLED),
        _schedule(SNAPSHOT, "trading.tasks.take_snapshots", crontab=crontab_of(60)),
        _schedule(SIMULATED, "trading.tasks.tick_simulated", interval=_interval(1), expires_s=5),
        _schedule(CLEAN_UP, "monitoring.tasks.clean_up", crontab=_daily(hour=4, minute=30)),
        _schedule(RATES, "trading.tasks.refresh_krw_rates", interval=_interval(ASKED_EVERY_S), expires_s=ASKED_EVERY_S),
        _schedule(CHECK_BOOKS, "trading.tasks.check_books", crontab=_daily(hour=3, minute=50)),
        _schedule(PARITY, "trading.tasks.compare_with_engine", crontab=_daily(hour=5, minute=10)),
        _schedule(SWEEP, "trading.tasks.sweep_cycles", interval=_interval(15), expires_s=60),
    ]
    added = [name for name in made if name]
    follow_schedule(by="prepare", reason="the schedule and its setting differed")
    return f"Schedules added: {', '.join(added)}." if added else None


def create_prompt() -> str | None:
    """The prompt analysts begin with."""
    from trading.services import analysts

    return analysts.create_first_prompt()


def create_demo() -> str | None:
    """A simulated market with one account and one running bot, for the operator account; only where there is no bot at all."""
    owner = get_user_model().objects.filter(is_superuser=True).order_by("pk").first()
    if owner is None or Bot.objects.exists():
        return None
    market, _created = SimulatedMarket.objects.get_or_create(
        name="Demo market", defaults={"seed": 1, "origin": DEMO_ORIGIN, "elapsed": timedelta(0), "speed": FAST, "checkpoint_at": Now()}
    )
    account, _created = ExchangeAccount.objects.get_or_create(
        user=owner,
        name="Demo account (simulated)",
        defaults={"exchange": ExchangeName.SIMULATED, "mode": "simulated", "quote_currency": "KRW", "simulated_market": market},
    )
    DatabaseVenueStore(account_key(account)).open(asset="KRW", amount=DEMO_CASH)
    bot = Bot.objects.create(
        user=owner,
        account=account,
        mode=account.mode,
        name=DEMO,
        symbol=settings.TRADING_SYMBOL,
        strategy="volatility_breakout",
        trade_amount=Decimal(settings.TRADING_AMOUNT),
        schedule=PeriodicTask.objects.get(name=SIMULATED),
        is_running=True,
        status=BotStatus.REQUESTED,
        status_reason="waiting for the gateway",
    )
    audit.record(actor="prepare", action="create bot", target=f"bot:{bot.pk}", reason="first start")
    return f"Demo bot created: {bot.name} on {bot.symbol}."


def _first_values() -> dict[str, object]:
    values: dict[str, object] = {}
    if settings.SCHEDULER_INTERVAL_MINUTES in PERIODS:
        values["trading_interval_minutes"] = {"minutes": settings.SCHEDULER_INTERVAL_MINUTES}
    return values


def _schedule(name: str, task: str, *, enabled: bool = True, expires_s: int | None = None, **when: Any) -> str:
    """Create the row if missing; its name when it is new, else an empty text."""
    _row, is_new = PeriodicTask.objects.get_or_create(
        name=name, defaults={"task": task, "enabled": enabled, "kwargs": json.dumps({}), "expire_seconds": expires_s, **when}
    )
    return name if is_new else ""


def _interval(seconds: int) -> IntervalSchedule:
    row, _created = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
    return row


def _daily(*, hour: int, minute: int) -> CrontabSchedule:
    """Once a day, Asia/Seoul."""
    given = {"minute": str(minute), "hour": str(hour), "day_of_month": "*", "month_of_year": "*", "day_of_week": "*", "timezone": SEOUL}
    return CrontabSchedule.objects.filter(**given).order_by("pk").first() or CrontabSchedule.objects.create(**given)
