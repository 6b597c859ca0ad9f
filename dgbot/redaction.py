"""Secrets taken out of what leaves a process: log lines, error reports."""

import re
from typing import Any

from django.conf import settings

from dgbot.env import MASK, VARIABLES

SHORTEST_SECRET = 6
PASSWORD_IN_URL = re.compile(r"(\w+://[^\s:/@]*:)[^\s@/]+@")
BEARER = re.compile(r"(?i)\b(bearer|basic)\s+\S+")
NAMES_OF_SECRETS = "authorization|token|secret|password|api[_-]?key|access[_-]?key"
NAMED_SECRET = re.compile(rf"(?i)\b({NAMES_OF_SECRETS})\b(\s*[=:]\s*|\s+)['\"]?[^\s'\",}}]{{6,}}")


def redact(text: str) -> str:
    """`text` without the values of our secret settings, passwords in addresses, or what is named a secret."""
    for secret in _secrets():
        text = text.replace(secret, MASK)
    text = PASSWORD_IN_URL.sub(rf"\1{MASK}@", text)
    return NAMED_SECRET.sub(rf"\1\2{MASK}", BEARER.sub(rf"\1 {MASK}", text))


def redacted(value: Any) -> Any:
    """Every text within a structure of dicts and lists, redacted; a value under a secret's name is masked whole."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: MASK if _names_a_secret(key) and isinstance(each, str) else redacted(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(each) for each in value]
    return value


def _names_a_secret(key: Any) -> bool:
    return isinstance(key, str) and re.search(NAMES_OF_SECRETS, key, flags=re.IGNORECASE) is not None


def _secrets() -> list[str]:
    values = (settings.ENV[name] for name, variable in VARIABLES.items() if variable.secret)
    found = [str(value) for value in (*values, settings.SECRET_KEY) if value and len(str(value)) >= SHORTEST_SECRET]
    return sorted(found, key=len, reverse=True)
