"""Settings: read whole at each decision, changed with who, when, why and what it was before."""

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import Subquery

from dgbot.accounts import audit
from dgbot.core.errors import BadInput
from trading.domain import config
from trading.models import BotConfig, ConfigVersion

_followers: dict[str, Callable[[Any], None]] = {}


def on_change(key: str, follow: Callable[[Any], None]) -> None:
    """Have `follow` called with the new value of `key`, inside the transaction of its change."""
    config.setting(key)
    _followers[key] = follow


def current() -> config.Settings:
    """All settings in one statement, so that a reading is never mixed. Raises BadInput when a row is missing or broken."""
    newest = ConfigVersion.objects.order_by("-pk").values("pk")[:1]
    rows = BotConfig.objects.annotate(version=Subquery(newest)).values_list("key", "value", "version")
    found = list(rows)
    return config.parse({key: value for key, value, _version in found}, version=found[0][2] if found else None)


def with_value(settings: config.Settings, *, key: str, value: dict[str, object]) -> config.Settings:
    """The same settings with one value changed, saving nothing. Raises BadInput for an unknown key or a wrong value."""
    config.check(key, value)
    rows = {**dict(BotConfig.objects.values_list("key", "value")), key: value}
    return config.parse(rows, version=settings.version)


def allowed_form(key: str) -> str:
    """How a value of `key` must look. Raises BadInput for an unknown key."""
    return config.setting(key).form


@transaction.atomic
def change(*, key: str, value: object, by: Any, reason: str) -> BotConfig:
    """Change one setting. by: a User, or the name of a process. Raises BadInput for an unknown key or a wrong value, with its form."""
    config.check(key, value)
    row = BotConfig.objects.select_for_update().filter(key=key).first()
    if row is None:
        raise BadInput(f"{key} was not changed: its row is missing; run `manage.py prepare`.")
    if row.value == value:
        return row
    before, row.value = row.value, value
    row.save(update_fields=["value", "updated_at"])
    # The audit log's lock is taken first: versions are then numbered in the order in which they come to light.
    audit.record(actor=by, action="change setting", target=f"bot_config:{key}", reason=reason, diff={key: [before, value]})
    is_person = not isinstance(by, str)
    ConfigVersion.objects.create(key=key, before=before, after=value, changed_by=by if is_person else None, reason=reason)
    if key in _followers:
        _followers[key](value)
    return row


def revert(*, version_pk: int, by: Any, reason: str) -> BotConfig:
    """Give a setting back the value it had before that change. Raises BadInput for its first value, which had none before."""
    version = ConfigVersion.objects.get(pk=version_pk)
    if version.before is None:
        raise BadInput(f"{version.key} was not reverted: version {version.pk} is its first value; there is none before it.")
    return change(key=version.key, value=version.before, by=by, reason=reason or f"reverts version {version.pk}")


def create_missing(first_values: dict[str, object] | None = None) -> list[str]:
    """Add the rows that are missing, from `first_values` or the defaults; never overwrite. Returns the keys added."""
    added = []
    for key, setting in config.SETTINGS.items():
        value = (first_values or {}).get(key, dict(setting.first))
        config.check(key, value)
        _row, is_new = BotConfig.objects.get_or_create(key=key, defaults={"value": value, "description": setting.meaning})
        if is_new:
            ConfigVersion.objects.create(key=key, before=None, after=value, reason="first value")
            added.append(key)
    return added
