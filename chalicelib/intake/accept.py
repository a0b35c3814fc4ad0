"""The POST: validate, store, enqueue."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from chalicelib.domain.account import Caller
from chalicelib.domain.clock import Clock, Entropy, uuid7
from chalicelib.domain.errors import (
    ClientError,
    Fault,
    KeyInDoubt,
    KeyReused,
    Limited,
    NameReused,
    OrderInDoubt,
    OutcomeUnknown,
)
from chalicelib.domain.message import Message, MessageQueue
from chalicelib.domain.order import Accepted, Post
from chalicelib.intake.triggers import Triggers
from chalicelib.intake.validation import asked, idempotency_key
from chalicelib.telemetry import Telemetry
from chalicelib.venues.base import Catalogue

LIMITS = {
    Fault.RATE_LIMITED: "this account posts orders faster than it may, nothing was stored",
    Fault.TOO_MANY_OPEN: "this account has as many orders under way as it may, nothing was stored",
}


class OrderStore(Protocol):
    """Where accepted orders are stored."""

    async def accept(self, order_id: UUID, post: Post, ts: datetime) -> Accepted:
        """Store an order and its first event, unless the key is held by an earlier one."""
        ...

    async def kept(self, post: Post) -> Accepted | None:
        """What the post's key stands for already, if anything."""
        ...


class Intake:
    """Accepts orders: one statement and one message each."""

    def __init__(
        self,
        *,
        orders: OrderStore,
        queue: MessageQueue,
        catalogue: Catalogue,
        triggers: Triggers,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
    ) -> None:
        self._orders = orders
        self._queue = queue
        self._catalogue = catalogue
        self._triggers = triggers
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry

    async def accept(self, caller: Caller, body: bytes, content_type: str | None, key_header: str | None) -> UUID:
        """The id of the caller's new order, or of the one that was stored under the same key.

        Raises ClientError, also Limited; Unavailable where nothing was stored; OrderInDoubt, with a key KeyInDoubt.
        """
        key = idempotency_key(key_header)
        wanted = await asked(body, content_type, self._catalogue, self._clock.now())
        post = Post(
            account=caller.account,
            terms=wanted.terms,
            client_order_id=wanted.client_order_id,
            idempotency_key=key,
        )
        new_id = uuid7(self._clock, self._entropy)
        try:
            accepted = await self._stored(new_id, post)
        except OutcomeUnknown as error:
            raise (KeyInDoubt() if key else OrderInDoubt(new_id)) from error
        if accepted.limit:
            raise Limited(accepted.limit, LIMITS[accepted.limit], accepted.retry_after)
        if accepted.same_name:
            raise NameReused(accepted.order_id)
        if not accepted.same_terms:
            raise KeyReused(
                Fault.IDEMPOTENCY_KEY_REUSED,
                "Idempotency-Key was used for another order within 24 hours, post this one with a key of its own",
            )
        order_id = accepted.order_id
        if accepted.waiting and await self._queue.send([Message(str(order_id))]):
            # The order is safe all the same.
            self._telemetry.failure("order left to the sweep", "the queue took no message", orderId=str(order_id))
        if order_id == new_id:
            self._telemetry.accepted(order_id)
        return order_id

    async def _stored(self, new_id: UUID, post: Post) -> Accepted:
        try:
            await self._triggers.check(post.terms)
        except ClientError:
            # A post that is repeated under its key is answered as before, wherever the price has gone since.
            if kept := await self._orders.kept(post):
                return kept
            raise
        return await self._orders.accept(new_id, post, self._clock.now())
