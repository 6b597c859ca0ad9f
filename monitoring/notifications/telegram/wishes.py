"""Commands that change only how the asker is told."""

from datetime import time
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from dgbot.core.errors import BadInput
from monitoring.notifications import channels
from monitoring.notifications.kinds import Level
from monitoring.notifications.models import Channel, PendingDeed, Recipient
from monitoring.notifications.telegram.answers import Answer, Asked


def language(asked: Asked) -> Answer:
    """Korean or English, from the next message on."""
    codes = [code for code, _name in settings.LANGUAGES]
    if len(asked.words) != 1 or asked.words[0] not in codes:
        raise BadInput(_("Write /language followed by one of: %(codes)s.") % {"codes": ", ".join(codes)})
    _recipient(asked, language=asked.words[0])
    with translation.override(asked.words[0]):
        return Answer(_("You are told in English from now on."))


def quiet(asked: Asked) -> Answer:
    """From and until in the user's time zone, or off."""
    if asked.words == ["off"]:
        _recipient(asked, quiet_from=None, quiet_until=None)
        return Answer(_("There are no quiet hours any more."))
    try:
        begin, end = (time.fromisoformat(word) for word in asked.words)
    except ValueError:
        raise BadInput(_("Write /quiet 22:00 07:00, or /quiet off.")) from None
    _recipient(asked, quiet_from=begin, quiet_until=end)
    told = {"begin": f"{begin:%H:%M}", "end": f"{end:%H:%M}", "zone": asked.reader.time_zone}
    return Answer(_("Quiet from %(begin)s to %(end)s (%(zone)s); critical messages pass.") % told)


def level(asked: Asked) -> Answer:
    """The least level of this channel."""
    if len(asked.words) != 1 or asked.words[0] not in Level.values:
        raise BadInput(_("Write /level followed by one of: %(levels)s.") % {"levels": ", ".join(Level.values)})
    Channel.objects.filter(pk=asked.channel.pk).update(least_level=asked.words[0])
    return Answer(_("Here you are told from the level %(level)s on.") % {"level": Level(asked.words[0]).label})


def test(asked: Asked) -> Answer:
    """A test message behind this answer."""
    channels.send_test(asked.channel)
    return Answer(_("A test message follows."))


def forget(asked: Asked) -> Answer:
    """Drop what waits for a confirmation."""
    dropped, _rows = PendingDeed.objects.filter(channel=asked.channel).delete()
    return Answer(_("It will not be carried out.") if dropped else _("Nothing waits for your confirmation."))


def _recipient(asked: Asked, **changes: Any) -> None:
    Recipient.objects.update_or_create(user=asked.user, defaults=changes)
