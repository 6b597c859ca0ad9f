"""Every derived figure computed anew from the append-only tables and compared with what is stored. What differs is said, never mended."""

from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import islice

from django.db import connection

from trading.domain.ledger import Book, Leg, Source, Sums, assets_of, of_fill
from trading.models import LedgerEntry, Position, Trade
from trading.services.positions import ADOPTED

# Each query tells rows (subject, what is stored, what the append-only rows say) that differ.
FILLED_AMOUNTS = """
SELECT 'order ' || orders.id || ': filled', filled_amount, coalesce(sum(trades.amount), 0) FROM orders
LEFT JOIN trades ON trades.order_pk = orders.id AND trades.status = 'completed'
GROUP BY orders.id HAVING filled_amount <> coalesce(sum(trades.amount), 0)
"""
ORDER_STATES = """
SELECT 'order ' || orders.id || ': status', orders.status || ' in version ' || version,
    coalesce(newest.to_status, 'none') || ' in version ' || coalesce(newest.seq, 0)
FROM orders LEFT JOIN LATERAL (
    SELECT to_status, seq FROM order_events WHERE order_pk = orders.id ORDER BY seq DESC LIMIT 1
) AS newest ON TRUE
WHERE newest.to_status IS DISTINCT FROM orders.status OR newest.seq IS DISTINCT FROM version
"""
QUERIES = (FILLED_AMOUNTS, ORDER_STATES)
FILLS = (Source.TRADE, Source.EXTERNAL, Source.LIQUIDATION)
BATCH = 1_000  # trades


@dataclass(frozen=True)
class Difference:
    """One figure that does not follow from the append-only rows."""

    what: str
    stored: str
    computed: str

    def __str__(self) -> str:
        return f"{self.what} is stored as {self.stored}, and the append-only rows say {self.computed}"


def differences() -> list[Difference]:
    """Whatever is stored and does not follow from the trades, entries and events. Empty: all agree."""
    return [*_positions(), *_legs(), *(Difference(*map(str, row)) for query in QUERIES for row in _rows(query))]


def _positions() -> list[Difference]:
    """Stored sums of every position against the fold over its trades, in one walk over both tables."""
    sums: dict[int, Sums] = {}
    for trade in Trade.objects.exclude(position=None).filter(status="completed").order_by("pk").iterator():
        assert trade.position_id is not None  # others are left out
        base, quote = assets_of(trade.symbol)
        sums[trade.position_id] = sums.get(trade.position_id, Sums()).plus(trade, base=base, quote=quote)
    found = []
    for position in Position.objects.order_by("pk").iterator():
        for name, computed in asdict(sums.get(position.pk, Sums())).items():
            stored: Decimal = getattr(position, name)
            if stored != computed:
                found.append(Difference(f"position {position.pk}: {name}", f"{stored:f}", f"{computed:f}"))
    return found


def _legs() -> list[Difference]:
    """The ledger's legs of every trade against what its numbers make."""
    found = []
    booked = Trade.objects.filter(status="completed").exclude(source=ADOPTED)  # what was held before moved nothing
    trades = booked.order_by("pk").iterator(chunk_size=BATCH)
    while batch := list(islice(trades, BATCH)):
        told: dict[tuple[int, str], set[Leg]] = {}
        entries = LedgerEntry.objects.filter(source_kind__in=FILLS, source_id__in=[trade.exchange_trade_id for trade in batch])
        for account_id, source_id, book, asset, amount in entries.values_list("account_id", "source_id", "book", "asset", "amount"):
            told.setdefault((account_id, source_id), set()).add(Leg(Book(book), asset, amount))
        for trade in batch:
            base, quote = assets_of(trade.symbol)
            stored = told.get((trade.account_id, trade.exchange_trade_id), set())
            computed = set(of_fill(trade, base=base, quote=quote))
            if stored != computed:
                found.append(Difference(f"trade {trade.pk}: ledger", _words(stored), _words(computed)))
    return found


def _words(legs: set[Leg]) -> str:
    return ", ".join(sorted(f"{leg.book} {leg.amount:f} {leg.asset}" for leg in legs)) or "nothing"


def _rows(query: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()
