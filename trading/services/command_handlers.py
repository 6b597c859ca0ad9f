"""What the gateway does for each kind of command."""

from typing import Any

from dgbot.core.errors import BadInput
from trading.domain.reconcile import Scope
from trading.exchanges.venue import Venue
from trading.models import Command, CommandKind, Credential
from trading.services import account_breaks, by_hand, credentials, reconciling
from trading.services.commands import Handler
from trading.services.gateway import Tenure


def handlers_for(venue: Venue, *, tenure: Tenure) -> dict[CommandKind, Handler]:
    """What can be asked of the gateway about the account of `venue`."""
    return {
        CommandKind.CHECK_KEY: lambda command: _check_key(command, venue=venue),
        CommandKind.ADOPT: lambda command: by_hand.adopt(command, venue=venue),
        CommandKind.RECONCILE: lambda command: _reconcile(command, venue=venue, tenure=tenure),
    }


def _reconcile(command: Command, *, venue: Venue, tenure: Tenure) -> dict[str, Any]:
    scope = Scope.FULL if command.payload.get("full") else Scope.BALANCES
    made = reconciling.run(account=command.account, venue=venue, tenure=tenure, scope=scope)
    return {
        "verdict": made.verdict,
        "cause": made.cause,
        "booked": made.booked,
        "differences": made.differences,
        "duration_ms": made.duration_ms,
        "blocks_entries": account_breaks.why_no_entries(command.account_id),
    }


def _check_key(command: Command, *, venue: Venue) -> dict[str, Any]:
    if not Credential.objects.filter(account=command.account_id).exists():
        raise BadInput(f"{command.account} has no key; enter one.")
    credential = credentials.check(account=command.account, exchange=venue.exchange)
    return {
        "status": credential.status,
        "cause": credential.cause,
        "can_read": credential.can_read,
        "can_trade": credential.can_trade,
        "can_withdraw": credential.can_withdraw,
        "is_ip_locked": credential.is_ip_locked,
        "expires_at": credential.expires_at.isoformat() if credential.expires_at else None,
    }
