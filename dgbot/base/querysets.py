"""The one place where it is decided whose rows a user may see. Admin, pages, websocket and REST all ask `for_user`."""

from typing import Any, Self

from django.db import models
from django.db.models import CharField, Q, Value
from django.db.models.functions import Cast, Concat

SEES_ALL = "accounts.see_all_owners"


class OwnedQuerySet(models.QuerySet[Any]):
    """Rows that belong to a user through `owner_path`."""

    owner_path = "user"
    has_shared = False  # whether a row without an owner is everybody's

    def for_user(self, user: Any) -> Self:
        """What `user` may see: everything with the right to see all, otherwise the own rows, and nothing for a stranger."""
        if not user.is_authenticated:
            return self.none()
        if user.has_perm(SEES_ALL):
            return self
        return self.filter(self.owned_by(user))

    def owned_by(self, user: Any) -> Q:
        """The condition on a row of `user`."""
        own = Q(**{self.owner_path: user})
        return own | Q(**{self.owner_path: None}) if self.has_shared else own


class SharedQuerySet(OwnedQuerySet):
    """Own rows, and those without an owner."""

    has_shared = True


class OfAccountQuerySet(OwnedQuerySet):
    """Rows of whoever owns their account."""

    owner_path = "account__user"


class OfBotQuerySet(OwnedQuerySet):
    """Rows of whoever owns their bot."""

    owner_path = "bot__user"


class OfOrderQuerySet(OwnedQuerySet):
    """Rows of whoever owns their order."""

    owner_path = "order__user"


class OfCycleQuerySet(OwnedQuerySet):
    """Rows of whoever owns their cycle."""

    owner_path = "cycle__user"


def texts_of_keys(rows: Any, *, prefix: str = "") -> Any:
    """A subquery with the primary keys of `rows` as texts, each behind `prefix`: for columns that name a row of any table."""
    text = Concat(Value(prefix), Cast("pk", CharField()))
    return rows.annotate(key_text=text).values("key_text")
