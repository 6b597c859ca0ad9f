"""Stage 3, Analysis: signal → quick filter → market conditions → analyst → validator. One decision per cycle, stored once.

`prepare` looks and asks, outside any transaction; `decide` judges and stores inside the one that also writes the stage's row.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from backtests.candles.series import Candles
from backtests.strategies.base import Parameters, Strategy
from backtests.strategies.registry import strategy_named
from dgbot.core.clock import to_nanoseconds
from dgbot.core.crash import crash_point
from dgbot.core.errors import BadInput
from dgbot.core.money import plain
from risk.domain.reasons import Reason
from trading.analyst import rules
from trading.domain.stages import Action, Collected, DecisionKind, Outcome, Proposal
from trading.domain.validator import OF_ANALYST, OF_BTC, Verdict, judge_buy
from trading.models import AnalystCall, Decision
from trading.services import analysts
from trading.services.analysts import Asked, Asking
from trading.services.stages import conditions, consulting, inputs, quick_filter
from trading.services.stages.context import Context
from trading.services.stages.quick_filter import Filtered

NOT_ASKED = "not asked"  # nothing was proposed that it could stop


@dataclass(frozen=True)
class Prepared:
    """What is known before anything is written. filtered, readings: of a proposed entry only.

    proposal: what is decided so far; before: what the rules alone proposed. asked: what came of the question to a model, if any.
    """

    proposal: Proposal
    filtered: Filtered | None = None
    readings: dict[str, float | None] | None = None
    before: Proposal | None = None
    asked: Asked | None = None


def prepare(context: Context, collected: Collected, *, asking: Asking = analysts.ask) -> Prepared:
    """Propose by the rules; for an entry also ask the quick filter, look at the market, and ask the bot's analyst.

    asking: how a question is put; who makes a stored decision again hands in what was said then.
    """
    try:
        strategy = strategy_named(context.bot.strategy)
        parameters = strategy.parameters.of(context.bot.parameters)
    except BadInput as error:
        return Prepared(Proposal(DecisionKind.ABSTAIN, f"The strategy cannot run: {error}"))
    proposal = _propose(context, collected, strategy=strategy, parameters=parameters)
    question = consulting.question_for(context, collected, proposal=proposal)
    if proposal.decision is not DecisionKind.BUY and question is None:
        return Prepared(proposal)
    filtered = None
    if context.position is None:
        candles: Candles = collected.candles
        filtered = quick_filter.judge(context, candles, strategy=strategy, parameters=parameters, thresholds=context.thresholds)
    prepared = Prepared(proposal, filtered=filtered)
    if question is not None and (filtered is None or not filtered.stops):
        asked = consulting.consult(context, collected, question=question, proposal=proposal, filtered=filtered, asking=asking)
        plan = rules.plan_at_close(collected.candles, strategy, parameters) if context.position is None else {}
        decided = consulting.decided(asked, question=question, proposal=proposal, plan=plan)
        prepared = Prepared(decided, filtered=filtered, before=proposal, asked=asked)
    if prepared.proposal.decision is not DecisionKind.BUY:
        return prepared
    confidence = prepared.asked.answer.confidence if prepared.asked is not None and prepared.asked.answer is not None else None
    seen = {**conditions.read(context, collected), "confidence": None if confidence is None else float(confidence)}
    return replace(prepared, readings=seen)


def decide(context: Context, collected: Collected, prepared: Prepared) -> tuple[Decision, Outcome]:
    """Judge and store. Call inside the transaction that also writes the stage's row."""
    proposal, filtered = prepared.proposal, prepared.filtered
    verdict = _judge(context, prepared)
    crash_point("analyst answered")
    previous = Decision.objects.filter(bot=context.bot).order_by("-pk").values_list("hash", flat=True).first() or ""
    decision = compose(context, collected, prepared, previous_hash=previous)
    decision.save(force_insert=True)
    stopped = filtered.reasons if filtered is not None and filtered.stops else ()
    unheard = prepared.asked.reasons if prepared.asked is not None else ()
    reasons = (Reason(f"decision_{proposal.decision}", proposal.reason), *unheard, *stopped, *verdict.reasons)
    if consulting.FAILED in {reason.code for reason in unheard} and analysts.has_kept_failing(context.bot):
        analysts.enter_safe_mode(context.bot, at=context.now)
    acts = proposal.decision in (DecisionKind.BUY, DecisionKind.SELL) and decision.verdict["is_valid"]
    data = {
        "quick_filter": NOT_ASKED if filtered is None else filtered.as_row(),
        "market_conditions": NOT_ASKED if prepared.readings is None else prepared.readings,
        "analyst": context.bot.analyst,
        "gates": proposal.gates,
        "decision": proposal.decision,
        "validator": decision.verdict,
    }
    return decision, Outcome(Action.CONTINUE if acts else Action.SKIP, reasons, data)


