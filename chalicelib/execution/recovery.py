"""The sweep: finds what a crash, a lost message or a lost reply left behind, and sets it going again."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from chalicelib.domain.errors import QueueError, StatementRefused, Unavailable
from chalicelib.domain.message import Message, MessageQueue, delivery_body
from chalicelib.telemetry import Telemetry

# Most orders sent again by one sweep, and most while the queue is behind anyway.
MOST = 1000
MOST_WHILE_BEHIND = 100
# Forgetting a socket forgets all that it follows.
MOST_EXPIRED = 200
# Keeps pace with 300 keyed orders a second.
MOST_EXPIRED_KEYS = 20_000
MOST_EXPIRED_POOLS = 1000


class OrderStore(Protocol):
    """Which orders need a message, and the keys they were posted under."""

    async def due(self, limit: int) -> list[UUID]:
        """Living orders whose message must have been lost, marked as sent again."""
        ...

    async def due_parked(self, limit: int) -> list[UUID]:
        """Parked orders whose transaction should be asked for once more, marked as sent."""
        ...

    async def unsent(self, order_ids: Sequence[UUID]) -> None:
        """The queue took no message for these: the next sweep finds them again."""
        ...

    async def expire_keys(self, most: int) -> None:
        """Forget idempotency keys that are free again."""
        ...

    async def make_events(self, keep: timedelta | None) -> list[tuple[str, str]]:
        """Make room for coming events; returns (what was done, partition) of each change."""
        ...

    async def drop_events(self, keep: timedelta | None) -> list[tuple[str, str]]:
        """Drop old events; returns the same."""
        ...


class LaggingSockets(Protocol):
    """Which sockets need a delivery."""

    async def lagging(self, most: int) -> list[str]:
        """Sockets that lack events while nobody is pushing to them."""
        ...

    async def expire(self, most: int) -> None:
        """Forget sockets older than any can be."""
        ...


class Sweeper:
    """Runs on a schedule; each run is bounded, and nothing depends on any single one."""

    def __init__(
        self,
        *,
        orders: OrderStore,
        sockets: LaggingSockets,
        orders_queue: MessageQueue,
        dead_letters: MessageQueue,
        deliveries: MessageQueue,
        backlog_limit: int,
        keep_events: timedelta | None,
        expire_pools: Callable[[int], Awaitable[None]] | None,
        telemetry: Telemetry,
    ) -> None:
        self._orders = orders
        self._sockets = sockets
        self._orders_queue = orders_queue
        self._dead_letters = dead_letters
        self._deliveries = deliveries
        self._backlog_limit = backlog_limit
        self._keep_events = keep_events
        self._expire_pools = expire_pools
        self._telemetry = telemetry

    async def run(self) -> None:
        """One sweep. What is marked as sent is sent at once, and a step that fails leaves the others alone."""
        due = await self._send_orders(self._orders_queue, "orders", self._orders.due(await self._most()))
        # Only the dead-letter function claims parked orders.
        parked = await self._send_orders(
            self._dead_letters, "parked orders", self._orders.due_parked(MOST_WHILE_BEHIND)
        )
        lagging, _ = await self._send(self._deliveries, "sockets", self._lagging())
        await self._step("expired sockets", self._sockets.expire(MOST_EXPIRED))
        await self._step("expired idempotency keys", self._orders.expire_keys(MOST_EXPIRED_KEYS))
        if self._expire_pools:
            await self._step("expired pools", self._expire_pools(MOST_EXPIRED_POOLS))
        # Each by itself: old events that can't be dropped must not keep coming ones from their room.
        await self._step("room for coming events", self._roll(self._orders.make_events(self._keep_events)))
        await self._step("expired events", self._roll(self._orders.drop_events(self._keep_events)))
        self._telemetry.swept(due, parked, lagging)

    async def _step(self, what: str, step: Awaitable[None]) -> None:
        try:
            await step
        except (Unavailable, StatementRefused) as error:
            self._telemetry.failure(f"{what} left to the next sweep", error)

    async def _roll(self, changes: Awaitable[list[tuple[str, str]]]) -> None:
        for done, partition in await changes:
            if done == "full":
                self._telemetry.failure("new events are not dropped", "too many rows to move", partition=partition)
            else:
                self._telemetry.rolled(done, partition)

    async def _lagging(self) -> list[str]:
        return [delivery_body(connection_id) for connection_id in await self._sockets.lagging(MOST)]

    async def _send_orders(self, queue: MessageQueue, what: str, marked: Awaitable[list[UUID]]) -> int:
        """Send messages for orders that were marked as sent, and take the mark back where that is not true."""
        sent, refused = await self._send(queue, what, marked)
        if refused:
            try:
                await self._orders.unsent([UUID(body) for body in refused])
            except (Unavailable, StatementRefused) as error:
                self._telemetry.failure(f"{what} left to a later sweep", error, messages=len(refused))
        return sent

    async def _send(
        self, queue: MessageQueue, what: str, found: Awaitable[Sequence[UUID | str]]
    ) -> tuple[int, list[str]]:
        """Send a message for each thing found; returns how many were taken, and which were not."""
        try:
            bodies = [str(each) for each in await found]
        except (Unavailable, StatementRefused) as error:
            self._telemetry.failure(f"{what} left to the next sweep", error)
            return 0, []
        refused = [message.body for message in await queue.send([Message(body) for body in bodies])]
        if refused:
            self._telemetry.failure(
                f"{what} left to the next sweep", "the queue took no message", messages=len(refused)
            )
        return len(bodies) - len(refused), refused

    async def _most(self) -> int:
        try:
            behind = await self._orders_queue.backlog() > self._backlog_limit
        except QueueError as error:
            self._telemetry.failure("the queue's backlog is not known, assumed long", error)
            behind = True
        return MOST_WHILE_BEHIND if behind else MOST
