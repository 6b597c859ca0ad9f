"""When a model is asked, what, and what its answer makes of the rules' proposal.

    veto:    rules propose a buy ─→ asked; buy stands, anything else vetoes, silence abstains
    propose: flat ─→ asked: buy or hold · holding, rules keep it ─→ asked: sell or hold

An exit of the rules is never asked about, and a model can neither size, nor loosen, nor outlive a limit.
"""

from risk.domain.exits import ExitReason
from trading.domain.stages import Collected, DecisionKind, Proposal
from trading.models import Analyst
from trading.models.bots import RULES, AnalystMode
from trading.services import analysts
from trading.services.analysts import Asked, Asking, Question
from trading.services.stages import facts
from trading.services.stages.context import Context
from trading.services.stages.quick_filter import Filtered

FAILED = "analyst_failed"


def question_for(context: Context, collected: Collected, *, proposal: Proposal) -> str | None:
    """Which question is due (a key of prompts.QUESTIONS), None when none is: most cycles cost nothing."""
    if context.bot.analyst == RULES:
        return None
    if context.bot.analyst_mode == AnalystMode.VETO:
        return "veto" if proposal.decision is DecisionKind.BUY else None
    if context.position is not None:
        return "leave" if proposal.decision is DecisionKind.HOLD else None
    knows_market = collected.candles is not None and len(collected.candles) > 0 and not collected.unknown
    return "propose" if knows_market else None


def consult(
    context: Context, collected: Collected, *, question: str, proposal: Proposal, filtered: Filtered | None, asking: Asking
) -> Asked:
    """Ask the bot's analyst, within its budget."""
    analyst = Analyst.objects.select_related("prompt").filter(name=context.bot.analyst).first()
    if analyst is None:
        return analysts.refused("analyst_missing", f"There is no analyst {context.bot.analyst!r}.", remedy="Choose one on the bot's page.")
    told = facts.gather(context, collected, proposal=proposal, filtered=filtered)
    asked = Question(analyst=analyst, symbol=context.bot.symbol, question=question, facts=told, bot=context.bot, cycle=context.cycle)
    return asking(asked)


def decided(asked: Asked, *, question: str, proposal: Proposal, plan: dict[str, str | None]) -> Proposal:
    """The proposal after the answer. Silence abstains, whatever was proposed. plan: the distances of an entry the model proposes."""
    answer = asked.answer
    if answer is None:
        return _with(proposal, DecisionKind.ABSTAIN, " ".join(reason.message for reason in asked.reasons))
    sure = f"the analyst says {answer.decision} with {answer.confidence} %"
    if question == "veto":
        if answer.decision == "buy":
            return _with(proposal, DecisionKind.BUY, f"{proposal.reason} And {sure}.", plan=proposal.plan)
        return _with(proposal, DecisionKind.HOLD, f"{proposal.reason} But {sure}: a veto.")
    if question == "propose" and answer.decision == "buy":
        return _with(proposal, DecisionKind.BUY, f"On its own word {sure}.", plan=plan)
    if question == "leave" and answer.decision == "sell":
        return _with(proposal, DecisionKind.SELL, f"On its own word {sure}.", exit_reason=ExitReason.SIGNAL.value)
    return _with(proposal, DecisionKind.HOLD, f"Nothing is done: {sure}.")


def _with(
    proposal: Proposal, kind: DecisionKind, reason: str, *, plan: dict[str, str | None] | None = None, exit_reason: str = ""
) -> Proposal:
    return Proposal(kind, reason, exit_reason=exit_reason, plan=plan or {}, gates=proposal.gates, indicators=proposal.indicators)
