"""What risk knows, read."""

from risk.models import KillScope, KillSwitch


def kill_level(*, bot_id: int, account_id: int, user_id: int, exchange: str, symbol: str) -> int:
    """The highest level of every kill switch that covers this bot."""
    covers = {
        (KillScope.PLATFORM, ""),
        (KillScope.EXCHANGE, exchange),
        (KillScope.ACCOUNT, str(account_id)),
        (KillScope.USER, str(user_id)),
        (KillScope.BOT, str(bot_id)),
        (KillScope.MARKET, symbol),
    }
    raised = KillSwitch.objects.filter(level__gt=0).values_list("scope", "scope_id", "level")
    return max((level for scope, scope_id, level in raised if (scope, scope_id) in covers), default=0)
