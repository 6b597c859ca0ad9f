"""What does not fit in an account, and the entries it blocks: raised by reconciliation, ended by an equal run or by a person."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from dgbot.accounts import audit
from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput
from dgbot.core.types import VenueOrder
from trading.domain import reconcile
from trading.domain.reconcile import Difference, Suspicion
from trading.models import BreakKind, ExchangeAccount, ReconcileBreak
from trading.signals import account_needs_a_look

log = logging.getLogger(__name__)


def why_no_entries(account_id: int) -> str:
    """Why this account opens nothing, or an empty text."""
    row = ReconcileBreak.objects.filter(account_id=account_id, over_at=None, confirmed_at__isnull=False).order_by("pk").first()
    return "" if row is None else _sentence(row)


@transaction.atomic
def end_break(*, break_pk: int, by: Any, reason: str) -> ReconcileBreak:
    """An operator has looked. A difference that is still there comes back with the next runs. Raises BadInput without a reason."""
    if not reason.strip():
        raise BadInput("Entries were not let through again: say what was found.")
    row = ReconcileBreak.objects.select_for_update().get(pk=break_pk)
    if row.over_at is not None:
        raise BadInput(f"{row} is over already.")
    row.over_at, row.over_by, row.over_reason = machine_now(), by.get_username(), reason.strip()[:255]
    row.save(update_fields=["over_at", "over_by", "over_reason"])
    audit.record(actor=by, action="end break", target=f"account:{row.account_id}", reason=reason, diff={str(row): ["open", "over"]})
    return row


def block_for(answer: VenueOrder, *, account: ExchangeAccount, is_adopted: bool) -> None:
    """An order of ours came back without its row: what else is missing nobody knows, so a person looks before anything is opened."""
    told = "it was adopted by its bot" if is_adopted else "no bot fits it, so it counts as somebody else's"
    now = machine_now()
    row, is_new = ReconcileBreak.objects.get_or_create(
        account=account,
        kind=BreakKind.LOST_ORDER,
        subject=answer.exchange_order_id,
        defaults={"detail": f"{answer.side} {answer.symbol}: {told}", "confirmed_at": now, "first_seen_at": now},
    )
    if is_new:
        _alarm(account, _sentence(row))


def judge(found: Sequence[Difference], *, account: ExchangeAccount) -> None:
    """Raise, keep and end suspicions after a stable run; inside its transaction."""
    open_ = list(ReconcileBreak.objects.filter(account=account, kind=BreakKind.DIFFERENCE, over_at=None))
    suspicions = [Suspicion(row.subject, row.first_seen_at, row.confirmed_at is not None) for row in open_]
    visible_within = timedelta(seconds=settings.VISIBLE_WITHIN_S)
    told = reconcile.judge(found, suspicions, now=machine_now(), visible_within=visible_within)
    rows = {row.subject: row for row in open_}
    for one in told.begun:
        ReconcileBreak.objects.create(account=account, kind=BreakKind.DIFFERENCE, subject=one.asset, told=one.told, booked=one.booked)
    for one in (*told.still, *told.confirmed):
        row = rows[one.asset]
        row.told, row.booked = one.told, one.booked
        row.confirmed_at = row.confirmed_at or (machine_now() if one in told.confirmed else None)
        row.save(update_fields=["told", "booked", "confirmed_at"])
        if one in told.confirmed:
            _alarm(account, _sentence(row))
    for asset in told.over:
        row = rows[asset]
        if row.confirmed_at is None:
            row.delete()  # one run alone saw it: nothing happened
        else:
            over = {"over_at": ClockTimestamp(), "over_by": "reconciler", "over_reason": "a later run was equal"}
            ReconcileBreak.objects.filter(pk=row.pk).update(**over)


def _sentence(row: ReconcileBreak) -> str:
    if row.kind == BreakKind.LOST_ORDER:
        return (
            f"the exchange has the order {row.subject} under a client id of ours, and no row told of it ({row.detail});"
            " look for what else is missing, then end it under Differences to the exchange"
        )
    return (
        f"{row.subject} differs since {row.first_seen_at:%Y-%m-%d %H:%M} UTC: the exchange tells {row.told:f},"
        f" the books say {row.booked:f}; find what moved it and book it under Ledger with its reason"
    )


def _alarm(account: ExchangeAccount, sentence: str) -> None:
    log.error("account=%s opens nothing: %s", account.pk, sentence)
    transaction.on_commit(lambda: account_needs_a_look.send_robust(sender=ExchangeAccount, pk=account.pk, alarm=sentence))
