"""Is an exchange fit to be traded at? One finding per question, each with what to do."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from dgbot.core.clock import SystemClock
from dgbot.core.errors import DgbotError
from dgbot.core.interval import Interval
from dgbot.core.protocols import Exchange
from trading.models import Command, CommandKind, CommandState, Credential
from trading.services import commands, venues

WARNING_SKEW_S, WORST_SKEW_S = 1.0, 5.0  # the exchange's time is told in whole seconds; Bitget refuses signatures of 30 s
SLOW_S = 1.0
SOON = timedelta(days=30)
PROBES = {"upbit": "KRW-BTC", "bitget": "BTC/USDT:USDT"}  # markets that will not be closed

GOOD, WARNING, BAD = "good", "warning", "bad"


@dataclass(frozen=True)
class Finding:
    """The answer to one question. state: good, warning or bad."""

    question: str
    state: str
    said: str

    def as_dict(self) -> dict[str, str]:
        """For programs."""
        return asdict(self)


def examine(exchange: str, *, wait_s: float) -> Iterator[Finding]:
    """Ask public data directly and every key of this exchange through the gateway, which alone can sign.

    wait_s: how long the gateway may take for one key. Raises VenueUnavailable for an exchange that nobody knows.
    """
    public, symbol = venues.public_exchange(exchange), PROBES[exchange]
    yield _try("reachable", lambda: _reachable(public, symbol))
    yield _try("clock", lambda: _clock(public))
    yield _try("rules", lambda: _rules(public, symbol))
    yield _try("candles", lambda: _candles(public, symbol))
    for credential in Credential.objects.select_related("account").filter(account__exchange=exchange).order_by("pk"):
        yield _key(credential, wait_s=wait_s)


def _try(question: str, ask: Callable[[], tuple[str, str]]) -> Finding:
    try:
        state, said = ask()
    except DgbotError as error:
        state, said = BAD, str(error)
    return Finding(question, state, said)


def _reachable(public: Exchange, symbol: str) -> tuple[str, str]:
    started = time.monotonic()
    price = public.ticker(symbol).price
    took = time.monotonic() - started
    return (GOOD if took < SLOW_S else WARNING), f"{symbol} costs {price:f}, told within {took:.2f} s (slow from {SLOW_S:g} s)"


def _clock(public: Exchange) -> tuple[str, str]:
    before = SystemClock().now()
    told = public.server_time()
    middle = before + (SystemClock().now() - before) / 2
    skew = abs((told - middle).total_seconds())
    state = GOOD if skew <= WARNING_SKEW_S else WARNING if skew <= WORST_SKEW_S else BAD
    remedy = "" if state == GOOD else "; let this machine keep its time (NTP)"
    return state, f"this machine's clock is {skew:.1f} s off (limit {WORST_SKEW_S:g} s){remedy}"


def _rules(public: Exchange, symbol: str) -> tuple[str, str]:
    listed = public.markets()
    rules = next((one for one in listed if one.symbol == symbol), None)
    if rules is None:
        return BAD, f"{len(listed)} markets are listed, {symbol} is not among them"
    return GOOD, f"{len(listed)} markets; {symbol}: lot {rules.lot_step:f}, minimum {rules.minimum_total:f} {rules.quote}"


def _candles(public: Exchange, symbol: str) -> tuple[str, str]:
    now = SystemClock().now()
    found = public.candles(symbol, Interval.HOUR_1, start=now - timedelta(hours=6), end=now)
    if not found:
        return BAD, f"no hour of {symbol} has been told since {now - timedelta(hours=6):%H:%M} UTC"
    age = now - found[-1].opened_at - Interval.HOUR_1.length
    return (GOOD if age < timedelta(hours=1) else WARNING), f"the newest hour of {symbol} closed {_minutes(age)} ago"


def _key(credential: Credential, *, wait_s: float) -> Finding:
    question = f"key {credential.shown} of {credential.account}"
    command = commands.wait_for(commands.ask(kind=CommandKind.CHECK_KEY, account=credential.account, by="doctor"), at_most_s=wait_s)
    credential.refresh_from_db()
    if command.state != CommandState.DONE:
        return Finding(question, BAD, command.error_message or f"the gateway did not answer within {wait_s:g} s; see whether it runs")
    return Finding(question, *_verdict(credential, command, now=SystemClock().now()))


def _verdict(credential: Credential, command: Command, *, now: datetime) -> tuple[str, str]:
    if command.answer["status"] != "verified":
        return BAD, f"{command.answer['status']}: {command.answer['cause']}"
    told = [f"{name}: {_word(command.answer[key])}" for name, key in RIGHTS]
    is_ending = credential.expires_at is not None and credential.expires_at - now < SOON
    told.append("expiry unknown" if credential.expires_at is None else f"expires in {(credential.expires_at - now).days} days")
    return (WARNING if is_ending or command.answer["is_ip_locked"] is False else GOOD), ", ".join(told)


RIGHTS = (("read", "can_read"), ("trade", "can_trade"), ("withdraw", "can_withdraw"), ("bound to addresses", "is_ip_locked"))


def _word(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"


def _minutes(age: timedelta) -> str:
    return f"{age.total_seconds() / 60:.0f} min"
