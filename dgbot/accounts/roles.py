"""The four roles, as Django groups. Created if missing; what an admin added or took away stays."""

from django.contrib.auth.models import Group, Permission
from django.db import transaction

VIEWER, OPERATOR, RISK_MANAGER, ADMIN = "viewer", "operator", "risk manager", "admin"

_SEEN = [
    *(f"trading.view_{name}" for name in ("bot", "cycle", "stageresult", "decision", "order", "orderevent", "ordersend", "trade")),
    *(f"trading.view_{name}" for name in ("position", "portfoliosnapshot", "exchangeaccount", "accountbalance", "botconfig")),
    *(f"trading.view_{name}" for name in ("configversion", "krwrate", "protectivestop", "analyst", "prompttemplate", "analystcall")),
    *(f"trading.view_{name}" for name in ("ledgerentry", "reconcilerun", "reconcilebreak", "externalorder")),
    *(f"risk.view_{name}" for name in ("riskprofile", "riskstate", "riskevent", "reservation", "killswitch", "killswitchchange")),
    *(f"risk.view_{name}" for name in ("accountlimits", "botlimits", "limitchange", "symbolgroup", "transfer")),
    *(f"backtests.view_{name}" for name in ("candleseries", "candlesync", "candlecorrection")),
    *(f"backtests.view_{name}" for name in ("backtestrun", "sweep", "resultfile")),
    "django_celery_beat.view_periodictask",
    "monitoring.view_notification",
    *(f"monitoring.{deed}_{name}" for deed in ("add", "change", "view") for name in ("channel", "recipient")),  # their own
    "monitoring.delete_channel",
]
_SCHEDULES = ("periodictask", "crontabschedule", "intervalschedule")
_STEERED = [
    "trading.add_bot",
    "trading.change_bot",
    *(f"trading.{deed}_{name}" for deed in ("add", "change") for name in ("analyst", "prompttemplate")),
    "risk.add_killswitch",  # to raise it; lowering is for those who may change it
    "backtests.add_candleseries",  # upload
    "backtests.add_candlesync",
    *(f"backtests.{deed}_{name}" for deed in ("add", "change") for name in ("backtestrun", "sweep")),  # to start; to cancel, retry and pin
    *(f"django_celery_beat.{deed}_{name}" for deed in ("add", "change", "view") for name in _SCHEDULES),
]
_LIMITED = [
    *(f"risk.{deed}_{name}" for deed in ("add", "change") for name in ("riskprofile", "killswitch")),
    *(f"risk.{deed}_{name}" for deed in ("add", "change") for name in ("accountlimits", "botlimits", "symbolgroup")),
    "risk.change_riskstate",
    "risk.add_transfer",
    "trading.change_botconfig",
    "trading.add_ledgerentry",  # adjustments
    "trading.change_reconcilebreak",  # to let entries through again
]

ROLES: dict[str, list[str]] = {
    VIEWER: _SEEN,
    OPERATOR: [*_SEEN, *_STEERED],
    RISK_MANAGER: [*_SEEN, *_LIMITED, "accounts.see_all_owners"],
    ADMIN: [],  # every permission there is, see `create_missing`
}


@transaction.atomic
def create_missing() -> list[str]:
    """Create the groups that do not exist yet, with their permissions. Returns the names created."""
    created = []
    for name, labels in ROLES.items():
        group, is_new = Group.objects.get_or_create(name=name)
        if is_new:
            group.permissions.set(_permissions(labels) if labels else Permission.objects.all())
            created.append(name)
    return created


def _permissions(labels: list[str]) -> list[Permission]:
    wanted = {tuple(label.split(".")) for label in labels}
    found = [
        permission
        for permission in Permission.objects.select_related("content_type")
        if (permission.content_type.app_label, permission.codename) in wanted
    ]
    missing = wanted - {(permission.content_type.app_label, permission.codename) for permission in found}
    if missing:
        raise LookupError(f"these permissions do not exist: {sorted('.'.join(label) for label in missing)}")
    return found
