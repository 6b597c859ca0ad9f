"""One HTTP POST with an end: time-outs, no redirects, a bounded answer, one connection pool per thread."""

import threading
from typing import Any

import requests

from dgbot.core.errors import BadInput
from monitoring.notifications import addresses
from monitoring.notifications.senders import ChannelDead, Unreachable

CONNECT_S, READ_S = 3.05, 10.0
ANSWER_BYTES = 64_000
LONGEST_PATIENCE_S = 3600.0

_local = threading.local()


def post(url: str, *, body: bytes, headers: dict[str, str], read_s: float = READ_S, is_ours: bool = False) -> requests.Response:
    """The answer, whatever its status. Raises Unreachable without one, ChannelDead for an address that may not be used.

    is_ours: the address comes from the platform's settings, not from a user.
    """
    if not is_ours:
        try:
            addresses.check(url)
        except BadInput as error:
            raise ChannelDead(str(error)) from error
    try:
        answer = _session().post(url, data=body, headers=headers, timeout=(CONNECT_S, read_s), allow_redirects=False, stream=True)
        answer._content = answer.raw.read(ANSWER_BYTES, decode_content=True)
    except (requests.RequestException, OSError, ValueError) as error:
        raise Unreachable(_without_address(error)) from error
    except Exception as error:  # urllib3's own, raised while the answer is read
        raise Unreachable(type(error).__name__) from error
    return answer


def patience(answer: requests.Response, told: Any = None) -> float | None:
    """Seconds the other side asks us to wait; None when it does not say."""
    try:
        seconds = float(told if told is not None else answer.headers.get("Retry-After", ""))
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), LONGEST_PATIENCE_S)


def _session() -> requests.Session:
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.trust_env = False  # no proxy and no .netrc of the machine's user
    session: requests.Session = _local.session
    return session


def _without_address(error: Exception) -> str:
    """The kind of failure in words; the library's own sentence quotes the address, which is a secret."""
    kinds = (
        (requests.ConnectTimeout, "no connection in time"),
        (requests.Timeout, "no answer in time"),
        (requests.exceptions.SSLError, "TLS failed"),
    )
    return next((words for kind, words in kinds if isinstance(error, kind)), "the connection failed")
