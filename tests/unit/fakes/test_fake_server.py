"""The fakes' server: real sockets, and every way to misbehave."""

from collections.abc import Iterator

import pytest
import requests

from tests.fakes.core import faults
from tests.fakes.core.faults import Fault
from tests.fakes.core.server import Answer, FakeServer, Request

SEEN: list[Request] = []


def echo(request: Request) -> Answer:
    SEEN.append(request)
    return Answer(body={"path": request.path, "query": request.raw_query})


@pytest.fixture
def server() -> Iterator[FakeServer]:
    SEEN.clear()
    with FakeServer(echo) as running:
        yield running


def test_it_answers_with_the_query_as_it_was_sent(server: FakeServer) -> None:
    assert requests.get(server.url + "/v1/x?a%5B%5D=1&b=%2B", timeout=2).json() == {"path": "/v1/x", "query": "a%5B%5D=1&b=%2B"}
    assert [line.status for line in server.log] == [200]


def test_accept_then_drop_does_the_deed_without_an_answer(server: FakeServer) -> None:
    server.faults.set("POST /*", faults.accept_then_drop(), times=1)

    with pytest.raises(requests.ConnectionError):
        requests.post(server.url + "/v1/orders", timeout=2)

    assert len(SEEN) == 1
    assert requests.post(server.url + "/v1/orders", timeout=2).ok


@pytest.mark.parametrize(("fault", "deeds"), [(faults.drop(), 0), (faults.hang(), 0), (faults.hang(is_processed=True), 1)])
def test_no_answer_comes(server: FakeServer, fault: Fault, deeds: int) -> None:
    server.faults.set("*", fault)

    with pytest.raises((requests.ConnectionError, requests.ReadTimeout)):
        requests.get(server.url + "/v1/x", timeout=0.3)

    assert len(SEEN) == deeds


def test_a_true_answer_can_be_cut(server: FakeServer) -> None:
    server.faults.set("*", Fault(truncate_to=5))

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        requests.get(server.url + "/v1/x", timeout=2)


def test_a_proxy_page_can_hide_the_deed(server: FakeServer) -> None:
    server.faults.set("*", faults.html(502, is_processed=True))

    answer = requests.get(server.url + "/v1/x", timeout=2)

    assert (answer.status_code, answer.text[:6], len(SEEN)) == (502, "<html>", 1)
