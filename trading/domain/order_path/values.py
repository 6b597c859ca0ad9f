"""What one transaction reads of an order, and what it writes. Money in base or quote as named; machine time is the database's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from dgbot.core.types import Mode, OrderType, Purpose, Side, TradingRules, VenueFill
from trading.domain.lifecycle import Actor, Status

MOST_SENDS = 5  # of one exit; PostgreSQL refuses a sixth


class SendResult(StrEnum):
    """What came of one send. Only NOT_SENT proves that no byte left."""

    CLAIMED = "claimed"
    NOT_SENT = "not_sent"
    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    AMBIGUOUS = "ambiguous"


class CancelResult(StrEnum):
    """What came of one request to cancel. None of them ends the order: the exchange's answer about the order does."""

    ACCEPTED = "accepted"  # the exchange answered with the order
    REFUSED = "refused"  # it said no: often because the order has ended
    AMBIGUOUS = "ambiguous"  # no clear answer; cancelling again is safe
    POINTLESS = "pointless"  # the order had ended before anything was sent


class ReservationChange(StrEnum):
    """What becomes of the money set aside for an entry."""

    RELEASE = "release"
    CONVERT = "convert"  # the order became a position


@dataclass(frozen=True, slots=True)
class Tenure:
    """A process's right to send for one account: the name of the lease, its epoch, and who holds it."""

    name: str
    epoch: int
    holder: str


@dataclass(frozen=True, slots=True)
class Waits:
    """How long is waited for what, in seconds. Their meaning stands beside the settings of the same names."""

    entry_permit_s: float
    exit_permit_s: float
    submit_timeout_s: float
    abandoned_after_s: float  # D: no byte of an abandoned request is accepted later
    visible_within_s: float  # H: an accepted order shows in every question
    dispute_after_s: float
    cancel_again_s: float


@dataclass(frozen=True, slots=True)
class Send:
    """One permission to send. permit_until: machine time."""

    send_no: int
    gateway_epoch: int
    permit_until: datetime
    result: SendResult
    is_duplicate: bool = False  # the exchange answered that it had this client id before

    @property
    def may_have_left(self) -> bool:
        """Whether a byte of it may have reached the exchange."""
        return self.result is not SendResult.NOT_SENT


@dataclass(frozen=True, slots=True)
class Cancel:
    """One wish to cancel. sent_at: machine time; None while nothing has been sent for it."""

    n: int
    reason: str
    sent_at: datetime | None = None
    result: CancelResult | None = None


@dataclass(frozen=True, slots=True)
class Inquiry:
    """How often the exchange was asked about an order without an end in sight. Kept in a row: a restart forgets none of it.

    since: when it became unclear. negatives: rounds since the last send in which every question was answered and none knew the
    order. proofs: those of them that began when no byte could be on its way any more. Times are machine time.
    """

    since: datetime
    next_ask_at: datetime
    rounds: int = 0
    negatives: int = 0
    proofs: int = 0
    first_proof_at: datetime | None = None
    last_proof_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BookedFill:
    """An execution that is in our books already."""

    price: Decimal
    amount: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """An order as one transaction reads it, with all that the order path decides on. read_at: machine time of the reading."""

    pk: int
    mode: Mode
    purpose: Purpose
    client_id: str
    symbol: str
    side: Side
    order_type: OrderType
    amount: Decimal | None
    quote_amount: Decimal | None
    price: Decimal | None
    reduce_only: bool
    params_hash: str
    status: Status
    version: int
    filled_amount: Decimal
    exchange_order_id: str | None
    valid_until: datetime | None
    has_position: bool
    held: Decimal  # base that its position still holds; zero without one
    read_at: datetime
    sends: tuple[Send, ...] = ()  # oldest first
    fills: Mapping[str, BookedFill] = field(default_factory=dict)  # by exchange trade id
    cancels: tuple[Cancel, ...] = ()  # oldest first
    inquiry: Inquiry | None = None

    @property
    def is_entry(self) -> bool:
        """Whether it opens or adds; everything else may only reduce."""
        return self.purpose is Purpose.ENTRY

    @property
    def last_send(self) -> Send | None:
        """The latest permission to send."""
        return self.sends[-1] if self.sends else None

    @property
    def wanted_cancel(self) -> Cancel | None:
        """The oldest wish to cancel that nothing has been sent for."""
        return next((cancel for cancel in self.cancels if cancel.sent_at is None and cancel.result is None), None)


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a claim looks at besides the order, read in the claim's own transaction.

    kill_level: 0 to 4, see `risk.KillLevel`. reducible: base currency that its position still holds, None for an entry.
    refusal: every other reason against an entry, in one text; empty when there is none.
    """

    kill_level: int
    reducible: Decimal | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """One step along the lifecycle, with who makes it and on what evidence."""

    to: Status
    actor: Actor
    evidence: Mapping[str, Any]
    error_message: str | None = None  # None: the order's own stays


@dataclass(frozen=True, slots=True)
class NewSend:
    """A send row to be committed before the first byte. permit_s: seconds from the commit's own clock reading."""

    send_no: int
    permit_s: float


@dataclass(frozen=True, slots=True)
class SendVerdict:
    """What became of the send that is still claimed."""

    result: SendResult
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """All that one transaction writes about an order; what is None or empty stays as it is.

    fills: executions that are not booked yet, under `rules` of their market. stray_fills: those of an exit whose position does not hold
    so much any more; they are booked without it. filled_amount: base, never below what is booked.
    exit_is_over: an exit ended, so the next one of its position may be planned. alarm: a person must look, in one sentence.
    """

    moves: tuple[Move, ...] = ()
    send: NewSend | None = None
    verdict: SendVerdict | None = None
    fills: tuple[VenueFill, ...] = ()
    stray_fills: tuple[VenueFill, ...] = ()
    rules: TradingRules | None = None
    filled_amount: Decimal | None = None
    exchange_order_id: str | None = None
    reservation: ReservationChange | None = None
    exit_is_over: bool = False
    inquiry: Inquiry | None = None
    forgets_inquiry: bool = False
    cancel: Cancel | None = None  # a wish that is new, or one whose sending or result is told
    alarm: str = ""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to send one order, given in a committed transaction and looked at again right before the write."""

    order: OrderFacts
    send_no: int
    deadline: float  # of the monotonic clock
