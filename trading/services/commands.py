"""Commands to the gateway: asked by faces, taken at most once under the account's lease, answered in the same row."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from dgbot.accounts import audit
from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput, DgbotError
from trading.models import Command, CommandKind, CommandState, ExchangeAccount
from trading.services import leases
from trading.services.gateway import Tenure

log = logging.getLogger(__name__)

VALID_S = 60.0  # an answer that comes later would surprise whoever asked
POLL_S = 0.1

Handler = Callable[[Command], dict[str, Any]]


@transaction.atomic
def ask(*, kind: CommandKind, account: ExchangeAccount, by: Any, payload: dict[str, Any] | None = None) -> Command:
    """Write down what is wanted; the caller rings the doorbell on commit. The same wish twice is one command.

    by: a User, or the name of a process.
    """
    ExchangeAccount.objects.select_for_update().get(pk=account.pk)  # two clicks queue up here
    wanted = {"kind": kind, "account": account, "payload": payload or {}}
    waiting = Command.objects.filter(state=CommandState.PENDING, valid_until__gt=machine_now(), **wanted).first()
    if waiting is not None:
        return waiting
    named = {"user": None, "asked_by": by} if isinstance(by, str) else {"user": by, "asked_by": by.get_username()}
    command = Command.objects.create(valid_until=machine_now() + timedelta(seconds=VALID_S), **wanted, **named)
    audit.record(actor=by, action=f"ask {kind}", target=f"account:{account.pk}", diff={"command": [None, command.pk]})
    return command


def answer_all(*, account_id: int, tenure: Tenure, handlers: dict[CommandKind, Handler]) -> int:
    """Carry out what waits for this account, oldest first. For the gateway. Returns how many were taken."""
    _fail_lost(account_id=account_id, tenure=tenure)
    count = 0
    while (command := _take(account_id=account_id, tenure=tenure)) is not None:
        _answer(command, handler=handlers.get(CommandKind(command.kind)))
        count += 1
    return count


def wait_for(command: Command, *, at_most_s: float) -> Command:
    """The command as it ended, or as it stands after `at_most_s`."""
    until = time.monotonic() + at_most_s
    while True:
        command.refresh_from_db()
        if command.finished_at is not None or time.monotonic() > until:
            return command
        time.sleep(POLL_S)


@transaction.atomic
def _take(*, account_id: int, tenure: Tenure) -> Command | None:
    """Take the oldest pending command, committed before anything is done for it: a crash then loses it, and never repeats it."""
    if not leases.is_current(name=tenure.name, epoch=tenure.epoch):
        return None
    now = machine_now()
    late = Command.objects.filter(account_id=account_id, state=CommandState.PENDING, valid_until__lte=now)
    late.update(state=CommandState.FAILED, finished_at=now, error_message="No gateway came in time; see whether it runs, then ask again.")
    command = (
        Command.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("account")
        .filter(account_id=account_id, state=CommandState.PENDING)
        .order_by("pk")
        .first()
    )
    if command is not None:
        command.state, command.taken_at, command.taken_by, command.taken_epoch = CommandState.TAKEN, now, tenure.holder, tenure.epoch
        command.save(update_fields=["state", "taken_at", "taken_by", "taken_epoch"])
    return command


def _answer(command: Command, *, handler: Handler | None) -> None:
    try:
        if handler is None:
            raise BadInput(f"This gateway does not know the command {command.kind!r}; update it.")
        answer, error = handler(command), ""
    except DgbotError as problem:
        answer, error = {}, str(problem)
    _finish(command, answer=answer, error=error)


def _finish(command: Command, *, answer: dict[str, Any], error: str) -> None:
    state = CommandState.FAILED if error else CommandState.DONE
    # Ours only: a successor may have declared it lost meanwhile.
    Command.objects.filter(pk=command.pk, state=CommandState.TAKEN, taken_epoch=command.taken_epoch).update(
        state=state, answer=answer, error_message=error, finished_at=ClockTimestamp()
    )
    log.info("account=%s command=%s %s %s %s", command.account_id, command.pk, command.kind, state, error)


def _fail_lost(*, account_id: int, tenure: Tenure) -> None:
    lost = Command.objects.filter(Q(taken_epoch__lt=tenure.epoch), account_id=account_id, state=CommandState.TAKEN)
    lost.update(
        state=CommandState.FAILED,
        finished_at=ClockTimestamp(),
        error_message="The gateway was lost while it worked on this; look at what it did, then ask again.",
    )
