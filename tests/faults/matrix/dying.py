"""Cells in which a process ends at a named point: gateway, cycle, guardian, kill switch; killed, asked to end, or put to sleep."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from dgbot.core import crash
from risk.models import KillLevel, KillSwitch
from tests.faults.matrix import worlds
from tests.faults.matrix.lab import Child, Lab, wait_until
from tests.faults.matrix.worlds import World
from trading.domain.lifecycle import Status
from trading.models import Bot, BotStatus, Cycle, CycleStatus, Decision, Order
from trading.services import orders

AT_A_WIRE = (
    "lease taken",
    "account taken",
    "key opened",
    "claim written",
    "claim committed",
    "connected",
    "request half written",
    "request written",
    "headers read",
    "answer read",
    "answer booked",
    "answer committed",
    "fills fetched",
    "fills inserted",
    "fills folded",
)
PRETENDED = (
    "lease taken",
    "account taken",
    "claim written",
    "claim committed",
    "venue order written",
    "venue order committed",
    "answer read",
    "fills inserted",
    "answer booked",
    "answer committed",
)
IN_THE_GATEWAY = {"upbit": AT_A_WIRE, "bitget": AT_A_WIRE, "paper": PRETENDED, "simulated": PRETENDED}
# The claim is committed, and the exchange has not got all of the request.
IN_BETWEEN = frozenset({"claim committed", "connected", "request half written", "venue order written"})
OVER_A_CANCEL = ("cancel recorded", "connected", "request written", "headers read", "cancel answered")
IN_A_CYCLE = (
    "slot wanted",
    "slot inserted",
    "slot committed",
    "analyst answered",
    "decision committed",
    "order inserted",
    "order committed",
)
BEFORE_A_DECISION = ("slot wanted", "slot inserted", "slot committed", "analyst answered")
CODES = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 0}
DEADLY = ("SIGKILL", "SIGTERM")
KINDS = ("entry", "exit", "stop")


@dataclass(frozen=True)
class Dying:
    """One point, one venue, one kind of order, one way to end."""

    venue: str
    kind: str
    point: str
    how: str = "SIGKILL"

    @property
    def name(self) -> str:
        """See Cell."""
        return f"{crash.POINTS[self.point]:02d} {self.venue} {self.kind} {self.point} {self.how}".replace(" ", "-")

    @property
    def waits_for(self) -> str:
        """See Cell."""
        return ""

    def hit(self, child: Child, *, code: int | None = None) -> None:
        """It ended as it was told to."""
        wanted = CODES[self.how] if code is None else code
        assert child.wait() == wanted, f"{child.role} ended with {child.code} instead of {wanted}\n{child.nursery.said()}"


@dataclass(frozen=True)
class DyingGateway(Dying):
    """The gateway ends over an entry, an exit, or the guardian's exit; another one goes on."""

    @property
    def is_never_sent(self) -> bool:
        """Whether the exchange must never have had the order: claimed, and killed before all of it had left.

        A real exchange is sent an exit again. A simulated one knows for certain that it has none, so the next look plans another.
        """
        return self.how == "SIGKILL" and self.point in IN_BETWEEN and (self.kind == "entry" or self.venue == "simulated")

    def run(self, lab: Lab) -> None:
        """See Cell."""
        world = worlds.make(lab, self.venue)
        order = world.plan(self.kind)
        self.hit(lab.start("gateway", crash=f"{self.point}:1:{self.how}"))
        if (self.point, self.how) == ("account taken", "SIGKILL"):
            assert Bot.objects.get(pk=world.bot.pk).status == BotStatus.REQUESTED, "the bot runs although no gateway has passed the barrier"
        lab.start("gateway")
        world.wait_for_quiet()
        world.check(order, wanted=Status.ABSENT if self.is_never_sent else Status.FILLED)


