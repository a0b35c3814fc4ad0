"""SQS as the engine meets it: at least once, out of order, late, with visibility timeouts and redrive."""

from collections.abc import Callable, Sequence

from chalicelib.domain.errors import QueueError
from chalicelib.domain.message import Message
from tests.simulation.faults import OUTSIDE, Kind
from tests.simulation.sim import Sim

VISIBILITY_SECONDS = 60.0
MOST_RECEIVES = 6
# The second delivery of a message comes so much later.
DUPLICATE_SECONDS = 20.0


class Held:
    """A message in a queue."""

    def __init__(self, message_id: str, body: str, visible_at: float) -> None:
        self.message_id = message_id
        self.body = body
        self.visible_at = visible_at
        self.receives = 0
        self.in_flight = False


class SimulatedQueue:
    """One queue. Each receive of a message has a handle of its own, as on SQS."""

    def __init__(self, name: str, sim: Sim, dead_letters: "SimulatedQueue | None") -> None:
        self.sim = sim
        self.name = name
        self.messages: dict[str, Held] = {}
        # Called when messages may have become visible.
        self.on_visible: Callable[[], None] = lambda: None
        self._dead_letters = dead_letters
        self._count = 0

    async def send(self, messages: Sequence[Message]) -> list[Message]:
        """Send messages; returns those that were not taken."""
        if not messages:
            return []
        await self.sim.faults.crossing()
        await self.sim.faults.trip(0.01)
        refused: list[Message] = []
        for message in messages:
            kind = self.sim.faults.draw(Kind.SEND_REFUSED, Kind.SEND_LOST)
            if kind != Kind.SEND_REFUSED:
                self.put(message.body, message.delay)
            if kind is not None:
                refused.append(message)
        await self.sim.faults.crossing()
        return refused

    async def hand_back(self, receipts: Sequence[tuple[str, int]]) -> None:
        """Let received messages be seen again after a time of their own."""
        if not receipts:
            return
        await self.sim.faults.crossing()
        await self.sim.faults.trip(0.01)
        if self.sim.faults.draw(Kind.HAND_BACK_LOST):
            raise QueueError("queue: no answer")
        for handle, seconds in receipts:
            message_id, _, receives = handle.partition("/")
            held = self.messages.get(message_id)
            if held is not None and held.receives == int(receives):
                self.sim.trace.add(self.name, "handed back", held.body, seconds)
                self._show(held, seconds)
        await self.sim.faults.crossing()

    async def backlog(self) -> int:
        """About how many messages wait."""
        await self.sim.faults.crossing()
        await self.sim.faults.trip(0.01)
        if self.sim.faults.draw(Kind.SEND_REFUSED):
            raise QueueError("queue: no answer")
        return sum(not held.in_flight for held in self.messages.values())

    def put(self, body: str, delay: float = 0.0) -> None:
        """Take a message in."""
        if self.sim.faults.draw(Kind.LATE, where=self.name):
            delay += self.sim.faults.seconds(Kind.LATE)
        delays = [delay]
        if self.sim.faults.draw(Kind.DUPLICATE):
            delays.append(delay + self.sim.rng.uniform(0, DUPLICATE_SECONDS))
        for delay in delays:
            self._count += 1
            held = Held(f"{self.name}-{self._count}", body, 0)
            self.messages[held.message_id] = held
            self.sim.trace.add(self.name, "sent", body, delay)
            self._show(held, delay)

    def receive(self, most: int) -> list[Held]:
        """A batch of visible messages, in any order; those received too often go to the dead letters."""
        now = self.sim.loop.time()
        visible = [held for held in self.messages.values() if held.visible_at <= now]
        self.sim.rng.shuffle(visible)
        batch: list[Held] = []
        for held in visible[:most]:
            held.receives += 1
            if self._dead_letters is not None and held.receives > MOST_RECEIVES:
                del self.messages[held.message_id]
                self.sim.trace.add(self.name, "redriven", held.body)
                self._dead_letters.put(held.body, 0)
                continue
            self._show(held, VISIBILITY_SECONDS)
            held.in_flight = True
            batch.append(held)
        return batch

    def delete(self, held: Held, receives: int) -> None:
        """Acknowledge one receive of a message."""
        if held.receives == receives:
            self.messages.pop(held.message_id, None)

    def _show(self, held: Held, seconds: float) -> None:
        held.visible_at = self.sim.loop.time() + seconds
        held.in_flight = False
        self.sim.loop.call_at(held.visible_at + 1e-6, self.on_visible_again, context=OUTSIDE)

    def on_visible_again(self) -> None:
        """A message may have become visible."""
        self.on_visible()
