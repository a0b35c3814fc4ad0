"""Brings events from the log to the sockets that follow them: in order, each once a bind, however late."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

import msgspec

from chalicelib.domain.clock import Clock, Entropy, fraction, uuid7
from chalicelib.domain.errors import ConnectionGone, Fault, PushError, StatementRefused, Unavailable
from chalicelib.domain.event import error_bytes, frame_bytes
from chalicelib.domain.message import Message, MessageQueue, delivery_body
from chalicelib.domain.retry import whole_seconds
from chalicelib.domain.subscription import Lease, Release
from chalicelib.telemetry import Telemetry

# All pushes of one pass must be done by then; the leases last longer.
PASS_SECONDS = 3.0
# With less time than this left, a pass begins no other push to a socket.
LEAST_PUSH_SECONDS = 1.0
# Pushes under way at once; those that wait for their turn have not failed.
SIDE_BY_SIDE = 128
# After so long a pass goes on without the sockets that are not served yet.
PROMPT_SECONDS = 0.5
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

    async def lease(self, order_ids: Collection[UUID], holder: UUID, passed_over: Collection[str]) -> list[Lease]:
        """Lease lagging subscriptions of some orders, with the events that they lack; none of some sockets."""
        ...

    async def release(self, releases: Sequence[Release], holder: UUID) -> None:
        """Give leases back."""
        ...

    async def hold_back(self, connection_id: str, delay: float) -> bool:
        """No push to a socket for `delay` seconds; False where another caller has just said so."""
        ...

    async def lacking(self, order_ids: Collection[UUID]) -> list[str]:
        """Sockets that lack events of some orders while nobody is pushing to them."""
        ...

    async def recover(self, connection_ids: Collection[str]) -> None:
        """Sockets that had failed take frames again."""
        ...

    async def forget(self, connection_id: str) -> None:
        """The socket is closed."""
        ...


class _Served(msgspec.Struct, frozen=True):
    """What became of the pushes to one socket: `lease` is one of its leases, `error` what ended them early."""

    lease: Lease
    releases: list[Release]
    error: PushError | None


class Publisher:
    """Publishes what `notify` names, in the background of an invocation that ends with `drain`."""

    def __init__(
        self,
        *,
        subscriptions: Subscriptions,
        pusher: Pusher,
        deliveries: MessageQueue,
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
        self._slow: set[asyncio.Task[None]] = set()
        # Sockets that failed since the last drain: a delivery is on its way to them, so they are not tried again here.
        self._failing: set[str] = set()
        self._ending = False
        self._turns = asyncio.Semaphore(SIDE_BY_SIDE)

    def notify(self, order_ids: Collection[UUID]) -> None:
        """These orders have news."""
        self._news.update(order_ids)
        if self._news and (self._working is None or self._working.done()):
            self._working = asyncio.create_task(self._work())

    async def drain(self, seconds: float) -> None:
        """Wait until all news is out, or left to deliveries that are on their way; at most about `seconds`."""
        # The pass under way then is the last, and has time to end.
        last_pass = self._clock.monotonic() + seconds - PASS_SECONDS
        while under_way := {task for task in (self._working, *self._slow) if task is not None and not task.done()}:
            left = last_pass - self._clock.monotonic()
            self._ending = left <= 0
            await asyncio.wait(under_way, timeout=None if self._ending else left)
        self._ending = False
        self._failing.clear()
        cut_off, self._news = self._news, set()
        if cut_off:
            with self._left_to_the_sweep(cut_off):
                lacking = await self._subscriptions.lacking(cut_off)
                await self._deliveries.send([Message(delivery_body(connection_id)) for connection_id in lacking])

    async def _work(self) -> None:
        while self._news and not self._ending:
            order_ids, self._news = self._news, set()
            with self._left_to_the_sweep(order_ids):
                await self._publish(order_ids)

    async def _publish(self, order_ids: set[UUID]) -> None:
        """Serve lagging subscriptions until there are none: whoever could not get a lease relies on this last look."""
        while not self._ending:
            # One look serves what came up since the last one too.
            order_ids, self._news = order_ids | self._news, set()
            # A holder a pass: a lease statement that is repeated after a lost reply finds its own leases free.
            holder = uuid7(self._clock, self._entropy)
            leases = await self._subscriptions.lease(order_ids, holder, self._failing)
            if not leases:
                return
            sockets: dict[str, list[Lease]] = defaultdict(list)
            for lease in leases:
                sockets[lease.connection_id].append(lease)
            until = self._clock.monotonic() + PASS_SECONDS
            served = [asyncio.create_task(self._serve(found, until)) for found in sockets.values()]
            await asyncio.wait(served, timeout=PROMPT_SECONDS)
            # In the order of the leases, so that releases lock rows in the order in which leases do.
            prompt = [task for task in served if task.done()]
            if slow := [task for task in served if not task.done()]:
                finishing = asyncio.create_task(self._finish(slow, order_ids, holder))
                self._slow.add(finishing)
                finishing.add_done_callback(self._slow.discard)
            await self._settle([task.result() for task in prompt], holder)
        # The time to end has come: what is not out is news still.
        self._news.update(order_ids)

    async def _finish(self, slow: Collection[asyncio.Task[_Served]], order_ids: Collection[UUID], holder: UUID) -> None:
        """Wait for sockets that nobody else should wait for, and look again for what they lack by then."""
        with self._left_to_the_sweep(order_ids):
            await self._settle(await asyncio.gather(*slow), holder)
            self.notify(order_ids)

    async def _settle(self, served: Sequence[_Served], holder: UUID) -> None:
        """Give leases back, with what became of the pushes."""
        # Held back before released: a failed socket must not be leased again at once.
        await asyncio.gather(*(self._failed(found.lease, found.error) for found in served if found.error is not None))
        if served:
            await self._subscriptions.release([release for found in served for release in found.releases], holder)
        recovered = [found.lease.connection_id for found in served if not found.error and found.lease.push_failures]
        if recovered:
            await self._recover(recovered)

    async def _recover(self, connection_ids: Sequence[str]) -> None:
        try:
            await self._subscriptions.recover(connection_ids)
        except (Unavailable, StatementRefused) as error:
            # Their leases are free, and whoever could not get them relies on the look that follows.
            self._telemetry.failure("sockets recover with a later push", error, sockets=len(connection_ids))

    @contextmanager
    def _left_to_the_sweep(self, order_ids: Collection[UUID]) -> Iterator[None]:
        """Nothing that goes wrong with some orders may keep the news of others."""
        try:
            yield
        except (Unavailable, StatementRefused) as error:
            self._telemetry.failure("frames left to the sweep", error, orders=len(order_ids))
        except Exception as error:  # noqa: BLE001 - nobody awaits this but drain, which only waits
            self._telemetry.defect("frames left to the sweep", error, orders=len(order_ids))

    async def _serve(self, leases: Sequence[Lease], until: float) -> _Served:
        """Push to one socket, one frame after the other, until it fails or the pass is nearly over."""
        connection_id = leases[0].connection_id
        releases: list[Release] = []
        error: PushError | None = None
        pushed = False
        for lease in leases:
            cursor = lease.last_seq
            for seq, frame in _frames(lease):
                if error:
                    break
                async with self._turns:
                    left = until - self._clock.monotonic()
                    # A socket that is only far behind, or had no turn, has not failed: the next pass goes on from here.
                    if left <= 0 or (pushed and left < LEAST_PUSH_SECONDS):
                        break
                    try:
                        await self._pusher.push(connection_id, frame, left)
                    except PushError as failure:
                        error = failure
                        break
                cursor, pushed = seq, True
            releases.append(Release(connection_id, lease.order_id, cursor, lease.bind_no))
        return _Served(leases[0], releases, error)

    async def _failed(self, lease: Lease, error: PushError) -> None:
        # Whatever becomes of this, the leases of a pass are given back.
        with self._left_to_the_sweep([lease.order_id]):
            await self._hold_back(lease, error)

    async def _hold_back(self, lease: Lease, error: PushError) -> None:
        connection_id = lease.connection_id
        self._failing.add(connection_id)
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


def _frames(lease: Lease) -> Iterator[tuple[int, bytes]]:
    """The frames that a subscription lacks, each with the cursor after it."""
    for event in lease.events:
        yield event.seq, frame_bytes(lease.order_id, event)
    if not lease.events:
        gone = f"the events of order {lease.order_id} are not kept any more, ask for the order to see how it ended"
        yield lease.length, error_bytes(gone, Fault.HISTORY_GONE)
