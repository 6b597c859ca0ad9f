"""Asking a model: money reserved and committed first, one question, its answer kept as it came; a failure is an abstention.

earlier answer of this cycle? ─→ read it, ask nobody
reserve (budget, breaker; committed) ─→ ask, outside any transaction ─→ record ─→ parse
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, Sum
from django.db.models.functions import Coalesce, TruncDay, TruncMonth

from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import machine_now
from dgbot.core.money import plain
from risk import services as risk
from risk.domain.reasons import Reason
from trading.analyst import endpoint, prompts
from trading.analyst.answers import Answer, Nonsense, parse
from trading.analyst.endpoint import AnalystFailed, Endpoint, Reply, Usage
from trading.models import Analyst, AnalystCall, Bot, CallPurpose, CallStatus, Cycle, PromptTemplate

MILLION = Decimal(1_000_000)
BREAKER_FAILURES = 5
BREAKER_WINDOW = timedelta(seconds=60)
SAFE_MODE_AFTER = 3  # failures of a bot's analyst in a row
FIRST_PROMPT_NAME = "risk analyst"


@dataclass(frozen=True)
class Asked:
    """What came of a question: an answer, or why there is none. call: None when nothing was sent."""

    answer: Answer | None
    reasons: tuple[Reason, ...] = ()
    call: AnalystCall | None = None


@dataclass(frozen=True)
class Question:
    """What is asked of whom. question: a key of prompts.QUESTIONS. bot, cycle: None for a test."""

    analyst: Analyst
    symbol: str
    question: str
    facts: Mapping[str, Any]
    purpose: str = CallPurpose.DECISION
    bot: Bot | None = None
    cycle: Cycle | None = None
    prompt: PromptTemplate | None = None  # instead of the analyst's
    model: str = ""  # instead of the analyst's


Asking = Callable[[Question], Asked]


def ask(question: Question) -> Asked:
    """Ask once. Call outside any transaction. A cycle whose question was answered is never asked again."""
    if question.purpose == CallPurpose.DECISION and question.cycle is not None:
        known = AnalystCall.objects.filter(cycle=question.cycle, purpose=CallPurpose.DECISION, status=CallStatus.ANSWERED).first()
        if known is not None:
            return understood(known, question)
    analyst = question.analyst
    if not analyst.is_enabled:
        return refused("analyst_off", f"The analyst {analyst.name} is switched off.", remedy="Switch it on, or choose another for the bot.")
    if not settings.OPENAI_API_KEY:
        return refused("analyst_key", f"The analyst {analyst.name} has no key.", remedy="Set OPENAI_API_KEY, or let the rules decide.")
    host = _own_host(analyst)
    if host and host not in settings.AI_HOSTS:
        told = f"The analyst {analyst.name} asks {host}, which this server's operator has not named, so it is not given the key."
        return refused("analyst_host", told, remedy="Name the host in DGBOT_AI_HOSTS, or leave the analyst's endpoint empty.")
    assert not connection.in_atomic_block, "a question to a model must hold no transaction open"
    prompt = question.prompt or analyst.prompt
    messages = prompts.messages(system=prompt.system, question=question.question, facts=question.facts)
    reserved = reserve(question, messages=messages, prompt=prompt)
    if isinstance(reserved, Reason):
        return Asked(answer=None, reasons=(reserved,))
    try:
        reply = endpoint.ask(_endpoint(analyst, model=reserved.model), messages)
    except AnalystFailed as error:
        _fail(reserved, error)
    else:
        _record(reserved, reply)
    return understood(reserved, question)


def cost_of(analyst: Analyst, usage: Usage) -> Decimal:
    """USD for so many tokens."""
    return (analyst.input_price * usage.input_tokens + analyst.output_price * usage.output_tokens) / MILLION


def spent(analyst: Analyst) -> dict[str, Decimal]:
    """USD of this UTC day and month; what is not known to have cost less counts as reserved."""
    begins = {"day": TruncDay(ClockTimestamp()), "month": TruncMonth(ClockTimestamp())}
    sums = {name: Sum(Coalesce("cost", "reserved_cost"), filter=Q(asked_at__gte=begin)) for name, begin in begins.items()}
    found = AnalystCall.objects.filter(analyst=analyst, asked_at__gte=begins["month"]).aggregate(**sums)
    return {name: value or Decimal(0) for name, value in found.items()}


def spent_by_each() -> list[tuple[Analyst, dict[str, Decimal]]]:
    """Every analyst that may be asked with what it has spent, as `spent` tells it; one query for all."""
    begins = {"day": TruncDay(ClockTimestamp()), "month": TruncMonth(ClockTimestamp())}
    cost = Coalesce("calls__cost", "calls__reserved_cost")
    sums = {f"spent_{name}": Sum(cost, filter=Q(calls__asked_at__gte=begin)) for name, begin in begins.items()}
    rows: Any = Analyst.objects.filter(is_enabled=True).annotate(**sums).order_by("name")
    return [(row, {name: getattr(row, f"spent_{name}") or Decimal(0) for name in begins}) for row in rows]


@transaction.atomic
def reserve(question: Question, *, messages: list[dict[str, str]], prompt: PromptTemplate) -> AnalystCall | Reason:
    """Set the most this call can cost aside, or say why not. Callers of one analyst queue here, so together they never overshoot."""
    analyst = Analyst.objects.select_for_update().get(pk=question.analyst.pk)
    recent = AnalystCall.objects.filter(analyst=analyst, asked_at__gt=ClockTimestamp() - BREAKER_WINDOW)
    if recent.filter(status=CallStatus.FAILED).count() >= BREAKER_FAILURES:
        return _reason(
            "analyst_breaker",
            f"The analyst {analyst.name} failed {BREAKER_FAILURES} times within {BREAKER_WINDOW.seconds} s and is left alone for so long.",
            remedy="Nothing to do: it is asked again by itself.",
        )
    most = cost_of(analyst, Usage(endpoint.most_input_tokens(messages), analyst.max_output_tokens))
    used = {**spent(analyst), "cycle": _spent_in(question.cycle)}
    for span, limit in (("cycle", analyst.cycle_budget), ("day", analyst.day_budget), ("month", analyst.month_budget)):
        if used[span] + most > limit:
            return _reason(
                f"analyst_budget_{span}",
                f"The budget of {analyst.name} for this {span} is {plain(limit)} USD; {plain(used[span])} are spent and a question may"
                f" cost {plain(most)}.",
                remedy="Raise the budget, choose a cheaper model, or wait.",
            )
    return AnalystCall.objects.create(
        analyst=analyst,
        bot=question.bot,
        user_id=None if question.bot is None else question.bot.user_id,
        cycle=question.cycle,
        purpose=question.purpose,
        prompt=prompt,
        model=question.model or analyst.model,
        messages=messages,
        reserved_cost=most,
    )


def create_prompt(*, name: str, system: str, by: Any = None) -> PromptTemplate:
    """The next version of a prompt."""
    with transaction.atomic():
        newest = PromptTemplate.objects.select_for_update().filter(name=name).order_by("-version").first()
        return PromptTemplate.objects.create(name=name, version=newest.version + 1 if newest else 1, system=system, created_by=by)


def create_first_prompt() -> str | None:
    """The shipped prompt, if there is none at all."""
    if PromptTemplate.objects.exists():
        return None
    return f"Prompt added: {create_prompt(name=FIRST_PROMPT_NAME, system=prompts.FIRST_PROMPT)}."


def understood(call: AnalystCall, question: Question) -> Asked:
    """What an ended call comes to."""
    if call.status == CallStatus.FAILED:
        return _failed(f"The analyst {question.analyst.name} gave no answer: {call.error}.", call=call)
    try:
        return Asked(answer=parse(call.raw_answer, symbol=question.symbol), call=call)
    except Nonsense as error:
        return _failed(f"The answer of {question.analyst.name} cannot be used: {error}.", call=call)


def _failed(message: str, *, call: AnalystCall) -> Asked:
    return Asked(answer=None, reasons=(_reason("analyst_failed", message, remedy="Nothing to do: the next cycle asks again."),), call=call)


def refused(code: str, message: str, *, remedy: str) -> Asked:
    """Nobody was asked, and why."""
    return Asked(answer=None, reasons=(_reason(code, message, remedy=remedy),))


def _reason(code: str, message: str, *, remedy: str) -> Reason:
    return Reason(code, message, remedy=remedy)


def _own_host(analyst: Analyst) -> str:
    """Host and port of an endpoint that was entered in the admin; empty where the server's own settings choose it."""
    if not analyst.base_url or analyst.base_url == settings.OPENAI_BASE_URL:
        return ""
    return urlsplit(analyst.base_url).netloc.lower()


