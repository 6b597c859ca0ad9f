"""What every page shows in its head: that bots run, however long ago somebody started them, and what the kill switch forbids."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from monitoring import selectors


def running_bots(request: HttpRequest) -> dict[str, Any]:
    """Names of the running bots and the raised kill switches; asked of the database only by a page that shows them."""
    user = getattr(request, "user", None)
    if user is None:
        return {}
    return {
        "running_bots": SimpleLazyObject(lambda: selectors.running_bots(user) if user.is_authenticated else []),
        "kill_switches": SimpleLazyObject(lambda: selectors.kill_switches(user) if user.is_authenticated else []),
    }
