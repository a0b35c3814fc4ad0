"""The POST: validate, store, enqueue."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from chalicelib.domain.clock import Clock, Entropy, uuid7
from chalicelib.domain.errors import OrderInDoubt, OutcomeUnknown
from chalicelib.domain.message import Message, MessageQueue
from chalicelib.domain.order import Terms
from chalicelib.intake.validation import terms
from chalicelib.telemetry import Telemetry


class OrderStore(Protocol):
    """Where accepted orders are stored."""

    async def accept(self, order_id: UUID, terms: Terms, ts: datetime) -> None:
        """Store an order and its first event."""
        ...


class Intake:
    """Accepts orders: one statement and one message each."""

    def __init__(
        self, *, orders: OrderStore, queue: MessageQueue, clock: Clock, entropy: Entropy, telemetry: Telemetry
    ) -> None:
        self._orders = orders
        self._queue = queue
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry

    async def accept(self, body: bytes, content_type: str | None) -> UUID:
        """The new order's id. Raises ClientError; Unavailable where nothing was stored; OrderInDoubt."""
        wanted = terms(body, content_type)
        order_id = uuid7(self._clock, self._entropy)
        try:
            await self._orders.accept(order_id, wanted, self._clock.now())
        except OutcomeUnknown as error:
            raise OrderInDoubt(order_id) from error
        if await self._queue.send([Message(str(order_id))]):
            # The order is safe all the same.
            self._telemetry.failure("order left to the sweep", "the queue took no message", orderId=str(order_id))
        self._telemetry.accepted(order_id)
        return order_id
