"""What can be wrong together, found at start-up. Each finding has a remedy."""

import os
import stat
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import ERROR, CheckMessage, Error, Tags, Warning, register, run_checks

from dgbot.core.errors import BadInput

OURS = "dgbot"  # `up` runs these alone
KEY_LENGTH, KEY_VARIETY = 40, 12  # characters, different ones: what a person types in haste has fewer


@register(Tags.database, OURS)
def database_driver(**_: Any) -> list[CheckMessage]:
    """Psycopg 3 beside psycopg2 would be preferred by Django in silence."""
    if find_spec("psycopg") is None:
        return []
    return [Error("psycopg 3 is installed, so Django would use it instead of psycopg2", hint="pip uninstall psycopg", id="dgbot.E001")]


@register(Tags.security, OURS)
def live_trading_and_debug(**_: Any) -> list[CheckMessage]:
    """Debug pages show settings and local variables to whoever causes an error."""
    if not (settings.LIVE_TRADING and settings.DEBUG):
        return []
    return [Error("DGBOT_LIVE_TRADING and DGBOT_DEBUG are both true", hint="Set DGBOT_DEBUG=false.", id="dgbot.E002")]


@register(Tags.security, OURS)
def secrets_behind_https(**_: Any) -> list[CheckMessage]:
    """A site that others reach should not depend on a key that was generated on this machine only."""
    if not settings.HTTPS or settings.ENV["DGBOT_SECRET_KEY"]:
        return []
    hint = "Set DGBOT_SECRET_KEY or DGBOT_SECRET_KEY_FILE, so that every machine signs alike."
    return [Warning("DGBOT_HTTPS is true and DGBOT_SECRET_KEY is not set", hint=hint, id="dgbot.W001")]


@register(Tags.security, OURS)
def hosts_and_address(**_: Any) -> list[CheckMessage]:
    """Listening to the network without a host name answers every visitor with 400."""
    if settings.ENV["DGBOT_HOST"] in ("127.0.0.1", "localhost", "::1") or settings.ENV["DGBOT_ALLOWED_HOSTS"]:
        return []
    hint = "Set DGBOT_ALLOWED_HOSTS to the names under which the site is reached."
    return [Warning(f"DGBOT_HOST is {settings.ENV['DGBOT_HOST']} and DGBOT_ALLOWED_HOSTS is empty", hint=hint, id="dgbot.W002")]


@register(Tags.files, OURS)
def data_folder(**_: Any) -> list[CheckMessage]:
    """Logs, archives and the generated key lie there."""
    folder = next(path for path in (settings.DATA_DIR, *settings.DATA_DIR.parents) if path.exists())
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return []
    hint = "Change its owner, or set DGBOT_DATA_DIR to a folder of your own."
    return [Error(f"the data folder {settings.DATA_DIR} cannot be written", hint=hint, id="dgbot.E003")]


@register(Tags.security, OURS)
def private_key(**_: Any) -> list[CheckMessage]:
    """Whoever reads it can open every exchange key."""
    path = settings.KEY_FILE
    if not path.exists() or not stat.S_IMODE(path.stat().st_mode) & 0o077:
        return []
    mode = stat.S_IMODE(path.stat().st_mode)
    return [Error(f"{path} may be read by others (mode {mode:04o}, allowed 0600)", hint=f"chmod 600 {path}", id="dgbot.E005")]


@register(Tags.security, OURS)
def exchanges_where_money_is_real(**_: Any) -> list[CheckMessage]:
    """Orders with real money go to the real exchange, over TLS, and nowhere else."""
    moved = [name for name in ("DGBOT_UPBIT_URL", "DGBOT_BITGET_URL") if settings.ENV[name]]
    if not settings.LIVE_TRADING or not moved:
        return []
    hint = "Remove them: another address is for tests and demos."
    return [Error(f"DGBOT_LIVE_TRADING is true and {' and '.join(moved)} set another address", hint=hint, id="dgbot.E006")]


@register(Tags.security, OURS)
def a_site_for_others(**_: Any) -> list[CheckMessage]:
    """Whoever serves others, or trades with real money, shows no debug pages, answers to its own names, and signs with a real key."""
    if not (settings.HTTPS or settings.LIVE_TRADING):
        return []
    found: list[CheckMessage] = []
    if settings.HTTPS and settings.DEBUG:
        found.append(Error("DGBOT_HTTPS and DGBOT_DEBUG are both true", hint="Set DGBOT_DEBUG=false.", id="dgbot.E007"))
    if any("*" in host for host in settings.ALLOWED_HOSTS):
        hint = "Name the hosts under which the site is reached."
        found.append(Error("DGBOT_ALLOWED_HOSTS answers to every name", hint=hint, id="dgbot.E008"))
    if len(settings.SECRET_KEY) < KEY_LENGTH or len(set(settings.SECRET_KEY)) < KEY_VARIETY:
        hint = 'A new one: python3 -c "import secrets; print(secrets.token_urlsafe(50))"'
        found.append(Error(f"DGBOT_SECRET_KEY is shorter than {KEY_LENGTH} characters or no secret", hint=hint, id="dgbot.E009"))
    return found


def refuse_to_start() -> None:
    """For the web process, before it answers anybody. Raises BadInput naming every error of our own checks."""
    wrong = [found for found in run_checks(tags=[OURS]) if found.level >= ERROR]
    if wrong:
        raise BadInput("; ".join(f"{found.msg} ({found.hint})" for found in wrong))


@register(Tags.database, OURS)
def two_servers_or_none(**_: Any) -> list[CheckMessage]:
    """A direct address without the pooled one is a mistake in .env."""
    if settings.ENV["DATABASE_URL"] or not settings.ENV["DATABASE_DIRECT_URL"]:
        return []
    hint = "Set DATABASE_URL to the pooler and DATABASE_DIRECT_URL to PostgreSQL itself."
    return [Error("DATABASE_DIRECT_URL is set without DATABASE_URL", hint=hint, id="dgbot.E004")]