@dataclass(frozen=True)
class SleepingGateway(Dying):
    """The gateway is stopped for longer than its lease, another takes over, and the sleeper wakes up again."""

    def run(self, lab: Lab) -> None:
        """See Cell."""
        world = worlds.make(lab, self.venue)
        order = world.plan(self.kind)
        sleeper = lab.start("gateway", crash=f"{self.point}:1:SIGSTOP")
        wait_until(lambda: worlds.has_stopped(sleeper.pid), f"the gateway to sleep\n{lab.said()}")
        lab.start("gateway")
        wait_until(lambda: worlds.holder_of(world.account) not in ("", str(sleeper.pid)), "another gateway to take over")
        sleeper.send(signal.SIGCONT)
        world.wait_for_quiet()
        world.check(order, wanted=None)


@dataclass(frozen=True)
class DyingCancel(Dying):
    """The gateway ends over the cancel of a resting entry, which may fill while nobody runs; the next one asks what became of it."""

    @property
    def has_left(self) -> bool:
        """Whether the exchange got the cancel before the death."""
        return self.how != "SIGKILL" or self.point in ("request written", "headers read", "cancel answered")

    def run(self, lab: Lab) -> None:
        """See Cell."""
        world = worlds.make(lab, self.venue)
        engine = lab.fakes[self.venue].engine
        engine.is_matching_held = True
        order = world.plan("entry")
        gateway = lab.start("gateway")
        wait_until(lambda: Order.objects.get(pk=order.pk).status == Status.OPEN, f"the order to rest\n{lab.said()}")
        gateway.kill()
        assert orders.request_cancel(order_pk=order.pk, reason="matrix")
        self.hit(lab.start("gateway", crash=f"{self.point}:1:{self.how}"))
        if self.kind == "late fill":
            engine.release_matching()
        lab.start("gateway")
        world.wait_for_quiet()
        fills = self.kind == "late fill" and not self.has_left
        world.check(order, wanted=Status.FILLED if fills else Status.CANCELLED)


@dataclass(frozen=True)
class DyingCycle(Dying):
    """A cycle's runner ends; another one goes on with the same slot, and the gateway sends what was planned."""

    def run(self, lab: Lab) -> None:
        """See Cell."""
        world = worlds.make(lab, self.venue)
        if self.kind == "exit":
            world.buy()
            world.make_stop_due()
        slot = world.next_slot()
        asked = {"bot": world.bot.pk, "slot": slot.isoformat()}
        self.hit(lab.start("cycle", crash=f"{self.point}:1:{self.how}", **asked), code=-signal.Signals[self.how])
        self._check_what_was_left(world)
        decided = list(Decision.objects.filter(bot=world.bot).values_list("hash", flat=True))
        if self.point != "order committed":  # then nobody need do anything but the gateway
            assert lab.start("cycle", **asked).wait() == 0, lab.said()
        lab.start("gateway")
        world.wait_for_quiet()
        order = Order.objects.filter(bot=world.bot).latest("pk")
        world.check(order, wanted=Status.FILLED)
        cycle = Cycle.objects.get(bot=world.bot, slot=slot)
        assert cycle.status == CycleStatus.DONE, f"the cycle is {cycle.status}: {cycle.outcome}"
        assert order.cycle_id == cycle.pk, "the order belongs to another cycle"
        after = list(Decision.objects.filter(bot=world.bot).values_list("hash", flat=True))
        assert after[: len(decided)] == decided and len(after) <= 1, "the analyst was asked again for what was decided"

    def _check_what_was_left(self, world: World) -> None:
        """Nothing that was not committed, right after the death."""
        cycles, planned = Cycle.objects.filter(bot=world.bot, status="running"), Order.objects.filter(bot=world.bot)
        planned = planned.filter(purpose="entry" if self.kind == "entry" else "exit")
        if self.point in ("slot wanted", "slot inserted"):
            assert not cycles.exists(), "the slot is taken by a runner who never committed it"
        if self.point in BEFORE_A_DECISION:
            assert not Decision.objects.filter(bot=world.bot).exists(), "a decision was stored before it was made"
        if self.point != "order committed":
            assert not planned.exists(), "an order is left of what was not committed"


