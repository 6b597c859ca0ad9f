"""The one place where it is decided whose rows a user may see."""

from typing import Any, Self

from django.db import models


class OwnedQuerySet(models.QuerySet[Any]):
    """Rows that belong to a user through their `user` column."""

    def for_user(self, user: Any) -> Self:
        """What `user` may see: everything with the right to see all, otherwise the own rows, and nothing for a stranger."""
        if not user.is_authenticated:
            return self.none()
        if user.has_perm("accounts.see_all_owners"):
            return self
        return self.filter(user=user)
