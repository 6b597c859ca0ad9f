"""Keys of accounts: sealed with the public key as soon as they are entered, judged by what the exchange says of them.

Nothing here can open one; that is `trading.vault`, which the gateway alone imports.
"""

import hashlib
import json
import logging
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from nacl.exceptions import CryptoError
from nacl.public import PublicKey, SealedBox

from dgbot.accounts import audit
from dgbot.accounts.models import AuditEntry
from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput, CredentialsRefused
from dgbot.core.protocols import Exchange
from dgbot.core.types import KeyRights, Mode
from trading.exchanges.keys import ApiKey, masked
from trading.models import Credential, ExchangeAccount, KeyStatus
from trading.models.accounts import ExchangeName

log = logging.getLogger(__name__)

IMPORTED = "import key"
ENVIRONMENT_ACCOUNT = "Upbit (live)"


def public_key() -> PublicKey:
    """The key that seals. Raises BadInput when `prepare` has not made it yet."""
    try:
        return PublicKey(bytes.fromhex(settings.PUBLIC_KEY_FILE.read_text().strip()))
    except (OSError, ValueError, CryptoError):
        raise BadInput(f"The key was not kept: {settings.PUBLIC_KEY_FILE} holds no public key; run `manage.py prepare`.") from None


def key_id(key: PublicKey) -> str:
    """A short name of a public key, kept beside what it sealed."""
    return hashlib.sha256(bytes(key)).hexdigest()[:16]


def seal(key: ApiKey, *, account: ExchangeAccount, to: PublicKey) -> bytes:
    """A box that only the private key opens. Its account is inside, so that a box moved to another row is refused."""
    content = {
        "account": account.pk,
        "exchange": account.exchange,
        "access": key.access_key,
        "secret": key.secret_key,
        "passphrase": key.passphrase,
    }
    return bytes(SealedBox(to).encrypt(json.dumps(content).encode()))


@transaction.atomic
def keep(key: ApiKey, *, account: ExchangeAccount, by: Any, action: str = "enter key") -> Credential:
    """Seal a key and keep it, unverified, in place of the account's former one. by: a User, or the name of a process.

    Raises BadInput for an account without real orders, or before the sealing key exists.
    """
    if Mode(account.mode) is not Mode.LIVE:
        raise BadInput(f"{account} trades with pretended money and takes no key; make an account in the mode live.")
    if account.exchange == ExchangeName.BITGET and not key.passphrase:
        raise BadInput("A key of Bitget has a passphrase; enter all three parts.")
    if not key.access_key or not key.secret_key:
        raise BadInput("A key has an access key and a secret key; enter both.")
    to = public_key()
    unknown = dict.fromkeys(("can_read", "can_trade", "can_withdraw", "is_ip_locked", "expires_at", "checked_at"))
    before = Credential.objects.filter(account=account).values_list("shown", flat=True).first()
    credential, _created = Credential.objects.update_or_create(
        account=account,
        defaults={
            "sealed": seal(key, account=account, to=to),
            "sealed_with": key_id(to),
            "shown": masked(key.access_key),
            "status": KeyStatus.UNVERIFIED,
            "cause": "",
            "sealed_at": machine_now(),
            **unknown,
        },
    )
    audit.record(actor=by, action=action, target=f"account:{account.pk}", diff={"key": [before, credential.shown]})
    return credential


def check(*, account: ExchangeAccount, exchange: Exchange) -> Credential:
    """Ask the exchange what the key may do and write the verdict. For the gateway. Raises ExchangeUnavailable: then nothing changes."""
    credential = Credential.objects.get(account=account)
    try:
        rights = exchange.key_rights()
    except CredentialsRefused as error:
        return _verdict(credential, rights=None, status=KeyStatus.REFUSED, cause=f"The exchange refuses it: {error}")
    status, cause = judge(rights, is_demo=account.is_demo, now=machine_now())
    return _verdict(credential, rights=rights, status=status, cause=cause)


