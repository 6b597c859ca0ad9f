"""The life of an order: which move is legal and who may make it. What is not in this table cannot happen.

    planned ─→ submitting ─→ open ⇄ partially_filled ─→ filled
       │            │          └──→ cancelling ─→ cancelled ─→ filled (a late fill)
       ├→ denied    ├→ failed  (the exchange certainly refused)
       └→ lapsed    └→ unknown ─→ any proven state · absent · disputed

PostgreSQL holds the same table: a CHECK on `order_events` and a trigger on `orders`; a test compares them.
"""

from enum import StrEnum
from itertools import product


class Status(StrEnum):
    """Where an order is. Closed states still accept fills."""

    PLANNED = "planned"
    DENIED = "denied"  # a rule of ours forbade it; nothing was sent
    LAPSED = "lapsed"  # its time passed; nothing was sent
    SUBMITTING = "submitting"  # the send row is committed; a byte may have left
    UNKNOWN = "unknown"  # no clear answer; reconciliation settles it
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    CANCELLING = "cancelling"
    FILLED = "filled"
    CANCELLED = "cancelled"
    FAILED = "failed"  # the exchange certainly refused it
    EXPIRED = "expired"
    ABSENT = "absent"  # proven never to have reached the exchange
    DISPUTED = "disputed"  # contradictory evidence; an operator decides


class Actor(StrEnum):
    """Who moves an order."""

    PLANNER = "planner"
    GATEWAY = "gateway"
    RECONCILER = "reconciler"
    SWEEPER = "sweeper"
    OPERATOR = "operator"


CLOSED = frozenset({Status.DENIED, Status.LAPSED, Status.FILLED, Status.CANCELLED, Status.FAILED, Status.EXPIRED, Status.ABSENT})
CLOSED_VALUES = sorted(status.value for status in CLOSED)  # for constraints, in one order for ever
MAYBE_SENT = frozenset({Status.SUBMITTING, Status.UNKNOWN, Status.DISPUTED})  # keep their reservation and block entries

_GATEWAY = (Actor.GATEWAY,)
_TOLD = (Actor.GATEWAY, Actor.RECONCILER)  # whoever read it from the exchange
_RECONCILER = (Actor.RECONCILER,)

_RULES: tuple[tuple[tuple[Status | None, ...], tuple[Status, ...], tuple[Actor, ...]], ...] = (
    ((None,), (Status.PLANNED,), (Actor.PLANNER, Actor.OPERATOR)),
    ((Status.PLANNED,), (Status.DENIED,), (Actor.PLANNER, Actor.GATEWAY)),
    ((Status.PLANNED,), (Status.LAPSED,), (Actor.GATEWAY, Actor.SWEEPER)),
    ((Status.PLANNED,), (Status.SUBMITTING,), _GATEWAY),
    # The same gateway proved that no byte was written: an entry lapses, an exit is planned again.
    ((Status.SUBMITTING,), (Status.LAPSED, Status.PLANNED), _GATEWAY),
    ((Status.SUBMITTING,), (Status.FAILED,), _GATEWAY),
    ((Status.SUBMITTING,), (Status.OPEN, Status.PARTIALLY_FILLED, Status.FILLED, Status.CANCELLED, Status.EXPIRED, Status.UNKNOWN), _TOLD),
    ((Status.SUBMITTING,), (Status.DISPUTED,), _TOLD),
    ((Status.UNKNOWN,), (Status.SUBMITTING,), _GATEWAY),  # exits only: the same client id once more
    (
        (Status.UNKNOWN,),
        (
            Status.OPEN,
            Status.PARTIALLY_FILLED,
            Status.FILLED,
            Status.CANCELLED,
            Status.EXPIRED,
            Status.FAILED,
            Status.ABSENT,
            Status.DISPUTED,
        ),
        _RECONCILER,
    ),
    ((Status.OPEN, Status.PARTIALLY_FILLED), (Status.FILLED, Status.CANCELLED, Status.EXPIRED), _TOLD),
    ((Status.OPEN,), (Status.PARTIALLY_FILLED,), _TOLD),
    ((Status.PARTIALLY_FILLED,), (Status.OPEN,), _RECONCILER),
    ((Status.OPEN, Status.PARTIALLY_FILLED), (Status.CANCELLING,), _GATEWAY),
    ((Status.CANCELLING,), (Status.CANCELLED, Status.FILLED, Status.PARTIALLY_FILLED, Status.OPEN, Status.EXPIRED), _TOLD),
    # A late fill, or an order that came back from the dead.
    ((Status.CANCELLED, Status.ABSENT, Status.EXPIRED, Status.FAILED), (Status.FILLED,), _RECONCILER),
    ((Status.ABSENT, Status.EXPIRED, Status.FAILED), (Status.CANCELLED,), _RECONCILER),
    (
        (Status.DISPUTED,),
        (Status.FILLED, Status.CANCELLED, Status.FAILED, Status.EXPIRED, Status.ABSENT),
        (Actor.RECONCILER, Actor.OPERATOR),
    ),
)

Move = tuple[Status | None, Status, Actor]

MOVES: frozenset[Move] = frozenset(move for froms, tos, actors in _RULES for move in product(froms, tos, actors))


def is_legal(before: Status | None, after: Status, actor: Actor) -> bool:
    """Whether `actor` may move an order so; `before` is None at its birth."""
    return (before, after, actor) in MOVES


def pairs_as_sql(before: str, after: str) -> str:
    """The legal (from, to) pairs as an SQL condition over two expressions, whoever moves."""
    rows = sorted({(first or "", second) for first, second, _actor in MOVES})
    values = ", ".join(f"('{first}', '{second}')" for first, second in rows)
    return f"({before}, {after}) IN ({values})"
