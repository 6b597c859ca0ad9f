"""Addresses that somebody typed and this server then visits: where they may lead, and a connection that leads nowhere else.

The name is resolved once, every answer is judged, and the connection goes to the address that was judged: a name that answers
otherwise a moment later (DNS rebinding) is not asked again. Redirects are not followed. Without this, whoever may enter an address
could talk to what stands behind our firewall, such as a cloud's metadata, in this server's name.
"""

import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from dgbot.core.errors import BadInput

Address = IPv4Address | IPv6Address

NAT64 = IPv6Network("64:ff9b::/96")
DENIED = {ip_address("168.63.129.16")}  # public by its number, and yet the inside of a cloud (Azure's wire server)
HTTPS_PORT = 443


@dataclass(frozen=True)
class Destination:
    """Where a connection goes. host: as it was typed, for the certificate. address: the judged one."""

    scheme: str
    host: str
    port: int
    address: str


def destination(url: str, *, permitted: Collection[str] = (), is_private_permitted: bool = False) -> Destination:
    """Judge an address. permitted: `host` or `host:port` that the operator of this server has named: any scheme, port and network.

    Raises BadInput for one that is none, is not encrypted, has another port than 443, carries a name and password, or leads inside.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise BadInput(_("The address is no web address: it must begin with https:// and name a host.")) from None
    if parts.scheme not in ("http", "https") or not host or any(char.isspace() or not char.isprintable() for char in url):
        raise BadInput(_("The address is no web address: it must begin with https:// and name a host."))
    if parts.username is not None or parts.password is not None:
        raise BadInput(_("The address carries a name or a password before its host; leave them out."))
    port = port or (HTTPS_PORT if parts.scheme == "https" else 80)
    is_named = host in permitted or f"{host}:{port}" in permitted
    if not is_named and not is_private_permitted and (parts.scheme != "https" or port != HTTPS_PORT):
        raise BadInput(
            _("The address %(host)s is not encrypted on port 443: it must begin with https:// and have no port.") % {"host": host}
        )
    found = _resolved(host, port)
    inside = [one for one in found if not is_public(one)]
    if inside and not is_named and not is_private_permitted:
        raise BadInput(
            _("The address %(host)s lies in a private network (%(found)s); set DGBOT_PRIVATE_ADDRESSES=true if that is meant.")
            % {"host": host, "found": inside[0]}
        )
    return Destination(parts.scheme, host, port, str(found[0]))


def is_public(address: Address) -> bool:
    """Whether an address is anybody's on the internet, also the one that is hidden within it (mapped, translated, tunnelled)."""
    if isinstance(address, IPv6Address):
        hidden = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in NAT64:
            hidden.append(IPv4Address(int(address) & 0xFFFF_FFFF))
        if any(one is not None and not is_public(one) for one in hidden):
            return False
        if address.ipv4_mapped is not None:
            return True  # the mapped one is public
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in DENIED


def _resolved(host: str, port: int) -> list[Address]:
    """Every address of a name. Numbers are read as they stand: 0x7f.1 and 2130706433 are names that nobody has."""
    try:
        return [ip_address(host.partition("%")[0])]
    except ValueError:
        pass
    last = host.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        raise BadInput(_("The host %(host)s is a number written in an unusual way; write it as four numbers with dots.") % {"host": host})
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or _("it cannot be resolved")
        raise BadInput(_("The host %(host)s is not known: %(why)s.") % {"host": host, "why": why}) from error
    return [ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]


def pinned_client(*, permitted: Collection[str] = (), is_private_permitted: bool = False, **options: Any) -> Any:
    """An HTTP client (httpx2) that judges every request's address and connects to the judged one. It follows no redirect.

    options: of the client, such as `timeout`. The certificate is still checked against the host that was typed.
    """
    import httpx2  # a tenth of a second that only a process which visits addresses should spend

    class Pinned(httpx2.HTTPTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            where = destination(str(request.url), permitted=permitted, is_private_permitted=is_private_permitted)
            request.extensions = {**request.extensions, "sni_hostname": where.host}
            request.url = request.url.copy_with(host=where.address)
            return super().handle_request(request)

    return httpx2.Client(transport=Pinned(), follow_redirects=False, trust_env=False, **options)