def doubt(*, account_id: int, why: str) -> None:
    """The exchange refused an order for its key: no entries of this account until a check of the key passes."""
    with transaction.atomic():
        row = Credential.objects.select_for_update().filter(account_id=account_id, status=KeyStatus.VERIFIED).first()
        if row is None:
            return  # doubted or refused before, or an account that needs no key
        row.status, row.cause = KeyStatus.DOUBTED, f"The exchange refused an order for it: {why}"
        row.save(update_fields=["status", "cause"])
        audit.record(
            actor="gateway",
            action="doubt key",
            target=f"account:{account_id}",
            reason=row.cause,
            diff={"status": [KeyStatus.VERIFIED, KeyStatus.DOUBTED]},
        )
    log.error("account=%s opens nothing until its key is checked: %s", account_id, why)


def why_no_entries(account_id: int) -> str:
    """Why the key of this account opens nothing, or an empty text. Pretended money needs no key."""
    row = Credential.objects.filter(account_id=account_id, status=KeyStatus.DOUBTED).first()
    return "" if row is None else f"the key of its account is doubted until a check passes ({row.cause})"


def judge(rights: KeyRights, *, is_demo: bool, now: datetime) -> tuple[KeyStatus, str]:
    """What we make of a key's rights, and why. What the exchange does not tell is no reason to refuse."""
    if rights.expires_at is not None and rights.expires_at <= now:
        return KeyStatus.EXPIRED, f"It expired on {rights.expires_at:%Y-%m-%d}; make a new one at the exchange and enter it here."
    if rights.can_withdraw:
        return KeyStatus.REFUSED, "It may withdraw money; make a key without that right and enter it here."
    if rights.can_read is False or rights.can_trade is False:
        return KeyStatus.REFUSED, "It may not read balances and place orders; give it both rights, or enter another."
    if is_demo and rights.is_demo is False:
        return KeyStatus.REFUSED, "It belongs to real money and this account is a demo; enter a demo key."
    return KeyStatus.VERIFIED, ""


@transaction.atomic
def _verdict(credential: Credential, *, rights: KeyRights | None, status: KeyStatus, cause: str) -> Credential:
    row = Credential.objects.select_for_update().get(pk=credential.pk)
    if bytes(row.sealed) != bytes(credential.sealed):
        raise BadInput("The key was replaced while it was checked; check the new one.")
    before = row.status
    row.status, row.cause, row.checked_at = status, cause, machine_now()
    row.can_read = rights.can_read if rights else None
    row.can_trade = rights.can_trade if rights else None
    row.can_withdraw = rights.can_withdraw if rights else None
    row.is_ip_locked = rights.is_ip_locked if rights else None
    row.expires_at = rights.expires_at if rights else None
    row.save(update_fields=["status", "cause", "checked_at", "can_read", "can_trade", "can_withdraw", "is_ip_locked", "expires_at"])
    if before != status:
        audit.record(
            actor="gateway", action="judge key", target=f"account:{row.account_id}", reason=cause, diff={"status": [before, status]}
        )
    return row


def import_from_environment() -> str | None:
    """Seal the exchange key that stands in the environment, once. Returns what the operator should know."""
    key = ApiKey(settings.ENV["UPBIT_ACCESS_KEY"], settings.ENV["UPBIT_SECRET_KEY"])
    if not key.access_key or not key.secret_key:
        return None
    if AuditEntry.objects.filter(action=IMPORTED).exists():
        return "UPBIT_ACCESS_KEY and UPBIT_SECRET_KEY were imported before and are not read any more; empty them."
    owner = get_user_model().objects.filter(is_superuser=True).order_by("pk").first()
    if owner is None:
        return None
    account, _created = ExchangeAccount.objects.get_or_create(
        user=owner, name=ENVIRONMENT_ACCOUNT, defaults={"exchange": ExchangeName.UPBIT, "mode": Mode.LIVE.value, "quote_currency": "KRW"}
    )
    credential = keep(key, account=account, by="prepare", action=IMPORTED)
    return (
        f"The Upbit key {credential.shown} was sealed into the account {account.name!r}; the gateway checks it when you ask in the admin."
        " Empty UPBIT_ACCESS_KEY and UPBIT_SECRET_KEY now: they are not read any more."
    )
