"""Django's `migrate`, without drawing a hundred models anew for every index and constraint."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.commands.migrate import Command as Migrate
from django.db.migrations.state import ProjectState


class Command(Migrate):
    """The same options and the same result, in less than half the time: most of our operations add a constraint."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate."""
        with _options_drawn_later():
            super().handle(*args, **options)


@contextmanager
def _options_drawn_later() -> Iterator[None]:
    """Indexes and constraints are noted in the state, and appear on the drawn model with its next change of columns.

    PostgreSQL's schema editor takes them from the operation, never from the model; drawing one anew draws all that are related to it,
    which here are nearly all. Source: `ProjectState._append_option` of Django 5.2.
    """
    whole = ProjectState._append_option  # type: ignore[attr-defined]  # private, and pinned with Django
    try:
        ProjectState._append_option = _noted  # type: ignore[attr-defined]
        yield
    finally:
        ProjectState._append_option = whole  # type: ignore[attr-defined]


def _noted(state: ProjectState, app_label: str, model_name: str, option_name: str, value: Any) -> None:
    model = state.models[app_label, model_name]
    model.options[option_name] = [*model.options[option_name], value]
