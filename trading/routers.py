"""Which connection a model uses."""

from typing import Any

VENUE_MODELS = frozenset({"venueaccount", "venueorder", "venuefill"})


class VenueRouter:
    """Sends the memory of pretended exchanges through the alias `venue`; its tables are made through `default`."""

    def db_for_read(self, model: Any, **_hints: Any) -> str | None:
        """The alias to read from, or None for the default."""
        return "venue" if model._meta.model_name in VENUE_MODELS else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, _app_label: str, **_hints: Any) -> bool:
        """Only the default alias is migrated: both reach the same database."""
        return db != "venue"
