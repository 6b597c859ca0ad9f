"""Somebody's phone: the authenticator app of a user, and proving it in a browser."""

from base64 import b32decode
from dataclasses import dataclass
from time import time
from typing import Any

from django.test import Client
from django_otp.oath import TOTP

from dgbot.accounts import authenticators


@dataclass
class Phone:
    """Shows codes. steps_ahead: how far its clock has been turned on, 30 s each, so that a test need not wait for the next code."""

    key: bytes
    steps_ahead: int = 0

    def code(self) -> str:
        """The code it shows now."""
        totp = TOTP(self.key)
        totp.time = time() + 30 * self.steps_ahead
        return f"{totp.token():06d}"


def set_up(user: Any) -> tuple[Phone, list[str]]:
    """A user with a second factor: the phone and the recovery codes. Its first codes, the present step and the one before, are spent."""
    begun = authenticators.begin(user)
    assert begun.uri.startswith("otpauth://totp/dgbot")
    phone = Phone(b32decode(begun.key))
    codes = authenticators.confirm(user, phone.code())
    phone.steps_ahead = 1
    return phone, codes


def proven(client: Client, user: Any) -> Phone:
    """Signed in, with a second factor that has just been proven."""
    phone, _codes = set_up(user)
    client.force_login(user)
    assert client.post("/account/verify/", {"second_factor_code": phone.code()}).status_code == 302
    return phone
