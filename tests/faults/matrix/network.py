"""Cells in which nobody dies and the wire or the exchange misbehaves: rows N1 to N12 of the fault catalogue, for entries and exits."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes.core.faults import Fault, accept_then_drop, drop, garbage, hang, html
from tests.faults.matrix import worlds
from tests.faults.matrix.lab import Lab, wait_until
from tests.faults.matrix.worlds import World
from trading.domain.lifecycle import Status
from trading.models import Order

PLACE = {"upbit": "POST /v1/orders", "bitget": "POST /api/v2/mix/order/place-order"}
LOOK_UP = {"upbit": "GET /v1/order", "bitget": "GET /api/v2/mix/order/detail"}
NOT_FOUND = {
    "upbit": Fault(status=404, body=json.dumps({"error": {"name": "order_not_found", "message": "no such order"}})),
    "bitget": Fault(
        status=400, body=json.dumps({"code": "40109", "msg": "The data of the order cannot be found", "requestTime": 1, "data": None})
    ),
}
BUSY = json.dumps({"error": {"name": "too_many_requests", "message": "Too many API requests."}})
BANNED = json.dumps({"error": {"name": "too_many_requests", "message": "Blocked for 3 seconds."}})  # untold, a minute is waited
LAG_S, LATE_S, MAINTENANCE_S = 0.6, 0.6, 0.5
KINDS = ("entry", "exit")


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong. arrives: whether the exchange gets the order all the same.

    place, look_up: what the endpoints do; times of the latter, None until the cell ends. ends_in: where the order ends, when not
    where its arrival leads.
    """

    row: str
    name: str
    arrives: bool
    place: Fault | None = None
    look_up: Callable[[str], Fault] | None = None
    times: int | None = 3
    ends_in: Status | None = None
    is_under_maintenance: bool = False


def _another(key: str, value: object) -> Callable[[bytes], bytes]:
    """An answer in which one value was changed, wherever it stands."""

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {name: value if name == key else walk(one) for name, one in node.items()}
        return [walk(one) for one in node] if isinstance(node, list) else node

    return lambda body: json.dumps(walk(json.loads(body))).encode()


def _size(venue: str) -> Fault:
    return Fault(rewrite=_another({"upbit": "market", "bitget": "size"}[venue], {"upbit": "KRW-ETH", "bitget": "77"}[venue]))


TROUBLES = (
    Trouble("N1", "connection cut before the exchange saw it", False, drop()),
    Trouble("N1", "no answer, nothing done", False, hang()),
    Trouble("N2", "accepted, connection cut", True, accept_then_drop()),
    Trouble("N2", "accepted, no answer", True, hang(is_processed=True)),
    *(Trouble("N3", f"{status} after it was accepted", True, html(status, is_processed=True)) for status in (500, 502, 503, 504)),
    *(Trouble("N4", f"{status} before it was accepted", False, html(status)) for status in (500, 502, 503, 504)),
    Trouble("N5", "sent twice by a box in the middle", True, Fault(is_doubled=True)),
    Trouble("N6", "held on the way and delivered late", True, Fault(late_s=LATE_S)),
    Trouble("N7", "invisible for a while", True, accept_then_drop(), lambda _venue: Fault(lag_s=LAG_S), None),
    Trouble("N8", "found, not found, found", True, accept_then_drop(), NOT_FOUND.__getitem__, 2),
    Trouble("N9", "acknowledged with somebody else's id", True, Fault(rewrite=_another("identifier", "somebody else's"))),
    Trouble("N9", "looked up with another size or market", True, accept_then_drop(), _size, 2),
    *(
        Trouble("N10", f"answered with {what}", True, garbage(body, is_processed=True))
        for what, body in (
            ("nothing", b""),
            ("null", b"null"),
            ("half an object", b'{"uuid": "12'),
            ("NaN", b'{"uuid": NaN}'),
            ("a number beyond all numbers", b'{"price": 1e999999}'),
            ("the same key twice", b'{"uuid": "1", "uuid": "2"}'),
            ("a megabyte", b"[" + b"0," * 500_000 + b"0]"),
            ("bytes of no alphabet", b"\xff\xfe\x00"),
        )
    ),
    Trouble("N10", "half of the answer", True, Fault(truncate_to=20)),
    Trouble("N10", "looked up in a page", True, accept_then_drop(), lambda _venue: html(200)),
    Trouble("N10", "looked up in half an answer", True, None, lambda _venue: Fault(truncate_to=30)),
    Trouble("N11", "429 to the order", False, garbage(BUSY, status=429)),
    Trouble("N11", "418 to the order", False, garbage(BANNED, status=418)),
    Trouble("N11", "429 to the question", True, accept_then_drop(), lambda _venue: garbage(BUSY, status=429), 2),
    Trouble("N12", "maintenance", False, is_under_maintenance=True),
)


@dataclass(frozen=True)
class Network:
    """One trouble, at one venue, over one kind of order."""

    venue: str
    kind: str
    trouble: Trouble

    @property
    def name(self) -> str:
        """See Cell."""
        return f"{self.trouble.row} {self.venue} {self.kind} {self.trouble.name}".replace(" ", "-").replace(",", "").replace("'", "")

    @property
    def waits_for(self) -> str:
        """See Cell."""
        return ""

    def run(self, lab: Lab) -> None:
        """See Cell."""
        world = worlds.make(lab, self.venue)
        order = world.plan(self.kind)
        self._switch_on(lab)
        lab.start("gateway")
        if self._waits_for_the_barrier:
            self._heal(lab)
        wait_until(lambda: Order.objects.get(pk=order.pk).status not in ("planned", "submitting"), f"the send\n{lab.said()}")
        self._heal(lab)
        world.wait_for_quiet()
        self._check(world, order)

    def _switch_on(self, lab: Lab) -> None:
        fake = lab.fakes[self.venue]
        if self.trouble.place is not None:
            fake.server.faults.set(PLACE[self.venue], self.trouble.place, times=1)
        if self.trouble.look_up is not None:
            fake.server.faults.set(LOOK_UP[self.venue], self.trouble.look_up(self.venue), times=self.trouble.times)
        fake.is_under_maintenance = self.trouble.is_under_maintenance

    @property
    def _waits_for_the_barrier(self) -> bool:
        """No entry is sent before the account was compared with its exchange: under maintenance none is, and none is unclear."""
        return self.trouble.is_under_maintenance and self.kind == "entry"

    def _heal(self, lab: Lab) -> None:
        if self.trouble.is_under_maintenance:
            time.sleep(MAINTENANCE_S)
            lab.fakes[self.venue].is_under_maintenance = False

    def _check(self, world: World, order: Order) -> None:
        # What did not arrive of an exit is sent again.
        arrives = self.trouble.arrives or self.kind == "exit" or self._waits_for_the_barrier
        world.check(order, wanted=Status.FILLED if arrives else Status.ABSENT)


def cells() -> Iterator[Network]:
    """All of them, in a fixed order."""
    for venue in PLACE:
        for kind in KINDS:
            for trouble in TROUBLES:
                yield Network(venue, kind, trouble)
