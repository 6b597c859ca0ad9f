"""Addresses of the API have no slash at their end."""

from typing import Any

from rest_framework.routers import SimpleRouter


class Router(SimpleRouter):
    """A room's router: `router.register("bots", BotFace, "bot")`; its actions are listed by name in `actions`."""

    def __init__(self) -> None:
        super().__init__(trailing_slash=False)


def actions_of(callback: Any) -> dict[str, str]:
    """HTTP method → action (or method) of the view behind an address; empty for views that are none of ours."""
    view = getattr(callback, "cls", None)
    if view is None or not hasattr(view, "needs"):
        return {}
    given: dict[str, str] | None = getattr(callback, "actions", None)
    if given is not None:
        return {method: name for method, name in given.items() if method != "head"}
    return {method: method for method in view.http_method_names if method != "head" and hasattr(view, method)}