def _endpoint(analyst: Analyst, *, model: str) -> Endpoint:
    return Endpoint(
        permitted=tuple(settings.AI_HOSTS) if _own_host(analyst) else None,
        model=model,
        api_key=settings.OPENAI_API_KEY,
        base_url=analyst.base_url or settings.OPENAI_BASE_URL,
        uses_responses=analyst.uses_responses,
        timeout_s=analyst.timeout_s,
        max_output_tokens=analyst.max_output_tokens,
        temperature=None if analyst.temperature is None else float(analyst.temperature),
    )


def _spent_in(cycle: Cycle | None) -> Decimal:
    if cycle is None:
        return Decimal(0)
    return AnalystCall.objects.filter(cycle=cycle).aggregate(sum=Sum(Coalesce("cost", "reserved_cost")))["sum"] or Decimal(0)


def _record(call: AnalystCall, reply: Reply) -> None:
    call.status, call.raw_answer = CallStatus.ANSWERED, reply.text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    call.input_tokens, call.output_tokens = reply.usage.input_tokens, reply.usage.output_tokens
    call.cost, call.latency_ms, call.request_id = cost_of(call.analyst, reply.usage), reply.latency_ms, reply.request_id[:200]
    call.ended_at = machine_now()
    call.save(update_fields=["status", "raw_answer", "input_tokens", "output_tokens", "cost", "latency_ms", "request_id", "ended_at"])


