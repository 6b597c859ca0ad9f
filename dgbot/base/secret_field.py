"""A column whose text lies encrypted in the database: addresses and tokens of notification channels, never exchange keys.

Exchange keys are sealed so that only the gateway can open them (docs/decisions/0020). What stands here several processes must read,
so one symmetric key serves them: DGBOT_FIELD_KEYS, newest first, or the one made in the data folder. A dump of the database without
that key tells nothing. Source: cryptography's MultiFernet (AES-128-CBC with HMAC-SHA256).
"""

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

from dgbot.core.errors import BadInput


class SecretField(models.TextField):
    """Text that is encrypted on its way into the database and decrypted on its way out. It cannot be searched.

    What none of the keys opens is read as `Locked`: one lost key must not take the list of channels with it.
    """

    def get_prep_value(self, value: Any) -> Any:
        """What is stored: the token, or an empty text. Raises BadInput for a secret that could not be read: it would be lost."""
        if is_locked(value):
            raise BadInput("The stored secret cannot be read with the keys at hand, so it was not saved again; enter it anew.")
        return _fernet().encrypt(str(value).encode()).decode() if value else ""

    def from_db_value(self, value: Any, *_: Any) -> Any:
        """What was entered."""
        if not value:
            return value
        try:
            return _fernet().decrypt(str(value).encode()).decode()
        except InvalidToken:
            return Locked()


class Locked(str):
    """Stands for a secret that no key opens: empty, so that nothing is sent with it, and telling itself apart."""

    __slots__ = ()


def is_locked(value: Any) -> bool:
    """Whether a secret is there that cannot be read with the keys at hand."""
    return isinstance(value, Locked)


@lru_cache(maxsize=1)
def _fernet() -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in settings.FIELD_KEYS])
    except ValueError as error:
        raise BadInput("DGBOT_FIELD_KEYS holds something that is no key: each is 32 bytes in url-safe base64.") from error
