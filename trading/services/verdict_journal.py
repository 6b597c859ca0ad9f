"""What an exchange answered while our database was away: appended to a file and flushed to the disk before anything else is done.

One file per account, one JSON line per answer. While a file is there the account sends nothing; the next turn books every line and
removes the file. Booking a line twice changes nothing, so a crash in between does no harm. A line that is cut off was never flushed:
its order is settled by asking the exchange, as any order without an answer.
"""

import json
import logging
import os
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings

from dgbot.core.types import OrderType, Side, VenueFill, VenueOrder, VenueOrderStatus
from trading.domain.order_path.answers import NotSent, Rejected, Unclear
from trading.domain.order_path.procedure import OrderPath, Outcome
from trading.domain.order_path.values import Permit

log = logging.getLogger(__name__)

KINDS: dict[str, type[NotSent] | type[Rejected] | type[Unclear]] = {"not_sent": NotSent, "rejected": Rejected, "unclear": Unclear}


def keep(account_id: int, permit: Permit, outcome: Outcome) -> None:
    """Append one answer; it is on the disk when this returns."""
    path = _path(account_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"order": permit.order.pk, "send_no": permit.send_no, **_as_row(outcome)}, default=str)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _flush(path.parent)
    log.error("account=%s order=%s the database is away; what the exchange answered stands in %s", account_id, permit.order.pk, path)


def replay(account_id: int, path: OrderPath) -> int:
    """Book what stands in the account's file, then remove it. Returns how many answers. Raises what the database raises: try again."""
    file = _path(account_id)
    if not file.exists():
        return 0
    count = 0
    for line in file.read_bytes().splitlines():
        told = _read(line)
        if told is not None:
            order_pk, send_no, outcome = told
            path.book(Permit(path.store.read(order_pk), send_no, deadline=0.0), outcome)
            count += 1
    file.unlink()
    _flush(file.parent)
    log.warning("account=%s %s answers booked from the journal", account_id, count)
    return count


def _path(account_id: int) -> Path:
    return Path(settings.DATA_DIR) / "journal" / f"account-{account_id}.jsonl"


def _flush(folder: Path) -> None:
    """A file's name is in its folder, which is flushed on its own."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _as_row(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, VenueOrder):
        told = asdict(outcome)
        del told["raw"]
        return {"kind": "acknowledged", "told": told}
    kind = next(name for name, made in KINDS.items() if isinstance(outcome, made))
    return {"kind": kind, "told": asdict(outcome)}


def _read(line: bytes) -> tuple[int, int, Outcome] | None:
    try:
        row = json.loads(line)
        told = row["told"]
        outcome = _order(told) if row["kind"] == "acknowledged" else KINDS[row["kind"]](**told)
        return row["order"], row["send_no"], outcome
    except (ValueError, KeyError, TypeError, ArithmeticError):
        log.error("a line of the journal cannot be read; its order is asked for instead: %.200r", line)
        return None


def _order(told: dict[str, Any]) -> VenueOrder:
    fields = {
        **told,
        "side": Side(told["side"]),
        "order_type": OrderType(told["order_type"]),
        "status": VenueOrderStatus(told["status"]),
        "created_at": datetime.fromisoformat(told["created_at"]),
        "fills": tuple(_fill(one) for one in told["fills"]),
    }
    return VenueOrder(**_with_decimals(fields, "filled_amount", "amount", "quote_amount", "price"))


def _fill(told: dict[str, Any]) -> VenueFill:
    fields = {**told, "side": Side(told["side"]), "executed_at": datetime.fromisoformat(told["executed_at"])}
    return VenueFill(**_with_decimals(fields, "price", "amount", "fee"))


def _with_decimals(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**fields, **{name: None if fields[name] is None else Decimal(fields[name]) for name in names}}
