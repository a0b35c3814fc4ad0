"""The market watch: fires resting orders when the reference price of their pair is where they wait for it."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Protocol
from uuid import UUID, uuid5

from chalicelib.domain.clock import Clock
from chalicelib.domain.errors import AttemptFailed, StatementRefused, Unavailable
from chalicelib.domain.event import Publishing
from chalicelib.domain.message import Message, MessageQueue
from chalicelib.domain.order import Terms
from chalicelib.execution.recurring import Recurrences
from chalicelib.routing.router import Router
from chalicelib.telemetry import Telemetry
from chalicelib.venues.base import Attempt

# Orders that one statement sends to work, of those that rise and of those that fall.
MOST = 500
# Statements for one pair in one tick: the next tick goes on.
MOST_ROUNDS = 20
# Kept free at the end of an invocation.
MARGIN_SECONDS = 5.0
# Names the draws of a pair's reference price.
_PAIRS = UUID("5f3c7c1e-6a5b-4a54-9f57-8d1f0a0f4c11")


class RestingOrders(Protocol):
    """Where orders rest."""

    async def pairs(self) -> Sequence[Terms]:
        """The terms of one order of each pair that is watched."""
        ...

    async def trigger(self, terms: Terms, reference: Decimal, most: int) -> Sequence[UUID]:
        """Send orders of a pair that its reference price fires to work; returns them."""
        ...

    async def expire(self, most: int) -> Sequence[UUID]:
        """End orders whose time is over; returns them."""
        ...


class Marked(Protocol):
    """Where orders stand as sent."""

    async def unsent(self, order_ids: Collection[UUID]) -> None:
        """The queue took no message for these: the next sweep finds them."""
        ...


class Watcher:
    """Looks at each watched pair every `tick_seconds`. Several may look at once: an order fires once."""

    def __init__(
        self,
        *,
        book: RestingOrders,
        marked: Marked,
        market: Router,
        recurring: Recurrences,
        queue: MessageQueue,
        publisher: Publishing,
        clock: Clock,
        tick_seconds: float,
        telemetry: Telemetry,
    ) -> None:
        self._book = book
        self._marked = marked
        self._market = market
        self._recurring = recurring
        self._queue = queue
        self._publisher = publisher
        self._clock = clock
        self._tick_seconds = tick_seconds
        self._telemetry = telemetry

    async def run(self, seconds: float) -> None:
        """Tick for about so long."""
        end = self._clock.monotonic() + seconds - MARGIN_SECONDS
        while True:
            begun = self._clock.monotonic()
            await self.tick(end - begun)
            pause = begun + self._tick_seconds - self._clock.monotonic()
            if self._clock.monotonic() + max(0.0, pause) >= end:
                return
            await self._clock.sleep(max(0.0, pause))

    async def tick(self, seconds: float) -> None:
        """Look at everything once; what fails is left to the next tick."""
        end = self._clock.monotonic() + seconds
        fired = 0
        try:
            self._publisher.notify(await self._book.expire(MOST))
            for terms in await self._book.pairs():
                if self._clock.monotonic() >= end:
                    break
                try:
                    fired += await self.watch(terms)
                except (AttemptFailed, StatementRefused) as error:
                    self._telemetry.failure("pair left to the next tick", error)
            await self._recurring.tick(end)
        except (Unavailable, StatementRefused) as error:
            self._telemetry.failure("watch left to the next tick", error)
        await self._publisher.drain(max(MARGIN_SECONDS, end - self._clock.monotonic()))
        self._telemetry.watched(fired)

    async def watch(self, terms: Terms) -> int:
        """Fire the orders of one pair; returns how many. Raises AttemptFailed, Unavailable or StatementRefused."""
        number = int(self._clock.now().timestamp())
        pair = uuid5(_PAIRS, f"{terms.token_in.key} {terms.token_out.key}")
        reference = await self._market.reference(Attempt(pair, number, terms))
        fired = 0
        for _ in range(MOST_ROUNDS):
            order_ids = await self._book.trigger(terms, reference, MOST)
            if not order_ids:
                break
            fired += len(order_ids)
            self._publisher.notify(order_ids)
            await self._send(order_ids)
        return fired

    async def _send(self, order_ids: Sequence[UUID]) -> None:
        refused = await self._queue.send([Message(str(order_id)) for order_id in order_ids])
        if refused:
            self._telemetry.failure(
                "fired orders left to the sweep", "the queue took no message", messages=len(refused)
            )
            await self._marked.unsent([UUID(message.body) for message in refused])
