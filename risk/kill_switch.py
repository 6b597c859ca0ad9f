"""Changing the kill switch. It is a row in PostgreSQL and needs nothing else; the claim of every order holds it still meanwhile.

People raise it at once, and lower it for a reason. Rules only raise it. What is raised stays raised until a person lowers it.
"""

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from dgbot.accounts import audit
from dgbot.base.machine import machine_now
from dgbot.core.crash import crash_point
from dgbot.core.errors import BadInput, SecondFactorMissing
from risk.domain import kill
from risk.domain.reasons import Reason
from risk.models import KillLevel, KillScope, KillSwitch, KillSwitchChange
from risk.services import KILL_LOCK
from risk.signals import kill_switch_changed

log = logging.getLogger(__name__)

NUMBERED = (KillScope.ACCOUNT, KillScope.USER, KillScope.BOT)  # these are named by their id


@transaction.atomic
def change(
    *,
    scope: str,
    scope_id: str,
    level: int,
    by: Any,
    reason: str,
    second_factor: Callable[[], bool] = lambda: True,
) -> KillSwitch:
    """Set a level, as a person. by: a User. second_factor: whether `by` has just proven one; asked only when the level falls.

    With DGBOT_TWO_PERSON a fall from level 3 or 4 waits until another person asks for the same: then `lowering_to` is set on what is
    returned, and the level stands. Commits only after every claim under way has ended; no later claim passes it.
    Raises BadInput without a reason, for an unknown scope or level, and for lowering without the second factor.
    """
    _check(scope=scope, scope_id=scope_id, level=level, reason=reason)
    switch = _hold(scope=scope, scope_id=scope_id)
    before = switch.level
    if level == before:
        return switch
    if kill.requires_second_factor(before=before, after=level) and not second_factor():
        raise SecondFactorMissing(
            f"The kill switch stays at level {before}: lowering it needs your second factor, which is not verified."
            " Verify it and try again; raising needs none."
        )
    if kill.requires_second_person(before=before, after=level, two_person=settings.TWO_PERSON):
        if switch.lowering_to != level or switch.lowering_by_id == by.pk:
            return _await_second(switch, level=level, by=by, reason=reason)
        return _set(switch, level=level, by=switch.lowering_by, second=by, reason=Reason("", reason))
    return _set(switch, level=level, by=by, reason=Reason("", reason))


@transaction.atomic
def trip(*, scope: KillScope, scope_id: object, reason: Reason, by: str, level: int = kill.NO_OPEN) -> bool:
    """Raise a switch to `level`, as a rule. by: name of the process. Returns False when it stands that high already."""
    named = str(scope_id)
    if KillSwitch.objects.filter(scope=scope, scope_id=named, level__gte=level).exists():
        return False  # looked at first without the lock, which every claim would wait for
    _check(scope=scope, scope_id=named, level=level, reason=reason.message)
    switch = _hold(scope=scope, scope_id=named)
    if switch.level >= level:
        return False
    _set(switch, level=level, by=by, reason=reason)
    log.error("scope=%s id=%s kill switch tripped to level %s: %s", scope, named, level, reason.message)
    return True


def _check(*, scope: str, scope_id: str, level: int, reason: str) -> None:
    if not reason.strip():
        raise BadInput("The kill switch was not changed: a reason is needed.")
    if scope not in KillScope.values:
        raise BadInput(f"The kill switch was not changed: scope must be one of {', '.join(KillScope.values)}; was {scope!r}.")
    if level not in KillLevel.values:
        raise BadInput(f"The kill switch was not changed: level must be 0 to {KillLevel.FREEZE.value}, was {level}.")
    if (scope == KillScope.PLATFORM) != (scope_id == ""):
        raise BadInput(
            f"The kill switch was not changed: the platform has no id, and every other scope needs one; was {scope!r} with {scope_id!r}."
        )
    if scope in NUMBERED and not (scope_id.isascii() and scope_id.isdigit()):
        raise BadInput(f"The kill switch was not changed: the id of a {scope} is a number, was {scope_id!r}.")


def _hold(*, scope: str, scope_id: str) -> KillSwitch:
    """The switch's row, after every claim under way has ended and before any other begins."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [KILL_LOCK])
    return KillSwitch.objects.select_for_update().get_or_create(scope=scope, scope_id=scope_id)[0]


def _set(switch: KillSwitch, *, level: int, by: Any, reason: Reason, second: Any = None) -> KillSwitch:
    before = switch.level
    user, name = (None, by) if isinstance(by, str) else (by, by.get_username())
    switch.level, switch.epoch, switch.reason = level, switch.epoch + 1, reason.message
    switch.set_by, switch.set_by_name, switch.set_at = user, name, machine_now()
    switch.lowering_to = switch.lowering_by = None
    switch.save()
    KillSwitchChange.objects.create(
        scope=switch.scope,
        scope_id=switch.scope_id,
        epoch=switch.epoch,
        before=before,
        after=level,
        changed_by=user,
        actor=name,
        second=second,
        code=reason.code,
        reason=reason.message,
        value=reason.value,
        limit=reason.limit,
        remedy=reason.remedy,
    )
    _record(switch, action="set kill switch", by=by, reason=reason.message, diff={"level": [before, level]})
    crash_point("kill switch written")
    return switch


def _await_second(switch: KillSwitch, *, level: int, by: Any, reason: str) -> KillSwitch:
    switch.lowering_to, switch.lowering_by = level, by
    switch.save(update_fields=["lowering_to", "lowering_by"])
    _record(switch, action="ask to lower kill switch", by=by, reason=reason, diff={"lowering_to": [None, level]})
    return switch


def _record(switch: KillSwitch, *, action: str, by: Any, reason: str, diff: dict[str, Any]) -> None:
    audit.record(actor=by, action=action, target=f"kill_switch:{switch.scope}:{switch.scope_id}", reason=reason, diff=diff)
    transaction.on_commit(lambda: kill_switch_changed.send_robust(sender=KillSwitch, pk=switch.pk))