def _fail(call: AnalystCall, error: AnalystFailed) -> None:
    call.status, call.error, call.ended_at = CallStatus.FAILED, str(error), machine_now()
    if error.usage is not None:
        call.input_tokens, call.output_tokens = error.usage.input_tokens, error.usage.output_tokens
        call.cost = cost_of(call.analyst, error.usage)
    elif not error.may_be_paid:
        call.cost = Decimal(0)
    call.save(update_fields=["status", "error", "ended_at", "input_tokens", "output_tokens", "cost"])


def has_kept_failing(bot: Bot) -> bool:
    """Whether the last SAFE_MODE_AFTER cycles in which this bot's analyst was asked brought no usable answer."""
    from trading.models import Decision

    asked = Decision.objects.filter(bot=bot, call__isnull=False).order_by("-pk").values_list("decision", flat=True)[:SAFE_MODE_AFTER]
    return len(asked) == SAFE_MODE_AFTER and set(asked) == {"abstain"}


def enter_safe_mode(bot: Bot, *, at: Any) -> None:
    """Block the bot's entries until an operator has looked at its analyst."""
    risk.enter_safe_mode(
        owner=risk.Owner(account_id=bot.account_id, user_id=bot.user_id, mode=bot.mode),
        bot_id=bot.pk,
        code="analyst_failing",
        message=f"The analyst of bot {bot.name} gave no usable answer {SAFE_MODE_AFTER} times in a row.",
        at=at,
        zone=settings.RISK_TIMEZONE,
    )