@dataclass(frozen=True)
class DyingGuardian(Dying):
    """The guardian ends between seeing a trigger and planning the exit; the next one sees it again, and there is one exit."""

    def run(self, lab: Lab) -> None:
        """See Cell."""
        world = worlds.make(lab, self.venue)
        world.buy()
        world.make_stop_due()
        occurrence = 2 if self.point == "order inserted" else 1  # a guardian first warms up with a plan of nothing
        self.hit(lab.start("guardian", crash=f"{self.point}:{occurrence}:{self.how}"))
        if self.how == "SIGKILL":
            assert not Order.objects.filter(bot=world.bot, purpose="exit").exists(), "an exit is left of what was not committed"
        lab.start("guardian")
        lab.start("gateway")
        wait_until(world.is_flat, f"the position to be sold\n{lab.said()}")
        world.wait_for_quiet()
        world.check(Order.objects.get(bot=world.bot, purpose="exit"), wanted=Status.FILLED)


@dataclass(frozen=True)
class DyingKillSwitch(Dying):
    """Whoever sets the kill switch ends before the commit: it is off, and says so; set again, it holds."""

    def run(self, lab: Lab) -> None:
        """See Cell."""
        world = worlds.make(lab, self.venue)
        wanted = {"scope": "account", "scope_id": str(world.account.pk), "level": KillLevel.NO_OPEN.value}
        self.hit(lab.start("kill_switch", crash=f"{self.point}:1:{self.how}", **wanted), code=-signal.Signals[self.how])
        assert not KillSwitch.objects.filter(level__gt=0).exists(), "a level is in force that was never committed"
        assert lab.start("kill_switch", **wanted).wait() == 0, lab.said()
        order = world.plan("entry")
        lab.start("gateway")
        world.wait_for_quiet()
        world.check(order, wanted=Status.DENIED)


@dataclass(frozen=True)
class DyingWithAnOldKey(Dying):
    """The key is changed at the exchange and here while no gateway runs: the next one uses the new key."""

    def run(self, lab: Lab) -> None:
        """See Cell."""
        world = worlds.make(lab, self.venue)
        order = world.plan("entry")
        self.hit(lab.start("gateway", crash=f"{self.point}:1:{self.how}"))
        worlds.change_key(world)
        lab.start("gateway")
        world.wait_for_quiet()
        world.check(order, wanted=Status.FILLED)


def cells() -> Iterator[Dying]:
    """All of them, in a fixed order."""
    for venue in worlds.VENUES:
        yield from _at(venue)
        if venue in ("upbit", "bitget"):
            yield from _at_a_wire(venue)


def _at(venue: str) -> Iterator[Dying]:
    for kind, point, how in product(KINDS, IN_THE_GATEWAY[venue], DEADLY):
        if (kind, how) != ("stop", "SIGTERM"):  # the guardian's exit is sent like any other
            yield DyingGateway(venue, kind, point, how)
    for point, how in product(IN_A_CYCLE, DEADLY):
        yield DyingCycle(venue, "entry", point, how)
        if point not in ("analyst answered", "decision committed"):  # RiskCheck's exits ask nobody
            yield DyingCycle(venue, "exit", point, how)
    for point, how in product(("trigger seen", "order inserted"), DEADLY):
        yield DyingGuardian(venue, "stop", point, how)
    for how in DEADLY:
        yield DyingKillSwitch(venue, "switch", "kill switch written", how)
    for kind, point in product(KINDS[:2], ("claim committed", "answer read")):
        yield SleepingGateway(venue, kind, point, "SIGSTOP")


def _at_a_wire(venue: str) -> Iterator[Dying]:
    for point, kind, how in product(OVER_A_CANCEL, ("cancel", "late fill"), DEADLY):
        yield DyingCancel(venue, kind, point, how)
    yield DyingWithAnOldKey(venue, "new key", "key opened")
