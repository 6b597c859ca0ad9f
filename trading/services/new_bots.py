"""How bots come to be: created, cloned, promoted. Each is a new row that stands still until somebody starts it."""

from typing import Any

from django.db import transaction
from django.db.models import Q

from dgbot.accounts import audit
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from trading.models import Bot, ExchangeAccount
from trading.models.accounts import ExchangeName
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import account_key

QUOTE = {ExchangeName.UPBIT: "KRW", ExchangeName.BITGET: "USDT"}
NAME_LIMIT = 60  # characters
CLONED = (
    "symbol",
    "strategy",
    "parameters",
    "interval",
    "schedule",
    "tick_seconds",
    "risk_profile",
    "allocation",
    "trade_amount",
    "analyst",
    "analyst_mode",
    "anchor_at",
)


@transaction.atomic
def create(bot: Bot, *, by: Any, action: str = "create bot", reason: str = "", diff: dict[str, Any] | None = None) -> Bot:
    """Keep a new bot. Owner and mode are its account's, whatever the row says. Raises BadInput for a name its owner already uses."""
    bot.user_id, bot.mode = bot.account.user_id, bot.account.mode
    if Bot.objects.filter(user_id=bot.user_id, name=bot.name).exists():
        raise BadInput(f"There is already a bot named {bot.name}; choose another name.")
    bot.save(force_insert=True)
    audit.record(actor=by, action=action, target=f"bot:{bot.pk}", reason=reason, diff=diff)
    return bot


def clone(*, bot_pk: int, by: Any) -> Bot:
    """The same bot once more, beside the first and standing still. Its past stays with the first."""
    first = Bot.objects.select_related("account").get(pk=bot_pk)
    made = Bot(account=first.account, name=free_name(first.name, user_id=first.user_id), **same_as(first))
    return create(made, by=by, action="clone bot", reason=f"clone of bot {first.pk}")


def copy_to(account: ExchangeAccount, *, of: Bot, name: str, by: Any, reason: str) -> Bot:
    """The same bot in another account, as a promotion makes it: no mode is ever changed, a new row begins."""
    made = Bot(account=account, name=name, **same_as(of))
    return create(made, by=by, action="promote bot", reason=reason, diff={"promoted_from": [None, of.pk], "mode": [of.mode, account.mode]})


@transaction.atomic
def open_paper_account(*, owner: Any, name: str, exchange: str, cash: Any, by: Any) -> ExchangeAccount:
    """An account with pretended money at a real exchange's quotes. cash: quote currency. Raises BadInput for a name in use."""
    if ExchangeAccount.objects.filter(user=owner, name=name).exists():
        raise BadInput(f"There is already an account named {name}; choose another name.")
    quote = QUOTE[ExchangeName(exchange)]
    account = ExchangeAccount.objects.create(user=owner, name=name, exchange=exchange, mode=Mode.PAPER.value, quote_currency=quote)
    audit.record(actor=by, action="create account", target=f"account:{account.pk}", reason="paper account")
    store = DatabaseVenueStore(account_key(account))
    transaction.on_commit(lambda: store.open(asset=quote, amount=cash))  # the pretended exchange commits by itself
    return account


def free_name(name: str, *, user_id: int) -> str:
    """`name` with the first number nobody uses yet: “alpha”, “alpha 2”, “alpha 3” …"""
    taken = set(Bot.objects.filter(Q(user_id=user_id), name__startswith=name[: NAME_LIMIT - 5]).values_list("name", flat=True))
    if name not in taken:
        return name
    numbered = (f"{name[: NAME_LIMIT - 5]} {number}" for number in range(2, 10_000))
    return next(found for found in numbered if found not in taken)


def same_as(bot: Bot) -> dict[str, Any]:
    """The columns a copy takes over."""
    return {name: getattr(bot, name) for name in CLONED}
