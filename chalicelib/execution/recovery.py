"""The sweep: finds what a crash, a lost message or a lost reply left behind, and sets it going again."""

import asyncio
from typing import Protocol
from uuid import UUID

from chalicelib.domain.errors import QueueError
from chalicelib.domain.message import Message, MessageQueue, delivery_body
from chalicelib.telemetry import Telemetry

# Most orders sent again by one sweep, and most while the queue is behind anyway.
MOST = 1000
MOST_WHILE_BEHIND = 100


class DueOrders(Protocol):
    """Which orders need a message."""

    async def due(self, limit: int) -> list[UUID]:
        """Living orders whose message must have been lost, marked as sent again."""
        ...

    async def due_parked(self, limit: int) -> list[UUID]:
        """Parked orders whose transaction should be asked for once more, marked as sent."""
        ...


class LaggingSockets(Protocol):
    """Which sockets need a delivery."""

    async def lagging(self, most: int) -> list[str]:
        """Sockets that lack events while nobody is pushing to them."""
        ...

    async def expire(self) -> None:
        """Forget sockets older than any can be."""
        ...


class Sweeper:
    """Runs on a schedule; each run is bounded, and nothing depends on any single one."""

    def __init__(
        self,
        *,
        orders: DueOrders,
        sockets: LaggingSockets,
        orders_queue: MessageQueue,
        dead_letters: MessageQueue,
        deliveries: MessageQueue,
        backlog_limit: int,
        telemetry: Telemetry,
    ) -> None:
        self._orders = orders
        self._sockets = sockets
        self._orders_queue = orders_queue
        self._dead_letters = dead_letters
        self._deliveries = deliveries
        self._backlog_limit = backlog_limit
        self._telemetry = telemetry

    async def run(self) -> None:
        """One sweep."""
        await self._sockets.expire()
        due = await self._orders.due(await self._most())
        parked = await self._orders.due_parked(MOST_WHILE_BEHIND)
        lagging = await self._sockets.lagging(MOST)
        refused = await asyncio.gather(
            self._orders_queue.send([Message(str(order_id)) for order_id in due]),
            # Only the dead-letter function claims parked orders.
            self._dead_letters.send([Message(str(order_id)) for order_id in parked]),
            self._deliveries.send([Message(delivery_body(connection_id)) for connection_id in lagging]),
        )
        self._telemetry.swept(len(due), len(parked), len(lagging), sum(map(len, refused)))

    async def _most(self) -> int:
        try:
            behind = await self._orders_queue.backlog() > self._backlog_limit
        except QueueError as error:
            self._telemetry.failure("the queue's backlog is not known, assumed long", error)
            behind = True
        return MOST_WHILE_BEHIND if behind else MOST
