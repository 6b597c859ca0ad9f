"""What is slow the first time and fast after: rooms register functions, `up` calls them before the processes start."""

from collections.abc import Callable

_warmups: dict[str, Callable[[], None]] = {}


def register(name: str, function: Callable[[], None]) -> None:
    """Have `function` called once at each start. Called from an app's `ready`; must be quick when already warm."""
    _warmups[name] = function


def run() -> list[str]:
    """Call every function; returns their names."""
    for function in _warmups.values():
        function()
    return list(_warmups)
