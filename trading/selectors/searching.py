"""What a word in a search box means, found through indexes only: a symbol's beginning, a whole id, or words of a text."""

from typing import Any

from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db.models import Q, QuerySet

from trading.models import Bot, ExchangeAccount

CONFIGURATION = "simple"  # of PostgreSQL's text search; the indexes are built with it
MOST_SYMBOLS = 50


def symbols_beginning(term: str, *, user: Any) -> list[str]:
    """Symbols of the bots `user` may see that begin with `term`, whatever its case."""
    found = Bot.objects.for_user(user).filter(symbol__istartswith=term).order_by("symbol").values_list("symbol", flat=True)
    return list(found.distinct()[:MOST_SYMBOLS])


def by_symbol_or_id(rows: QuerySet[Any], term: str, *, user: Any, ids: tuple[str, ...]) -> QuerySet[Any]:
    """Rows of the symbols that begin with `term`; when no symbol does, rows one of whose `ids` is `term`.

    The ids are unique within an account, so each of the user's accounts is asked once through that index.
    """
    symbols = symbols_beginning(term, user=user)
    if symbols:
        return rows.filter(symbol__in=symbols)
    accounts = list(ExchangeAccount.objects.for_user(user).values_list("pk", flat=True))
    matches = Q()
    for name in ids:
        matches |= Q(account__in=accounts, **{name: term})
    found = rows.model._default_manager.filter(matches).values("pk")
    return rows.filter(pk__in=list(found[:MOST_SYMBOLS].values_list("pk", flat=True)))


def by_words(rows: QuerySet[Any], term: str, *, field: str) -> QuerySet[Any]:
    """Rows whose `field` holds every word of `term`, or a word that begins like it. The field needs the index `words_of`."""
    return rows.annotate(words=words_of(field)).filter(words=query_of(term))


def words_of(field: str) -> SearchVector:
    """The expression whose GIN index serves `by_words`."""
    return SearchVector(field, config=CONFIGURATION)


def query_of(term: str) -> SearchQuery:
    """Each piece between spaces is read by the same parser as the text; quotes keep it from being read as an operator."""
    pieces = ["'" + piece.replace("\\", "\\\\").replace("'", "''") + "':*" for piece in term.split()]
    return SearchQuery(" & ".join(pieces), config=CONFIGURATION, search_type="raw")
