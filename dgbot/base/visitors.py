"""Where a visitor comes from. What a proxy says is believed only as far as DGBOT_PROXIES states that there are proxies."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def address_of(request: HttpRequest) -> str | None:
    """The visitor's IP address; None when there is none that can be read, as with a unix socket.

    With n proxies of ours, the visitor is the n-th address from the right of X-Forwarded-For: whatever stands to its left was written
    by the visitor.
    """
    peer = request.META.get("REMOTE_ADDR", "")
    told = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    proxies = settings.PROXIES
    text = told[-proxies] if proxies and len(told) >= proxies else peer
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)
