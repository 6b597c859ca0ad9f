"""Decisions made again from what is stored: the proof that nothing was changed and nothing was made up, and the answer to "what if".

stored row ─→ its hash and the one before it ─→ inputs and candles restored ─→ the same functions ─→ the same bytes?
"""

from dataclasses import dataclass, replace

from django.db.models import QuerySet

from dgbot.core.errors import BadInput
from risk.domain.reasons import Reason
from trading.models import Analyst, Bot, CallPurpose, Decision, PromptTemplate
from trading.services import analysts
from trading.services.analysts import Asked, Question
from trading.services.stages import analysis, consulting, facts
from trading.services.stages.inputs import CandlesOf, restored


@dataclass(frozen=True)
class Replayed:
    """What came of making a decision again. tampered: why the stored row cannot be trusted, empty when it can."""

    decision: Decision
    again: Decision
    tampered: str

    @property
    def is_equal(self) -> bool:
        """To the byte."""
        return not self.tampered and analysis.content_of(self.again) == analysis.content_of(self.decision)

    @property
    def differing(self) -> list[str]:
        """Names of the columns that differ."""
        names = ("decision", "confidence", "reason", "answer", "market_data", "inputs", "proposal", "verdict", "candles_hash")
        return [name for name in names if getattr(self.decision, name) != getattr(self.again, name)]


def replay(decision: Decision, candles_of: CandlesOf) -> Replayed:
    """Make a decision again; asks nobody. Raises BadInput when its candles are missing or have changed."""
    context, collected = restored(decision, candles_of)
    prepared = analysis.prepare(context, collected, asking=lambda question: _told_then(decision, question))
    again = analysis.compose(context, collected, prepared, previous_hash=decision.previous_hash)
    return Replayed(decision=decision, again=again, tampered=why_tampered(decision))


def what_if(decision: Decision, candles_of: CandlesOf, *, model: str = "", prompt: PromptTemplate | None = None) -> Asked:
    """What another model or prompt says of the same facts. Costs money from the analyst's budget. Raises BadInput without an analyst."""
    analyst = Analyst.objects.select_related("prompt").filter(name=decision.analyst).first()
    if analyst is None:
        raise BadInput(f"Decision {decision.pk} was made by {decision.analyst}; a model can only be asked in place of another one.")
    context, collected = restored(decision, candles_of)
    prepared = analysis.prepare(context, collected, asking=lambda question: _told_then(decision, question))
    proposal = prepared.before or prepared.proposal
    question = consulting.question_for(context, collected, proposal=proposal)
    if question is None:
        raise BadInput(f"Nothing was asked in decision {decision.pk}: the rules proposed {proposal.decision}.")
    told = facts.gather(context, collected, proposal=proposal, filtered=prepared.filtered)
    asked = Question(analyst, decision.symbol, question, told, purpose=CallPurpose.WHAT_IF, model=model, prompt=prompt)
    return analysts.ask(replace(asked, bot=Bot.objects.get(pk=decision.bot_id)))


def why_tampered(decision: Decision) -> str:
    """Why this row is not the one that was written; empty when it is."""
    if analysis.hash_of(decision) != decision.hash:
        return f"The content of decision {decision.pk} does not fit its hash."
    before = Decision.objects.filter(bot=decision.bot_id, pk__lt=decision.pk).order_by("-pk").values_list("hash", flat=True).first()
    if before is not None and before != decision.previous_hash:
        return f"Decision {decision.pk} does not follow the one before it: a row is missing or was changed."
    return ""


def tampered_in(decisions: QuerySet[Decision]) -> list[str]:
    """Every break in the chains of these decisions."""
    rows = decisions.select_related("call__prompt").order_by("bot", "pk")
    return [why for why in (why_tampered(decision) for decision in rows.iterator(chunk_size=500)) if why]


def _told_then(decision: Decision, question: Question) -> Asked:
    """What came of the question at the time."""
    if decision.call is not None:
        return analysts.understood(decision.call, question)
    reasons = decision.inputs.get("unasked", [])
    return Asked(answer=None, reasons=tuple(Reason(**reason) for reason in reasons))
