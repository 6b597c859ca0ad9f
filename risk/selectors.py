"""What risk knows, read."""

from risk.models import KillScope, KillSwitch, RiskState


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


def safe_modes(*, account_id: int) -> dict[int | None, str]:
    """Why entries are blocked, by bot; None stands for the whole account. Whoever is not in safe mode is left out."""
    newest = RiskState.objects.filter(account_id=account_id).order_by("bot", "-trading_day").distinct("bot")
    return {state.bot_id: state.safe_mode_reason for state in newest if state.safe_mode}
