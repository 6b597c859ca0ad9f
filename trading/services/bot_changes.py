"""Changes of a bot that touch what it may risk: judged as changes of limits are, and kept with who, when, why and diff.

More money, a larger trade or a looser profile allow more than before: that asks for a reason, and on live bots for the second
factor. Less never does.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from risk import services as risk
from risk.domain import limits
from risk.domain.limits import NAMES
from risk.models import LimitSubject, RiskProfile
from risk.services import NOT_LIMITS
from trading.models import Bot
from trading.selectors.limits import effective, profile_of
from trading.services import config

MONEY = ("allocation", "trade_amount")


def check(bot: Bot, *, reason: str, is_real: bool, second_factor: Callable[[], bool]) -> tuple[str, ...]:
    """Names of what saving `bot` would let loose; nothing of a new one. is_real: it trades real money. Saves nothing.

    Raises BadInput for loosening without a reason, or on real money without a second factor.
    """
    before = _stored(bot)
    loose = () if before is None else _loosened(before, bot)
    risk.refuse_loosening(loose, reason=reason, governs_live=is_real, second_factor=second_factor)
    return loose


def keep(before: Bot, after: Bot, *, by: Any, reason: str) -> None:
    """Put what changed of its money and profile on record, in the transaction that saves it."""
    was, now = _values(before), _values(after)
    if was != now:
        loose = _loosened(before, after)
        risk.keep_change(
            subject=LimitSubject.BOT, subject_pk=after.pk, name=str(after), before=was, after=now, loosened=loose, by=by, reason=reason
        )


def _stored(bot: Bot) -> Bot | None:
    return Bot.objects.select_related("risk_profile", "account__limits", "limits").filter(pk=bot.pk).first() if bot.pk else None


def _loosened(before: Bot, after: Bot) -> tuple[str, ...]:
    """Money that grows, or becomes whatever the account holds; and all that another profile allows more of."""
    more = [name for name in MONEY if _allows_more(getattr(before, name), getattr(after, name))]
    if before.risk_profile_id == after.risk_profile_id:
        return tuple(more)
    rules = config.current()
    was, now = profile_of(before, settings=rules), profile_of(after, settings=rules)
    held = {name: getattr(effective(before, profile=was), name) for name in NAMES}
    holds = {name: getattr(effective(before, profile=now), name) for name in NAMES}  # its own and its account's limits stay
    return (*more, *limits.loosened({**_habits(was), **held}, {**_habits(now), **holds}))


def _allows_more(before: Decimal | None, after: Decimal | None) -> bool:
    return limits.is_tighter("allocation", before, after)


def _habits(profile: RiskProfile) -> dict[str, object]:
    """What of a profile is no limit: how it sizes and leaves."""
    columns = [item.attname for item in profile._meta.concrete_fields]
    return {name: getattr(profile, name) for name in columns if name not in NAMES and name not in NOT_LIMITS}


def _values(bot: Bot) -> dict[str, Any]:
    return {**{name: getattr(bot, name) for name in MONEY}, "risk_profile": bot.risk_profile and bot.risk_profile.name}
