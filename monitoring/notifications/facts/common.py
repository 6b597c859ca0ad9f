"""What drafts of several kinds share."""

from typing import Any

from dgbot.base.display import mode_label
from dgbot.core.money import plain


def of_bot(bot: Any) -> dict[str, Any]:
    """How a bot is named in a message."""
    return {
        "bot": bot.name,
        "bot_id": bot.pk,
        "symbol": bot.symbol,
        "currency": bot.account.quote_currency,
        "badge": mode_label(bot.mode, is_demo=bot.account.is_demo),
    }


def text(value: Any) -> str | None:
    """A decimal as text; None stays unknown."""
    return None if value is None else plain(value)


def reasons(rows: list[dict[str, str]]) -> str:
    """Every reason's sentence, one a line."""
    return "\n".join(row["message"] for row in rows)
