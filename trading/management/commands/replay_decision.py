"""Make a stored decision again from what is stored, without network; or ask another model about the same facts."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from backtests import selectors as archive
from backtests.candles.archive import merged_with
from backtests.candles.importing import read_file
from backtests.candles.series import Candles
from dgbot.core.errors import BadInput, DgbotError
from dgbot.core.interval import Interval
from dgbot.core.types import Mode
from trading.models import Decision, PromptTemplate
from trading.services import decision_records
from trading.services.decision_records import Replayed
from trading.services.stages.inputs import CandlesOf
from trading.services.venues import venue_for


class Command(BaseCommand):
    """Proves a decision to the byte: same row, same hash, same chain."""

    help = "Make a decision again from what is stored. Example: manage.py replay_decision 17 --json"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("decision", type=int, help="Id of the decision.")
        parser.add_argument("--candles", nargs="+", type=Path, metavar="FILE", help="The recording, for a decision of a replay.")
        parser.add_argument("--timezone", help="Zone of the files' time stamps that say none: UTC or Asia/Seoul.")
        parser.add_argument("--model", default="", help="What if: ask this model about the same facts. Costs money.")
        parser.add_argument("--prompt", default="", metavar="NAME:VERSION", help="What if: with this prompt, such as 'risk analyst:2'.")
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse in one sentence; exit with failure when the decision does not come out the same."""
        decision = Decision.objects.select_related("bot__account__simulated_market", "call__prompt").filter(pk=options["decision"]).first()
        if decision is None:
            raise CommandError(f"There is no decision {options['decision']}.")
        try:
            candles_of = _source(decision, options)
            if options["model"] or options["prompt"]:
                told = _what_if(decision, candles_of, options)
                self.stdout.write(json.dumps(told, ensure_ascii=False) if options["json"] else _shown_what_if(told))
                return
            replayed = decision_records.replay(decision, candles_of)
        except DgbotError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(json.dumps(_row(replayed), ensure_ascii=False) if options["json"] else _shown(replayed))
        if not replayed.is_equal:
            raise CommandError(replayed.tampered or f"Decision {decision.pk} comes out differently: {', '.join(replayed.differing)}.")


def _source(decision: Decision, options: dict[str, Any]) -> CandlesOf:
    """Where the candles of a decision are: in files, in its simulated market, or in the archive."""
    bot = decision.bot
    if options["candles"]:
        return lambda symbol, interval: _recorded(symbol, interval, options)
    if decision.mode == Mode.REPLAY:
        raise BadInput(f"Decision {decision.pk} was made in a replay; say its files with --candles.")
    if decision.mode == Mode.SIMULATED:
        history, until = venue_for(bot.account).history, decision.created_at
        return lambda symbol, interval: history.closed(symbol, interval, until=until, anchor_at=None)
    return lambda symbol, interval: archive.candles_of(exchange=bot.account.exchange, symbol=symbol, interval=interval)


def _recorded(symbol: str, interval: Interval, options: dict[str, Any]) -> Candles:
    from backtests.candles.importing import ImportOptions

    told = ImportOptions(timezone=options["timezone"])
    now = datetime.now(tz=UTC)
    read = [read_file(path, exchange="upbit", symbol=symbol, now=now, options=told).candles for path in options["candles"]]
    found = reduce(lambda old, new: merged_with(old, new).candles, read)
    if found.interval != interval:
        raise BadInput(f"The files hold {found.interval} candles, the decision needs {interval} ones.")
    return found


def _what_if(decision: Decision, candles_of: CandlesOf, options: dict[str, Any]) -> dict[str, Any]:
    asked = decision_records.what_if(decision, candles_of, model=options["model"], prompt=_prompt(options["prompt"]))
    return {
        "was": {"decision": decision.decision, "answer": decision.answer},
        "is": None if asked.answer is None else asked.answer.as_row(),
        "reasons": [reason.message for reason in asked.reasons],
        "cost_usd": None if asked.call is None or asked.call.cost is None else str(asked.call.cost),
    }


def _prompt(text: str) -> PromptTemplate | None:
    if not text:
        return None
    name, _, version = text.rpartition(":")
    found = PromptTemplate.objects.filter(name=name, version=int(version)).first() if version.isdigit() else None
    if found is None:
        raise BadInput(f"There is no prompt {text!r}; a prompt is said as NAME:VERSION, such as 'risk analyst:1'.")
    return found


def _row(replayed: Replayed) -> dict[str, Any]:
    return {
        "decision": replayed.decision.pk,
        "is_equal": replayed.is_equal,
        "tampered": replayed.tampered,
        "differing": replayed.differing,
        "hash": replayed.decision.hash,
        "again": replayed.again.hash,
    }


def _shown(replayed: Replayed) -> str:
    decision = replayed.decision
    head = f"Decision {decision.pk} of {decision.bot}: {decision.decision} {decision.symbol} at {decision.created_at.isoformat()}"
    verdict = "is the same to the byte" if replayed.is_equal else "is NOT the same"
    return f"{head}\nMade again from {decision.candle_count:,} candles it {verdict}; its hash is {decision.hash}."


def _shown_what_if(told: dict[str, Any]) -> str:
    answer = told["is"]
    said = "no usable answer: " + " ".join(told["reasons"]) if answer is None else f"{answer['decision']} at {answer['probability']}"
    return f"Then: {told['was']['decision']}. Now: {said} (cost {told['cost_usd']} USD)."
