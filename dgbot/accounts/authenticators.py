"""Authenticator apps and recovery codes: set up, checked, lost.

(none) → begun → confirmed → removed. A code is good for once: the step it belongs to is kept, and that and all earlier ones are refused.
"""

import hashlib
import secrets
from base64 import b32decode, b32encode
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from django.db import transaction
from django.db.models.functions import Now
from django_otp.oath import TOTP

from dgbot.accounts import audit
from dgbot.accounts.models import Authenticator, RecoveryCode
from dgbot.base.secret_field import is_locked
from dgbot.core.errors import BadInput

ISSUER = "dgbot"
KEY_BYTES = 20  # as RFC 4226 advises
STEP_S = 30
TOLERANCE = 1  # steps a phone's clock may be wrong
CODES = 10
CODE_BYTES = 10  # 80 bits: no guess finds one, so a plain hash is enough
REFUSED = "The code was not accepted: it is wrong, or was used before. Enter the one your authenticator shows now."


@dataclass(frozen=True)
class Begun:
    """What the app must be told. uri: otpauth://…, as a QR code carries it. key: the same for typing, base32."""

    uri: str
    key: str


def has_one(user: Any) -> bool:
    """Whether `user` has set up a second factor."""
    return bool(Authenticator.objects.filter(user_id=user.pk, confirmed=True).exists())


def begin(user: Any) -> Begun:
    """Offer a key; it counts once `confirm` has seen a code made with it. Asked again before that, the same key is told."""
    device = Authenticator.objects.filter(user_id=user.pk, confirmed=False).first()
    if device is None:
        key = b32encode(secrets.token_bytes(KEY_BYTES)).decode()
        device, _is_new = Authenticator.objects.get_or_create(user=user, confirmed=False, defaults={"name": ISSUER, "key": key})
    query = urlencode({"secret": device.key, "issuer": ISSUER, "algorithm": "SHA1", "digits": 6, "period": STEP_S})
    return Begun(uri=f"otpauth://totp/{quote(f'{ISSUER}:{user.get_username()}')}?{query}", key=device.key)


@transaction.atomic
def confirm(user: Any, code: str) -> list[str]:
    """Take the offered key in place of any former one, now that a code proves it has arrived. Returns new recovery codes, told once.

    Raises BadInput for a wrong code.
    """
    device = Authenticator.objects.select_for_update().filter(user_id=user.pk, confirmed=False).first()
    if device is None:
        raise BadInput("Nothing is being set up; begin again.")
    if not _accepts(device, code):
        raise BadInput(REFUSED)
    Authenticator.objects.filter(user_id=user.pk, confirmed=True).delete()
    device.confirmed = True
    device.save()
    audit.record(actor=user, action="set up second factor", target=f"user:{user.pk}")
    return _new_codes(user)


@transaction.atomic
def renew_codes(user: Any) -> list[str]:
    """Recovery codes in place of the former ones, told once."""
    audit.record(actor=user, action="renew recovery codes", target=f"user:{user.pk}")
    return _new_codes(user)


def check(user: Any, code: str) -> bool:
    """Whether `code` is one of the authenticator, or an unused recovery code. Each is accepted once, whoever comes at the same time."""
    with transaction.atomic():
        device = Authenticator.objects.select_for_update().filter(user_id=user.pk, confirmed=True).first()
        if device is None:
            return False
        is_allowed, _why = device.verify_is_allowed()
        if not is_allowed:
            return False
        if _accepts(device, code) or _spend(user, code):
            device.throttle_reset()
            return True
        device.throttle_increment()
        return False


@transaction.atomic
def remove(user: Any, *, by: Any, reason: str) -> bool:
    """Take the second factor and its recovery codes away. by: a User, or the name of a command. Returns whether there was one.

    Raises BadInput without a reason.
    """
    if not reason.strip():
        raise BadInput("The second factor was not removed: a reason is needed.")
    removed, _tables = Authenticator.objects.filter(user_id=user.pk).delete()
    RecoveryCode.objects.filter(user_id=user.pk).delete()
    audit.record(actor=by, action="remove second factor", target=f"user:{user.pk}", reason=reason)
    return bool(removed)


def codes_left(user: Any) -> int:
    """Unused recovery codes."""
    return RecoveryCode.objects.filter(user_id=user.pk, used_at=None).count()


def _accepts(device: Authenticator, code: str) -> bool:
    """Whether the code is of a step after the last one accepted; then that is kept."""
    digits = code.replace(" ", "")
    if not (len(digits) == 6 and digits.isascii() and digits.isdigit()):
        return False
    if is_locked(device.key):
        raise BadInput("The second factor cannot be read with the keys at hand: give DGBOT_FIELD_KEYS the former key, or have it reset.")
    totp = TOTP(b32decode(device.key), step=STEP_S)
    if not totp.verify(int(digits), tolerance=TOLERANCE, min_t=device.last_step + 1):
        return False
    device.last_step = totp.t()
    device.save(update_fields=["last_step"])
    return True


def _spend(user: Any, code: str) -> bool:
    plain = code.strip().replace("-", "").replace(" ", "").upper()
    spent = RecoveryCode.objects.filter(user_id=user.pk, hash=_hash(user, plain), used_at=None).update(used_at=Now())
    if spent:
        audit.record(actor=user, action="use recovery code", target=f"user:{user.pk}")
    return bool(spent)


def _new_codes(user: Any) -> list[str]:
    plain = [b32encode(secrets.token_bytes(CODE_BYTES)).decode() for _ in range(CODES)]
    RecoveryCode.objects.filter(user_id=user.pk).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, hash=_hash(user, code)) for code in plain)
    return ["-".join(code[start : start + 4] for start in range(0, len(code), 4)) for code in plain]


def _hash(user: Any, code: str) -> str:
    return hashlib.sha256(f"{user.pk}:{code}".encode()).hexdigest()
