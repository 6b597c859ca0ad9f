"""Forty ways to make this server visit what stands behind it, and a connection that goes where it was judged."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from typing import Any

import pytest

from dgbot.base import outbound
from dgbot.core.errors import BadInput

INSIDE = [
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://0/",
    "https://0.0.0.0/",
    "https://10.0.0.5/",
    "https://172.16.3.4/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://100.100.100.200/",
    "https://169.254.169.254/latest/meta-data/",
    "https://168.63.129.16/",
    "https://192.0.0.1/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://localhost/",
    "https://localhost./",
    "https://inside.test/",
    "https://both.test/",
    "https://mapped.test/",
]
NO_ADDRESS = [
    "http://example.com/",
    "https://example.com:8443/",
    "https://user:word@example.com/",
    "https://example.com@127.0.0.1/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_PING",
    "https:///nothing",
    "https://exa mple.com/",
    "https://example.com\r\nHost: inside/",
    "https://example.com:99999/",
    "https://[::1/",
    "https://nobody.test/",
    "",
]
NAMES = {
    "example.com": ["93.184.215.14"],
    "localhost": ["127.0.0.1"],
    "inside.test": ["10.1.2.3"],
    "both.test": ["93.184.215.14", "10.1.2.3"],
    "mapped.test": ["::ffff:192.168.0.1"],
}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The resolver of this machine, which asks nobody."""
    known = {name: list(addresses) for name, addresses in NAMES.items()}
    plain = socket.getaddrinfo

    def resolve(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        try:
            ip_address(host)
        except ValueError:
            if host not in known:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]]
        return plain(host, port, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


@pytest.mark.parametrize("url", [*INSIDE, *NO_ADDRESS])
def test_what_leads_inside_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        outbound.destination(url)


@pytest.mark.parametrize(
    "url", ["https://example.com/v1", "https://example.com:443/", "https://93.184.215.14/", "https://[2606:4700::1111]/"]
)
def test_what_is_anybodys_is_let_through(url: str) -> None:
    assert outbound.destination(url).port == 443


def test_what_the_operator_named_may_lie_inside() -> None:
    assert outbound.destination("http://localhost:11434/v1", permitted=("localhost:11434",)).address == "127.0.0.1"
    with pytest.raises(BadInput):
        outbound.destination("http://localhost:6379/", permitted=("localhost:11434",))


@pytest.fixture
def inside() -> Iterator[tuple[str, list[str]]]:
    """A server behind the firewall, which redirects to a second address, and what it was asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.headers['Host']}{self.path}")
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"rebinding.test:{server.server_port}", asked
    server.shutdown()


def test_the_connection_goes_to_the_address_that_was_judged_and_follows_nothing(names: dict[str, list[str]], inside: Any) -> None:
    """The name answers once with an address that may be visited, and at every later question with another."""
    name, asked = inside
    names["rebinding.test"] = ["127.0.0.1"]
    client = outbound.pinned_client(permitted=(name,), timeout=5)
    judged = outbound.destination

    def judge_then_rebind(*arguments: Any, **named: Any) -> outbound.Destination:
        where = judged(*arguments, **named)
        names["rebinding.test"] = ["169.254.169.254"]
        return where

    outbound.destination = judge_then_rebind
    try:
        answer = client.get(f"http://{name}/v1")
    finally:
        outbound.destination = judged

    assert (answer.status_code, asked) == (302, [f"{name}/v1"])


def test_a_client_without_a_permit_does_not_even_connect(names: dict[str, list[str]], inside: Any) -> None:
    name, asked = inside
    names["rebinding.test"] = ["127.0.0.1"]

    with pytest.raises(BadInput):
        outbound.pinned_client(timeout=5).get(f"http://{name}/")
    assert not asked
