"""Where notifications may go. The one seam through which every address that a user entered passes, right before it is used."""

import ipaddress
import socket
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from dgbot.core.errors import BadInput


def check(url: str) -> None:
    """Raises BadInput for an address that is none, is not encrypted, or lies in a private network.

    An address inside would let whoever may add a channel talk to what stands behind our firewall. DGBOT_PRIVATE_ADDRESSES permits it.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(_("The address is no web address: it must begin with https:// and name a host."))
    if settings.PRIVATE_ADDRESSES:
        return
    if parts.scheme != "https":
        raise BadInput(_("The address is not encrypted: it must begin with https://."))
    for found in _resolve(parts.hostname, parts.port or 443):
        if not found.is_global or found.is_multicast:
            raise BadInput(
                _("The address %(host)s lies in a private network (%(found)s); set DGBOT_PRIVATE_ADDRESSES=true if that is meant.")
                % {"host": parts.hostname, "found": found}
            )


def _resolve(host: str, port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BadInput(_("The host %(host)s is not known: %(why)s.") % {"host": host, "why": error.strerror or error}) from error
    return [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
