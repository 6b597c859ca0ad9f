"""Every documented error body, for a question and for an order: which of our classes it becomes."""

import json

import pytest

from dgbot.core.errors import (
    ClientIdKnown,
    CredentialsRefused,
    ExchangeError,
    ExchangeMaintenance,
    ExchangeRejected,
    ExchangeUnavailable,
    OutcomeUnknown,
    RateLimited,
)
from tests.contracts.bitget.stage import DETAIL, PLACE, SYMBOL, an_order, impatient
from tests.fakes.bitget.errors import DOCUMENTED, error_answer
from tests.fakes.core.faults import Fault, accept_then_drop, drop, garbage, hang, html
from trading.exchanges import bitget_errors

UNKNOWN_FOR_ORDERS = {"40010", "40015", "40200", "40725", "40786", "41114", "429", "45001"}  # system's, duplicates, limits
KEYS = {"40001", "40002", "40003", "40006", "40009", "40011", "40012", "40014", "40018", "40037", "40085", "40099"}
DUPLICATES = {"40786"}
MEANINGS = {"429": RateLimited, "40200": ExchangeMaintenance, "41114": ExchangeMaintenance}


@pytest.mark.parametrize("code", sorted(DOCUMENTED))
def test_an_order_answered_with_a_documented_code(fake, exchange, code):
    expected = CredentialsRefused if code in KEYS else ExchangeRejected
    if code in UNKNOWN_FOR_ORDERS:
        expected = ClientIdKnown if code in DUPLICATES else OutcomeUnknown
    fake.server.faults.set(PLACE, _documented(code))

    with pytest.raises(ExchangeError) as told:
        exchange.place(an_order("A1"))

    assert type(told.value) is expected
    assert "A1" in str(told.value) and exchange.client.key.secret_key not in str(told.value)


@pytest.mark.parametrize("code", sorted(DOCUMENTED))
def test_a_question_answered_with_a_documented_code(fake, exchange, code):
    expected = MEANINGS.get(code, CredentialsRefused if code in KEYS else ExchangeUnavailable)
    fake.server.faults.set("GET *accounts", _documented(code))

    with pytest.raises(expected):
        exchange.balances()


@pytest.mark.parametrize("code", ["40109", "40768", "43001"])
def test_an_order_that_is_not_found_is_none(fake, exchange, code):
    fake.server.faults.set(DETAIL, _documented(code))

    assert exchange.order(symbol=SYMBOL, client_id="A1") is None


@pytest.mark.parametrize("code", ["99999", "50060", "12345", "EXTRA"])
def test_a_code_that_nobody_documented_never_counts_as_a_refusal(fake, exchange, code):
    fake.server.faults.set(PLACE, garbage(_body(code, "surprise"), status=400))

    with pytest.raises(OutcomeUnknown):
        exchange.place(an_order("A1"))


@pytest.mark.parametrize("code", ["40762", "40014", "40008"])
def test_a_known_code_with_a_server_error_is_unknown(fake, exchange, code):
    fake.server.faults.set(PLACE, garbage(_body(code, ""), status=502))

    with pytest.raises(OutcomeUnknown):
        exchange.place(an_order("A1"))


@pytest.mark.parametrize("fault", [accept_then_drop(), drop(), hang(is_processed=True), html(502, is_processed=True), html(504), html(200)])
def test_an_order_without_a_proper_answer_is_unknown_and_sent_once(fake, exchange, fault):
    exchange.balances()
    fake.server.faults.set(PLACE, fault)
    impatient(exchange)

    with pytest.raises(OutcomeUnknown):
        exchange.place(an_order("A1"))

    assert sum(line.request.endpoint == PLACE for line in fake.server.log) == 1
    assert (exchange.order(symbol=SYMBOL, client_id="A1") is not None) is fault.is_processed


@pytest.mark.parametrize("fault", [Fault(truncate_to=30), Fault(drip_s=0.05)])
def test_an_answer_that_is_cut_or_drips_is_unknown(fake, exchange, fault):
    exchange.balances()
    fake.server.faults.set(PLACE, fault)
    impatient(exchange)

    with pytest.raises(OutcomeUnknown):
        exchange.place(an_order("A1"))

    assert exchange.order(symbol=SYMBOL, client_id="A1") is not None


def test_an_order_to_a_closed_port_was_certainly_not_sent(fake, exchange):
    exchange.balances()
    fake.server.stop()

    with pytest.raises(ExchangeUnavailable, match="was not sent"):
        exchange.place(an_order("A1"))


def test_a_used_client_id_is_unknown_because_the_first_request_was_recorded(exchange):
    exchange.place(an_order("A1"))

    with pytest.raises(OutcomeUnknown, match="40786"):
        exchange.place(an_order("A1"))


def test_every_code_has_one_meaning_and_agrees_with_ccxt_where_ccxt_is_right():
    sets = {
        "refused": bitget_errors.REFUSED,
        "not found": bitget_errors.NOT_FOUND,
        "duplicate": bitget_errors.DUPLICATE_ID,
        "clock": bitget_errors.CLOCK_IS_WRONG,
        "busy": bitget_errors.BUSY,
        "closed": bitget_errors.CLOSED_FOR_NOW,
        "key": bitget_errors.KEY_REFUSED,
    }
    every = [code for codes in sets.values() for code in codes]
    assert len(every) == len(set(every))

    from ccxt.base import errors as theirs
    from ccxt.bitget import bitget

    table = bitget().exceptions["exact"]
    refusals = (theirs.InvalidOrder, theirs.InsufficientFunds, theirs.BadRequest, theirs.ArgumentsRequired)
    unlisted_there = {"22002", "25202", "25203", "25227", "40034", "45117"}
    assert all(issubclass(table[code], refusals) for code in bitget_errors.REFUSED - unlisted_there)
    assert issubclass(table["40010"], theirs.AuthenticationError) and "40010" not in bitget_errors.KEY_REFUSED  # really a time-out


def _documented(code: str) -> Fault:
    answer = error_answer(code, now_ms=1763713656000)
    return garbage(answer.payload, status=answer.status)


def _body(code: str, message: str) -> str:
    return json.dumps({"code": code, "msg": message, "requestTime": 1763713656000, "data": None})
