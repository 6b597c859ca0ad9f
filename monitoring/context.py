"""What every page shows in its head: that bots run, however long ago somebody started them."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from monitoring import selectors


def running_bots(request: HttpRequest) -> dict[str, Any]:
    """Names of the running bots the visitor may see; asked of the database only by a page that shows them."""
    user = getattr(request, "user", None)
    if user is None:
        return {}
    return {"running_bots": SimpleLazyObject(lambda: selectors.running_bots(user) if user.is_authenticated else [])}
