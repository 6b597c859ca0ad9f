"""What a child of the nursery can be: the platform's own commands, and nothing made easier for them."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management import call_command

from backtests.engine import warm
from backtests.strategies.registry import STRATEGIES
from risk import kill_switch
from risk.domain.reasons import Reason
from risk.models import KillScope
from tests.factories import eager_strategy
from trading.domain.order_path import absence
from trading.services import venues


def warm_up() -> None:
    """Import what the children need, and let them trade live: every exchange they know is a fake on this machine."""
    from trading import tasks  # noqa: F401
    from trading.exchanges import bitget, bitget_client, upbit_signing  # noqa: F401
    from trading.management.commands import run_gateway, run_guardian  # noqa: F401

    assert all(settings.ENV[f"DGBOT_{name}_URL"].startswith("http://127.0.0.1:") for name in ("UPBIT", "BITGET"))
    bitget_client._signer()
    warm()  # the kernels, as the worker's pool has them before it forks
    settings.LIVE_TRADING = True
    venues.LIVE_ORDER_PATH_IS_PROVEN = True
    absence.PAUSES_S = (0.1, 0.1, 0.1, 0.2, 0.2, 0.2)  # the waits that are no settings
    STRATEGIES["eager"] = eager_strategy()


def play(role: str, **arguments: Any) -> None:
    """Be one process until its end."""
    ROLES[role](**arguments)


def _gateway() -> None:
    call_command("run_gateway")


def _guardian() -> None:
    call_command("run_guardian")


def _cycle(*, bot: int, slot: str) -> None:
    from trading.models.cycles import CycleTrigger
    from trading.tasks import run_cycle

    run_cycle(bot, slot, CycleTrigger.OPERATOR)


def _kill_switch(*, scope: str, scope_id: str, level: int) -> None:
    reason = Reason("matrix", "The crash matrix wants it so.")
    kill_switch.trip(scope=KillScope(scope), scope_id=scope_id, reason=reason, by="matrix", level=level)


ROLES: dict[str, Callable[..., None]] = {
    "gateway": _gateway,
    "guardian": _guardian,
    "cycle": _cycle,
    "kill_switch": _kill_switch,
}
