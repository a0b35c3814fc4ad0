"""Brings events from the log to the sockets that follow them: in order, each once a bind, however late."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from chalicelib.aws.queues import Message
from chalicelib.domain.clock import Clock, Entropy, fraction, uuid7
from chalicelib.domain.errors import ConnectionGone, PushError, StatementRefused, Unavailable
from chalicelib.domain.event import frame_bytes
from chalicelib.domain.message import delivery_body
from chalicelib.domain.retry import whole_seconds
from chalicelib.store.streams import Lease, Release
from chalicelib.telemetry import Telemetry

# All pushes of one pass must be done by then; the leases last longer.
PASS_SECONDS = 3.0
# A 410 so soon after the connect may mean that the gateway has not finished opening the socket.
OPENING_SECONDS = 30.0
MOST_BACKOFF_SECONDS = 60.0


class Pusher(Protocol):
    """The way to a socket."""

    async def push(self, connection_id: str, data: bytes, seconds: float) -> None:
        """Send one frame. Raises ConnectionGone, or PushError on any other failure or after `seconds`."""
        ...


class Subscriptions(Protocol):
    """Where subscriptions are leased."""

    async def lease(self, order_ids: Collection[UUID], holder: UUID) -> list[Lease]:
        """Lease lagging subscriptions of some orders, with the events that they lack."""
        ...

    async def release(self, releases: Sequence[Release], holder: UUID) -> None:
        """Give leases back."""
        ...

    async def hold_back(self, connection_id: str, delay: float) -> bool:
        """No push to a socket for `delay` seconds; False where another caller has just said so."""
        ...

    async def recover(self, connection_ids: Collection[str]) -> None:
        """Sockets that had failed take frames again."""
        ...

    async def forget(self, connection_id: str) -> None:
        """The socket is closed."""
        ...


class Deliveries(Protocol):
    """The queue of sockets to be served later."""

    async def send(self, messages: Sequence[Message]) -> list[Message]:
        """Send messages; returns those that were not taken."""
        ...


class Publisher:
    """Publishes what `notify` names, in the background of an invocation that ends with `drain`."""

    def __init__(
        self,
        *,
        subscriptions: Subscriptions,
        pusher: Pusher,
        deliveries: Deliveries,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
    ) -> None:
        self._subscriptions = subscriptions
        self._pusher = pusher
        self._deliveries = deliveries
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry
        self._news: set[UUID] = set()
        self._working: asyncio.Task[None] | None = None

    def notify(self, order_ids: Collection[UUID]) -> None:
        """These orders have news."""
        self._news.update(order_ids)
        if self._news and (self._working is None or self._working.done()):
            self._working = asyncio.create_task(self._work())

    async def drain(self) -> None:
        """Wait until all news is out, or left to a later delivery."""
        while self._working is not None and not self._working.done():
            await asyncio.wait({self._working})
            if error := self._working.exception():
                self._telemetry.defect("frames left to the sweep", error)

    async def _work(self) -> None:
        while self._news:
            order_ids, self._news = self._news, set()
            try:
                await self._publish(order_ids)
            except (Unavailable, StatementRefused) as error:
                self._telemetry.failure("frames left to the sweep", error, orders=len(order_ids))

    async def _publish(self, order_ids: Collection[UUID]) -> None:
        """Serve lagging subscriptions until there are none: whoever could not get a lease relies on this last look."""
        holder = uuid7(self._clock, self._entropy)
        while leases := await self._subscriptions.lease(order_ids, holder):
            sockets: dict[str, list[Lease]] = defaultdict(list)
            for lease in leases:
                sockets[lease.connection_id].append(lease)
            until = self._clock.monotonic() + PASS_SECONDS
            served = await asyncio.gather(*(self._serve(socket, found, until) for socket, found in sockets.items()))
            # Held back before released: a failed socket must not be leased again at once.
            for socket, (_, error) in zip(sockets, served, strict=True):
                if error is not None:
                    await self._failed(socket, sockets[socket][0], error)
            recovered = [
                socket
                for socket, (_, error) in zip(sockets, served, strict=True)
                if error is None and sockets[socket][0].push_failures
            ]
            if recovered:
                await self._subscriptions.recover(recovered)
            await self._subscriptions.release([release for releases, _ in served for release in releases], holder)

    async def _serve(
        self, connection_id: str, leases: Sequence[Lease], until: float
    ) -> tuple[list[Release], PushError | None]:
        """Push to one socket, one frame after the other, until it fails."""
        releases: list[Release] = []
        error: PushError | None = None
        for lease in leases:
            cursor = lease.last_seq
            for event in () if error else lease.events:
                try:
                    await self._push(connection_id, frame_bytes(lease.order_id, event), until)
                except PushError as failure:
                    error = failure
                    break
                cursor = event.seq
            releases.append(Release(connection_id, lease.order_id, cursor, lease.bind_no))
        return releases, error

    async def _push(self, connection_id: str, data: bytes, until: float) -> None:
        left = until - self._clock.monotonic()
        if left <= 0:
            raise PushError(f"socket {connection_id} is too slow")
        await self._pusher.push(connection_id, data, left)

    async def _failed(self, connection_id: str, lease: Lease, error: PushError) -> None:
        opening = lease.age < OPENING_SECONDS
        if isinstance(error, ConnectionGone) and not opening:
            await self._subscriptions.forget(connection_id)
            return
        ceiling = min(2.0**lease.push_failures, MOST_BACKOFF_SECONDS)
        delay = ceiling * (0.5 + fraction(self._entropy) / 2)
        self._telemetry.failure("frames delivered later", error, connectionId=connection_id, seconds=round(delay, 3))
        # Only whoever's word it was sends the delivery, so that no second chain of them starts.
        if await self._subscriptions.hold_back(connection_id, delay):
            await self._deliveries.send([Message(delivery_body(connection_id), whole_seconds(int(delay * 1000)))])