def _propose(context: Context, collected: Collected, *, strategy: Strategy[Any], parameters: Parameters) -> Proposal:
    candles: Candles | None = collected.candles
    if candles is None or not len(candles):
        return Proposal(DecisionKind.ABSTAIN, "There is no candle to judge by: " + " ".join(reason.message for reason in collected.unknown))
    position = context.position
    if position is not None:
        entry_price = position.entry_price
        if entry_price is None:
            return Proposal(DecisionKind.ABSTAIN, f"Position {position.pk} has no entry price, so its exits cannot be judged.")
        return rules.propose_exit(
            candles=candles,
            strategy=strategy,
            parameters=parameters,
            entry_price=entry_price,
            opened_at_ns=to_nanoseconds(position.opened_at),
            plan=position.plan,
        )
    if collected.unknown:
        return Proposal(DecisionKind.ABSTAIN, "No entry is considered: " + " ".join(reason.message for reason in collected.unknown))
    return rules.propose_entry(candles=candles, strategy=strategy, parameters=parameters)


def _judge(context: Context, prepared: Prepared) -> Verdict:
    """Entries alone are judged; the rules state no probability, and BTC has no relation to itself."""
    if prepared.proposal.decision is not DecisionKind.BUY:
        return Verdict(is_valid=True)
    skipped = (frozenset() if prepared.asked is not None else OF_ANALYST) | (OF_BTC if context.is_btc else frozenset())
    return judge_buy(prepared.readings or {}, thresholds=context.thresholds, skipped=skipped)


def compose(context: Context, collected: Collected, prepared: Prepared, *, previous_hash: str) -> Decision:
    """The decision as it is stored, hashed and unsaved: the same row from the same inputs, to the byte."""
    bot, candles, proposal = context.bot, collected.candles, prepared.proposal
    count = 0 if candles is None else len(candles)
    answer = None if prepared.asked is None else prepared.asked.answer
    told = {} if prepared.before is None else {"rules": prepared.before.decision.value, "says": proposal.reason}
    decision = Decision(
        cycle=context.cycle,
        bot=bot,
        account_id=bot.account_id,
        user_id=bot.user_id,
        mode=bot.mode,
        symbol=bot.symbol,
        decision=proposal.decision.value,
        confidence=None if answer is None else answer.confidence,
        reason=proposal.reason if answer is None else answer.reason,
        analyst=bot.analyst,
        call=None if prepared.asked is None else prepared.asked.call,
        answer=None if answer is None else answer.as_row(),
        market_data=_market_data(collected, prepared=prepared),
        inputs=_inputs(context, collected, prepared),
        proposal={"decision": proposal.decision.value, "plan": proposal.plan, "exit_reason": proposal.exit_reason, **told},
        verdict=_verdict_row(prepared, _judge(context, prepared)),
        anchor_at=candles.first_opened_at if count else None,
        candle_count=count,
        candles_hash=candles.hash_at(count) if count else "",
        previous_hash=previous_hash,
        created_at=context.now,
    )
    decision.hash = hash_of(decision)
    return decision


