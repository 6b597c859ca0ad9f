"""The private key: made, read and replaced here. Only the gateway and the commands run beside it import this module."""

import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from dgbot.accounts import audit
from dgbot.core.errors import BadInput
from trading.exchanges.keys import ApiKey
from trading.models import Credential
from trading.services import credentials

OPENERS = ("", "gateway")  # processes that may open: the gateway, and commands run by hand beside its key file


class VaultLocked(BadInput):
    """A sealed key cannot be opened here. The sentence says why."""


def create_missing() -> str | None:
    """Make the pair of keys if there is none. Two first starts agree on one."""
    path = settings.KEY_FILE
    if path.exists():
        _write_public(_read()[0])
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft([PrivateKey.generate()])
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first; its key holds
    finally:
        draft.unlink()
    _write_public(_read()[0])
    return (
        f"The sealing key was made: {path}. Keep a copy of it apart from the database's backups: without it no exchange key can be opened."
    )


def open_key(credential: Credential) -> ApiKey:
    """The key of an account, opened. Raises VaultLocked."""
    if settings.PROCESS not in OPENERS:
        raise VaultLocked(f"The process {settings.PROCESS!r} does not open keys; only the gateway does.")
    content = _opened(credential)
    if (content["account"], content["exchange"]) != (credential.account_id, credential.account.exchange):
        raise VaultLocked(f"The sealed key of {credential.account} was sealed for another account; enter it again.")
    return ApiKey(content["access"], content["secret"], content["passphrase"])


def rotate() -> int:
    """Make a new pair and seal every key with it. The pair before it stays readable until the next rotation. Returns keys re-sealed.

    Safe to interrupt: the file always holds every private key that a row may need.
    """
    former, new = _read(), PrivateKey.generate()
    _replace([new, *former])
    _write_public(new)
    with transaction.atomic():
        count = _reseal(new)
        audit.record(actor="rotate_keys", action="rotate keys", target="keys:all", diff={"sealed with": [_id(former[0]), _id(new)]})
    # A form that was sent while we worked may still have sealed with the former key.
    _replace([new, former[0]])
    return count


def _reseal(new: PrivateKey) -> int:
    rows = list(Credential.objects.select_for_update(of=("self",)).select_related("account").order_by("pk"))
    for row in rows:
        row.sealed = credentials.seal(open_key(row), account=row.account, to=new.public_key)
        row.sealed_with = _id(new)
        row.save(update_fields=["sealed", "sealed_with"])
    return len(rows)


def _opened(credential: Credential) -> dict[str, Any]:
    for private in _read():
        if _id(private) == credential.sealed_with:
            try:
                content: dict[str, Any] = json.loads(SealedBox(private).decrypt(bytes(credential.sealed)))
            except (CryptoError, ValueError):
                break
            return content
    raise VaultLocked(
        f"The sealed key of {credential.account} cannot be opened with {settings.KEY_FILE};"
        " bring back the file it was sealed for, or enter the key again."
    )


def _read() -> list[PrivateKey]:
    """The private keys, newest first. Raises VaultLocked."""
    path: Path = settings.KEY_FILE
    try:
        status = path.stat()
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise VaultLocked(
                f"{path} may be read by others (mode {stat.S_IMODE(status.st_mode):04o}, allowed 0600); run: chmod 600 {path}"
            )
        keys = [PrivateKey(bytes.fromhex(line)) for line in path.read_text().split()]
    except OSError as error:
        raise VaultLocked(f"The private key {path} cannot be read ({error.strerror}); only the gateway's user may.") from None
    except (ValueError, CryptoError):
        raise VaultLocked(f"{path} holds no private keys; bring back its copy.") from None
    if not keys:
        raise VaultLocked(f"{path} is empty; bring back its copy.")
    return keys


def _id(private: PrivateKey) -> str:
    return credentials.key_id(private.public_key)


def _draft(keys: list[PrivateKey]) -> Path:
    draft = settings.KEY_FILE.with_name(f"{settings.KEY_FILE.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"{bytes(key).hex()}\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())
    return Path(draft)


def _replace(keys: list[PrivateKey]) -> None:
    _draft(keys).replace(settings.KEY_FILE)


def _write_public(private: PrivateKey) -> None:
    path, text = settings.PUBLIC_KEY_FILE, bytes(private.public_key).hex() + "\n"
    if path.is_file() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    draft.write_text(text)
    draft.chmod(0o644)
    draft.replace(path)
