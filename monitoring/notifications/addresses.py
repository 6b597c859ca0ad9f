"""Where notifications may go. The one seam through which every address that a user entered passes, right before it is used."""

from django.conf import settings

from dgbot.base import outbound


def check(url: str) -> None:
    """Raises BadInput for an address that is none, is not encrypted, or lies in a private network.

    An address inside would let whoever may add a channel talk to what stands behind our firewall. DGBOT_PRIVATE_ADDRESSES permits it.
    """
    outbound.destination(url, is_private_permitted=settings.PRIVATE_ADDRESSES)
