"""What must exist before anything starts. Rooms register functions; `manage.py prepare` calls them in order.

A seed adds what is missing and never overwrites: the operator's edits win. It may return a sentence for the operator,
such as a password that is shown only once.
"""

from collections.abc import Callable
from dataclasses import dataclass

Function = Callable[[], str | None]


@dataclass(frozen=True, order=True)
class Seed:
    """One registered function. Lower `order` runs first."""

    order: int
    name: str
    function: Function


_seeds: dict[str, Seed] = {}


def register(order: int, name: str, function: Function) -> None:
    """Have `function` called by `prepare`, once per name. Called from an app's `ready`."""
    _seeds[name] = Seed(order, name, function)


def registered() -> list[Seed]:
    """Every seed, in the order in which they run."""
    return sorted(_seeds.values(), key=lambda seed: (seed.order, seed.name))
