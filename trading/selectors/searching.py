"""What a search box finds, through indexes only: a whole id, or words of a text."""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.search import SearchQuery, SearchVector, SearchVectorExact
from django.db.models import BooleanField, F, Func, Q, QuerySet

from trading.models import ExchangeAccount

CONFIGURATION = "simple"  # of PostgreSQL's text search; the indexes are built with it
MOST_FOUND = 50  # rows with one id: an account each
NEWEST_ASKED, FREQUENT = 1_000, 60  # a page's worth of the newest thousand
MOST_FETCHED = 20_000  # rows through the index of words


def by_id(rows: QuerySet[Any], term: str, *, user: Any, ids: tuple[str, ...]) -> QuerySet[Any]:
    """Rows one of whose `ids` is `term`.

    The ids are unique within an account, so each of the user's accounts is asked once through that index.
    """
    accounts = list(ExchangeAccount.objects.for_user(user).values_list("pk", flat=True))
    matches = Q()
    for name in ids:
        matches |= Q(account__in=accounts, **{name: term})
    found = rows.model._default_manager.filter(matches).values_list("pk", flat=True)
    return rows.filter(pk__in=list(found[:MOST_FOUND]))


def by_words(rows: QuerySet[Any], term: str, *, field: str) -> QuerySet[Any]:
    """Rows whose `field` holds every word of `term`, or a word that begins like it. The field needs a GIN index over `words_of`.

    PostgreSQL cannot know how many words begin like this one, and guesses: looking for a rare word from the newest row on, it once read
    half a million rows, and for a frequent one it fetched all of them through their index. So the newest rows are asked first. Words that
    are frequent there are found by reading in the list's order, others are fetched through their index before anything is ordered.
    """
    holds = SearchVectorExact(words_of(field), query_of(term))
    in_order = rows.annotate(words=_without_index(holds)).filter(words=True)
    if sum(rows.annotate(holds=holds).values_list("holds", flat=True)[:NEWEST_ASKED]) >= FREQUENT:
        return in_order
    everywhere = rows.model._default_manager.annotate(words=words_of(field)).filter(words=query_of(term)).values("pk")
    if everywhere[: MOST_FETCHED + 1].count() > MOST_FETCHED:
        return in_order
    return rows.filter(
        Func(F("pk"), ArraySubquery(everywhere), template="%(expressions)s)", arg_joiner=" = ANY(", output_field=BooleanField())
    )


def _without_index(condition: Any) -> Func:
    """The same condition in a form that no index answers, so that the planner keeps to the list's order."""
    return Func(condition, template="(%(expressions)s IS TRUE)", output_field=BooleanField())


def words_of(field: str) -> SearchVector:
    """The expression whose GIN index serves `by_words`."""
    return SearchVector(field, config=CONFIGURATION)


def query_of(term: str) -> SearchQuery:
    """Each piece between spaces is read by the same parser as the text; quotes keep it from being read as an operator."""
    pieces = ["'" + piece.replace("\\", "\\\\").replace("'", "''") + "':*" for piece in term.split()]
    return SearchQuery(" & ".join(pieces), config=CONFIGURATION, search_type="raw")
