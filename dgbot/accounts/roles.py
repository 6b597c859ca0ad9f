"""The four roles, as Django groups. Created if missing; what an admin added or took away stays."""

from django.contrib.auth.models import Group, Permission

VIEWER, OPERATOR, RISK_MANAGER, ADMIN = "viewer", "operator", "risk manager", "admin"

_SEEN = (
    "trading.view_bot trading.view_cycle trading.view_stageresult trading.view_decision trading.view_order trading.view_orderevent"
    " trading.view_ordersend trading.view_trade trading.view_position trading.view_portfoliosnapshot trading.view_exchangeaccount"
    " trading.view_accountbalance trading.view_botconfig trading.view_configversion risk.view_riskprofile risk.view_riskstate"
    " risk.view_riskevent risk.view_reservation risk.view_killswitch backtests.view_candleseries django_celery_beat.view_periodictask"
).split()
_STEERED = (
    "trading.add_bot trading.change_bot django_celery_beat.add_periodictask django_celery_beat.change_periodictask"
    " django_celery_beat.add_crontabschedule django_celery_beat.change_crontabschedule django_celery_beat.view_crontabschedule"
    " django_celery_beat.add_intervalschedule django_celery_beat.change_intervalschedule django_celery_beat.view_intervalschedule"
).split()
_LIMITED = (
    "risk.add_riskprofile risk.change_riskprofile risk.add_killswitch risk.change_killswitch risk.change_riskstate trading.change_botconfig"
).split()

ROLES: dict[str, list[str]] = {
    VIEWER: _SEEN,
    OPERATOR: [*_SEEN, *_STEERED],
    RISK_MANAGER: [*_SEEN, *_LIMITED, "accounts.see_all_owners"],
    ADMIN: [],  # every permission there is, see `create_missing`
}


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
