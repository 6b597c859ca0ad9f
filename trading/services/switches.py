"""What an operator has switched off for a bot: asked by each cycle, and again by the gateway right before an entry leaves."""

from dgbot.core.types import Mode
from risk.domain.reasons import Reason
from trading.domain.config import Settings
from trading.models import Bot


def blocking(bot: Bot, *, settings: Settings) -> tuple[Reason, ...]:
    """Every switch that keeps this bot from opening anything now; they combine by AND, so one is enough."""
    found = []
    if bot.is_paused:
        found.append(Reason("paused", f"The entries of {bot.name} are paused.", value="paused", limit="running", remedy="Resume the bot."))
    if not Mode(bot.mode).is_recorded and not settings.enabled:
        found.append(
            Reason("bot_status", "The setting bot_status is off.", value="false", limit="true", remedy="Switch it on in Settings.")
        )
    if bot.mode != Mode.REPLAY and bot.symbol not in settings.target_symbols:
        found.append(
            Reason(
                "target_symbols",
                f"{bot.symbol} is not among the target symbols.",
                value=bot.symbol,
                limit=", ".join(settings.target_symbols),
                remedy="Add it to target_symbols in Settings.",
            )
        )
    return tuple(found)
