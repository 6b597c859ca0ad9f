"""What the database says about bots at one moment: each fact in one statement, however many bots ask.

Two hundred bots that look every five seconds would else ask the same dozen questions forty times a second.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Count, F, Sum

from risk import selectors as risk
from risk.models import KillSwitch, RiskProfile
from trading.domain.config import Settings
from trading.models import AccountBalance, Bot, Order, Position
from trading.selectors.limits import profile_named_by
from trading.services import config


@dataclass(frozen=True)
class Readings:
    """Facts about some bots and their accounts, all read in one transaction.

    positions: open ones, by bot. earned: quote currency of all its positions, by bot; who never traded is left out.
    balances: by account and asset. unproven_orders: how many may still act, by bot. states: of risk, kept up to date by `observe`.
    """

    settings: Settings
    profile: RiskProfile | None  # of bots without their own; None when all have one
    positions: dict[int, Position]
    earned: dict[int, Decimal]
    balances: dict[int, dict[str, AccountBalance]]
    kill_switches: list[KillSwitch]
    unproven_orders: dict[int, int]
    states: risk.States


def read(bots: Sequence[Bot]) -> Readings:
    """Read what cycles or looks of these bots share. Raises BadInput for broken settings, LookupError without a risk profile."""
    settings = config.current()
    ids = [bot.pk for bot in bots]
    accounts = {bot.account_id for bot in bots}
    balances: dict[int, dict[str, AccountBalance]] = defaultdict(dict)
    for balance in AccountBalance.objects.filter(account_id__in=accounts):
        balances[balance.account_id][balance.asset] = balance
    return Readings(
        settings=settings,
        profile=profile_named_by(settings) if any(bot.risk_profile is None for bot in bots) else None,
        positions=_positions(bots),
        earned=dict(
            Position.objects.filter(bot__in=ids).values_list("bot").annotate(earned=Sum(F("sold_total") - F("bought_total") - F("fees")))
        ),
        balances=balances,
        kill_switches=risk.raised_switches(),
        unproven_orders=dict(Order.objects.unsettled().filter(bot__in=ids).values_list("bot").annotate(count=Count("pk"))),
        states=risk.recent_states([*((bot.account_id, bot.pk) for bot in bots), *((account, None) for account in accounts)]),
    )


def _positions(bots: Sequence[Bot]) -> dict[int, Position]:
    """A bot trades its symbol of today; what it once held in another is not its position."""
    own = {bot.pk: bot for bot in bots}
    found = {}
    for position in Position.objects.open().filter(bot__in=own):
        bot = own[position.bot_id]
        if position.symbol == bot.symbol:
            position.bot = bot
            found[bot.pk] = position
    return found
