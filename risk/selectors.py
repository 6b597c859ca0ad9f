"""What risk knows, read."""

from collections.abc import Collection, Iterable

from risk.models import KillScope, KillSwitch, RiskState

Scope = tuple[int, int | None]  # account and bot; None stands for the account itself
States = dict[Scope, list[RiskState]]

DAYS = 8  # the week of seven trading days, and the newest row before it
RECENT = """
SELECT found.* FROM unnest(%(accounts)s::bigint[], %(bots)s::bigint[]) AS scope (account, bot) CROSS JOIN LATERAL (
    SELECT * FROM risk_states WHERE account_id = scope.account AND bot_id = scope.bot ORDER BY trading_day DESC LIMIT %(days)s
) AS found
UNION ALL
SELECT found.* FROM unnest(%(accounts)s::bigint[], %(bots)s::bigint[]) AS scope (account, bot) CROSS JOIN LATERAL (
    SELECT * FROM risk_states WHERE account_id = scope.account AND bot_id IS NULL AND scope.bot IS NULL
    ORDER BY trading_day DESC LIMIT %(days)s
) AS found
ORDER BY trading_day DESC
"""


def raised_switches() -> list[KillSwitch]:
    """Every kill switch that forbids something."""
    return list(KillSwitch.objects.filter(level__gt=0))


def level_of(switches: Iterable[KillSwitch], *, bot_id: int, account_id: int, user_id: int, exchange: str, symbol: str) -> int:
    """The highest level among those switches that cover this bot."""
    covers = {
        (KillScope.PLATFORM, ""),
        (KillScope.EXCHANGE, exchange),
        (KillScope.ACCOUNT, str(account_id)),
        (KillScope.USER, str(user_id)),
        (KillScope.BOT, str(bot_id)),
        (KillScope.MARKET, symbol),
    }
    return max((switch.level for switch in switches if (switch.scope, switch.scope_id) in covers), default=0)


def kill_level(*, bot_id: int, account_id: int, user_id: int, exchange: str, symbol: str) -> int:
    """The highest level of every kill switch that covers this bot."""
    return level_of(raised_switches(), bot_id=bot_id, account_id=account_id, user_id=user_id, exchange=exchange, symbol=symbol)


def recent_states(scopes: Collection[Scope]) -> States:
    """The rows of the last days of each scope, newest first, all in one statement; an empty list where there is none yet."""
    asked = {"accounts": [account for account, _bot in scopes], "bots": [bot for _account, bot in scopes], "days": DAYS}
    states: States = {scope: [] for scope in scopes}
    for state in RiskState.objects.raw(RECENT, asked):
        states[state.account_id, state.bot_id].append(state)
    return states


def safe_modes(*, account_id: int) -> dict[int | None, str]:
    """Why entries are blocked, by bot; None stands for the whole account. Whoever is not in safe mode is left out."""
    newest = RiskState.objects.filter(account_id=account_id).order_by("bot", "-trading_day").distinct("bot")
    return {state.bot_id: state.safe_mode_reason for state in newest if state.safe_mode}