def hash_of(decision: Decision) -> str:
    """SHA-256 over the decision's content and the hash before it: any later change shows."""
    return hashlib.sha256(content_of(decision)).hexdigest()


def _inputs(context: Context, collected: Collected, prepared: Prepared) -> dict[str, Any]:
    row = inputs.recorded(context, collected, filtered=prepared.filtered)
    if prepared.asked is not None and prepared.asked.call is None:
        row["unasked"] = [reason.as_row() for reason in prepared.asked.reasons]
    return row


def content_of(decision: Decision) -> bytes:
    """Everything a decision says and was made from, in one fixed spelling."""
    content: dict[str, Any] = {
        "previous": decision.previous_hash,
        "bot": decision.bot_id,
        "cycle": decision.cycle_id,
        "confidence": None if decision.confidence is None else f"{decision.confidence:.2f}",
        "symbol": decision.symbol,
        "decision": decision.decision,
        "reason": decision.reason,
        "market_data": decision.market_data,
        "proposal": decision.proposal,
        "verdict": decision.verdict,
        "analyst": decision.analyst,
        "anchor_at": None if decision.anchor_at is None else decision.anchor_at.isoformat(),
        "candle_count": decision.candle_count,
        "candles_hash": decision.candles_hash,
        "created_at": decision.created_at.isoformat(),
    }
    if decision.inputs:  # decisions of earlier versions have none
        content["inputs"] = decision.inputs
    if decision.call is not None:
        content |= {"answer": decision.answer, "call": call_content(decision.call)}
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()


def call_content(call: AnalystCall) -> dict[str, Any]:
    """What a question to a model was and brought, all of which the decision's hash covers."""
    return {
        "model": call.model,
        "prompt": str(call.prompt),
        "messages": call.messages,
        "status": call.status,
        "raw_answer": call.raw_answer,
        "error": call.error,
        "tokens": [call.input_tokens, call.output_tokens],
        "cost": None if call.cost is None else plain(call.cost),
        "latency_ms": call.latency_ms,
        "request": call.request_id,
    }


def _market_data(collected: Collected, *, prepared: Prepared) -> dict[str, Any]:
    proposal = prepared.proposal
    return {
        "known_at": collected.known_at.isoformat(),
        "price": None if collected.ticker is None else plain(collected.ticker.price),
        "best_bid": None if collected.book is None else plain(collected.book.bids[0].price),
        "best_ask": None if collected.book is None else plain(collected.book.asks[0].price),
        "book_is_assumed": None if collected.book is None else collected.book.is_assumed,
        "indicators": proposal.indicators,
        "gates": proposal.gates,
        "readings": prepared.readings,
        "unknown": [reason.as_row() for reason in collected.unknown],
    }


def _verdict_row(prepared: Prepared, verdict: Verdict) -> dict[str, Any]:
    """What stopped a proposed entry, gate by gate: the quick filter as one, each rule of the validator as its own."""
    filtered = prepared.filtered
    stopped_by = ["quick_filter"] if filtered is not None and filtered.stops else []
    if prepared.before is not None and prepared.before.decision is DecisionKind.BUY and prepared.proposal.decision is not DecisionKind.BUY:
        stopped_by.append("analyst_silent" if prepared.proposal.decision is DecisionKind.ABSTAIN else "analyst_veto")
    stopped_by += [reason.code for reason in verdict.reasons]
    reasons = (*filtered.reasons, *verdict.reasons) if filtered is not None and filtered.stops else verdict.reasons
    return {
        "is_valid": not stopped_by,
        "stopped_by": stopped_by,
        "reasons": [reason.as_row() for reason in reasons],
        "rules": [ruling.as_row() for ruling in verdict.rulings],
        "quick_filter": None if filtered is None else filtered.as_row(),
    }
