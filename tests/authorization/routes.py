"""Every address the platform answers to, read from the resolver itself, so that none can be forgotten."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.urls import URLPattern, URLResolver, get_resolver, reverse

PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>")


@dataclass(frozen=True)
class Route:
    """One address. name: with its namespaces; where there is none, the pattern. parameters: names, in order."""

    name: str
    pattern: str
    parameters: tuple[str, ...]
    view: Any

    def url(self, **values: Any) -> str:
        """The address with `values` for its parameters."""
        given = {name: values.get(name, "1") for name in self.parameters}
        if self.name != self.pattern:
            return reverse(self.name, kwargs=given)
        return "/" + PARAMETER.sub(lambda found: str(given[found[1] or found[2]]), self.pattern)


def all_routes() -> list[Route]:
    """Each of them once."""
    found = {(route.name, route.parameters): route for route in _walk(get_resolver().url_patterns)}
    return list(found.values())


def _walk(patterns: Any, *, before: str = "", spaces: tuple[str, ...] = ()) -> Iterator[Route]:
    for item in patterns:
        pattern = before + str(item.pattern)
        if isinstance(item, URLResolver):
            deeper = (*spaces, item.namespace) if item.namespace else spaces
            yield from _walk(item.url_patterns, before=pattern, spaces=deeper)
        elif isinstance(item, URLPattern):
            name = ":".join((*spaces, item.name)) if item.name else pattern
            parameters = tuple(first or second for first, second in PARAMETER.findall(pattern))
            yield Route(name=name, pattern=pattern, parameters=parameters, view=item.callback)


def admins() -> dict[str, Any]:
    """The registered admins, by the part of their addresses' names: `trading_bot`."""
    return {f"{model._meta.app_label}_{model._meta.model_name}": one for model, one in admin.site._registry.items()}
