"""Shadow bots: challengers that are given what their champion sees and trade with pretended money, beside it and never instead of it.

    champion's cycle ─► its decision, with price and book as it saw them ─► shadow's cycle of the same slot: own rules, own analyst
                                                                                  └─► own paper account ─► days compared

A shadow without an analyst is what the champion would be without its model: the difference is what the model earns.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.forms import model_to_dict

from dgbot.accounts import audit
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from risk.models import BotLimits
from trading.models import ACTIVE, AccountBalance, Analyst, Bot, ExchangeAccount, Position
from trading.models.bots import RULES
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import account_key

MOST_SHADOWS = 5  # of one bot: each asks its own model
PRETENDS_IN = {Mode.LIVE: Mode.PAPER, Mode.PAPER: Mode.PAPER, Mode.SIMULATED: Mode.SIMULATED}
ALIKE = ("symbol", "interval", "schedule_id", "anchor_at", "trade_amount", "risk_profile_id", "filter_mode")
IN_QUESTION = ("strategy", "parameters", "analyst", "analyst_mode")  # what a challenger may have otherwise, and a promotion exchanges


def create(*, champion_pk: int, name: str, by: Any, reason: str, analyst: str = RULES, changes: Mapping[str, Any] | None = None) -> Bot:
    """Make a shadow with an account of its own that holds what its champion may use. It does not run yet.

    analyst: a name, or `rules`. changes: parameters that differ from the champion's. Raises BadInput.
    """
    with transaction.atomic():
        champion = Bot.objects.select_for_update(of=("self",)).select_related("account").get(pk=champion_pk)
        money = _usable(champion)
        shadow = _made(champion, name=name.strip(), analyst=analyst, changes=dict(changes or {}), money=money)
        audit.record(
            actor=by, action="create shadow", target=f"bot:{shadow.pk}", reason=_given(reason), diff={"shadow of": [None, champion.pk]}
        )
    DatabaseVenueStore(account_key(shadow.account)).open(asset=shadow.account.quote_currency, amount=money)
    return shadow


@transaction.atomic
def promote(*, shadow_pk: int, by: Any, reason: str) -> Bot:
    """Exchange what is in question between a shadow and its champion; doing it again takes it back. Returns the champion.

    Raises BadInput without a reason, and while either holds something: an open position keeps to the plan it was entered with.
    """
    given = _given(reason)
    shadow = Bot.objects.get(pk=shadow_pk)
    pair = {bot.pk: bot for bot in Bot.objects.select_for_update().filter(pk__in=[shadow_pk, shadow.shadow_of_id]).order_by("pk")}
    if shadow.shadow_of_id is None:
        raise BadInput(f"Bot {shadow.name} is nobody's shadow, so there is nothing to promote it over.")
    challenger, champion = pair[shadow_pk], pair[shadow.shadow_of_id]
    held = Position.objects.open().filter(bot__in=pair, amount__gt=0).values_list("bot__name", flat=True).first()
    if held is not None:
        raise BadInput(f"Nothing was promoted: {held} holds a position; wait until it is sold, or sell it.")
    diff = {name: [getattr(champion, name), getattr(challenger, name)] for name in IN_QUESTION}
    for name, (was, becomes) in diff.items():
        setattr(champion, name, becomes)
        setattr(challenger, name, was)
    for bot in (champion, challenger):
        bot.save(update_fields=IN_QUESTION)
    changed = {name: values for name, values in diff.items() if values[0] != values[1]}
    audit.record(
        actor=by, action="promote shadow", target=f"bot:{champion.pk}", reason=given, diff={"shadow": [shadow_pk, None], **changed}
    )
    return champion


def followers(*, bot_pk: int) -> list[int]:
    """Running shadows of a bot, by primary key: their turn comes once its cycle is over."""
    running = Bot.objects.filter(shadow_of=bot_pk, is_running=True, status__in=ACTIVE)
    return list(running.order_by("pk").values_list("pk", flat=True))


def _made(champion: Bot, *, name: str, analyst: str, changes: dict[str, Any], money: Decimal) -> Bot:
    _refuse_unfit(champion, name=name, analyst=analyst)
    mode = PRETENDS_IN[Mode(champion.mode)]
    home = champion.account
    account = ExchangeAccount.objects.create(
        user_id=champion.user_id,
        name=f"{name} (shadow)",
        exchange=home.exchange,
        mode=mode.value,
        quote_currency=home.quote_currency,
        simulated_market=home.simulated_market,
        is_hidden=True,
    )
    shadow = Bot.objects.create(
        user_id=champion.user_id,
        account=account,
        mode=mode.value,
        name=name,
        strategy=champion.strategy,
        parameters={**champion.parameters, **changes},
        analyst=analyst,
        analyst_mode=champion.analyst_mode,
        allocation=money,
        shadow_of=champion,
        is_hidden=True,
        **{column: getattr(champion, column) for column in ALIKE},
    )
    limits = BotLimits.objects.filter(bot=champion).first()
    if limits is not None:
        BotLimits.objects.create(bot=shadow, **model_to_dict(limits, exclude=["bot"]))
    return shadow


def _refuse_unfit(champion: Bot, *, name: str, analyst: str) -> None:
    if not name:
        raise BadInput("No shadow was made: give it a name.")
    if champion.shadow_of_id is not None:
        raise BadInput(f"No shadow was made: {champion.name} is a shadow itself; make one of the bot it follows.")
    if Mode(champion.mode) not in PRETENDS_IN:
        raise BadInput(f"No shadow was made: {champion.name} is a {champion.mode} bot, and only bots that run can be followed.")
    if champion.tick_seconds is not None:
        raise BadInput(
            f"No shadow was made: {champion.name} looks every {champion.tick_seconds} s; only bots with a schedule can be followed."
        )
    if Bot.objects.filter(shadow_of=champion).count() >= MOST_SHADOWS:
        raise BadInput(f"No shadow was made: {champion.name} has {MOST_SHADOWS} already, which is the most.")
    taken = Bot.objects.filter(user_id=champion.user_id, name=name).exists()
    if taken or ExchangeAccount.objects.filter(user_id=champion.user_id, name=f"{name} (shadow)").exists():
        raise BadInput(f"No shadow was made: there is a bot or an account named {name} already.")
    if analyst != RULES and not Analyst.objects.filter(name=analyst, is_enabled=True).exists():
        raise BadInput(f"No shadow was made: there is no enabled analyst {analyst}; make one under Analysts, or choose rules.")


def _usable(champion: Bot) -> Decimal:
    """What the champion's limits refer to. Raises BadInput while that is unknown."""
    if champion.allocation is not None:
        return champion.allocation
    quote = champion.account.quote_currency
    cash = AccountBalance.objects.filter(account=champion.account_id, asset=quote).first()
    if cash is None or cash.free + cash.locked <= 0:
        raise BadInput(f"No shadow was made: {champion.name} has no allocation, and its account's {quote} are not known yet. Enter one.")
    return cash.free + cash.locked


def _given(reason: str) -> str:
    if not reason.strip():
        raise BadInput("Nothing was changed: say why.")
    return reason.strip()[:255]
