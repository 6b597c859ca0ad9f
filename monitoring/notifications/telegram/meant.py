"""Which bot is meant, among those the asker may see."""

from typing import Any

from django.utils.translation import gettext as _

from dgbot.core.errors import BadInput
from monitoring.notifications.telegram.answers import Asked
from trading.models import Bot


def seen(user: Any) -> Any:
    """Bots the user may see, hidden ones left out."""
    return Bot.objects.for_user(user).filter(is_hidden=False, account__is_hidden=False).select_related("account").order_by("pk")


def bot(asked: Asked) -> Bot:
    """By number or name; without one, the only bot there is. Raises BadInput with the list of those there are."""
    bots = list(seen(asked.user))
    wanted = " ".join(asked.words).strip().lower()
    if not wanted and len(bots) == 1:
        return bots[0]  # type: ignore[no-any-return]  # the queryset is untyped
    found = [one for one in bots if wanted in (str(one.pk), one.name.lower())] if wanted else []
    if len(found) == 1:
        return found[0]  # type: ignore[no-any-return]
    known = ", ".join(f"{one.pk} {one.name}" for one in bots) or _("none")
    if wanted:
        raise BadInput(_("There is no bot %(wanted)s. Bots: %(known)s.") % {"wanted": wanted, "known": known})
    raise BadInput(_("Which bot? Write its number behind the command. Bots: %(known)s.") % {"known": known})


def number(asked: Asked, *, default: int, most: int) -> int:
    """A whole number behind the command, at least 1. Raises BadInput."""
    if not asked.words:
        return default
    text = asked.words[0]
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= most):
        raise BadInput(_("%(text)s is no number from 1 to %(most)s.") % {"text": text[:20], "most": most})
    return int(text)
