"""A socket's life: connect, frames of the client, deliveries, disconnect."""

from typing import Protocol
from uuid import UUID

from chalicelib.domain.account import Caller
from chalicelib.domain.clock import Clock
from chalicelib.domain.credentials import digest, is_ticket
from chalicelib.domain.errors import (
    ClientError,
    ConnectionGone,
    Fault,
    Limited,
    NotFound,
    PushError,
    StatementRefused,
    Unauthorized,
    Unavailable,
)
from chalicelib.domain.event import Publishing, error_bytes
from chalicelib.domain.message import Message, MessageQueue, delivery_body
from chalicelib.domain.subscription import Admitted, Opened, Shown
from chalicelib.streaming.protocol import Bind, from_query, parse
from chalicelib.streaming.publisher import OPENING_SECONDS, Pusher
from chalicelib.telemetry import Telemetry

ERROR_SECONDS = 1.0
# How often an error frame is tried, and the pause before the second time; the next one is twice as long.
ERROR_TRIES = 3
ERROR_PAUSE_SECONDS = 0.3
# The gateway delivers to a socket only once $connect has returned.
FIRST_DELIVERY_SECONDS = 1
# After so long another socket may have been closed.
SOCKET_RETRY_SECONDS = 2


class Authenticating(Protocol):
    """Who knows callers by their keys."""

    @property
    def required(self) -> bool:
        """Whether a key is asked for."""
        ...

    async def caller(self, authorization: str | None) -> Caller:
        """Whoever gives this Authorization header. Raises Unauthorized; Unavailable where that can't be found out."""
        ...

    def refused(self, reason: str, **details: object) -> Unauthorized:
        """What to raise for a caller that is not let in; the log is told why."""
        ...


class SocketStore(Protocol):
    """Where sockets and what they follow are kept."""

    async def connect(self, connection_id: str, first_frame: str | None) -> None:
        """Remember anybody's socket that is opening, and the bind that came with it."""
        ...

    async def admit(self, connection_id: str, first_frame: str | None, shown: Shown, most: int) -> Admitted:
        """The same for a socket whose key or ticket must be valid, one of at most so many of its account."""
        ...

    async def open(self, connection_id: str) -> Opened | None:
        """The socket takes frames from now on; None where it is unknown."""
        ...

    async def forget(self, connection_id: str) -> None:
        """The socket is closed."""
        ...

    async def log_length(self, order_id: UUID, account: str) -> int | None:
        """How many events an account's order has; None where it has no such order."""
        ...

    async def bind(self, connection_id: str, order_id: UUID, after_seq: int, *, first: bool) -> bool:
        """Follow an order. False where the socket is unknown or follows too many, or the first bind was served."""
        ...

    async def drop_first(self, connection_id: str) -> None:
        """The bind that came with the connect was refused."""
        ...

    async def followed(self, connection_id: str) -> tuple[list[UUID], int]:
        """The orders whose events a socket lacks, and the whole seconds until it may be pushed to."""
        ...


class Sockets:
    """What happens on sockets. Every frame of a client is answered: by events, or by one error frame."""

    def __init__(
        self,
        *,
        store: SocketStore,
        authentication: Authenticating,
        most_sockets: int,
        pusher: Pusher,
        publisher: Publishing,
        deliveries: MessageQueue,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._authentication = authentication
        # Of an account.
        self._most_sockets = most_sockets
        self._pusher = pusher
        self._publisher = publisher
        self._deliveries = deliveries
        self._clock = clock
        self._telemetry = telemetry

    async def connected(
        self,
        connection_id: str,
        order_id: str | None,
        after_seq: str | None,
        authorization: str | None = None,
        ticket: str | None = None,
    ) -> None:
        """A socket is opening. A bind in its query string is served as soon as the gateway delivers to it.

        Raises Unauthorized, or Limited where its account has as many as it may.
        """
        first_frame = from_query(order_id, after_seq)
        await self._admit(connection_id, first_frame, authorization, ticket)
        if first_frame is not None:
            # Refused, it waits for the client's first frame or the sweep.
            await self._deliveries.send([Message(delivery_body(connection_id), FIRST_DELIVERY_SECONDS)])

    async def received(self, connection_id: str, text: str, seconds: float) -> None:
        """The client sent a frame; no push is begun that could outlast `seconds`."""
        end = self._clock.monotonic() + seconds
        try:
            account = await self._open(connection_id)
            await self._bind(connection_id, account, parse(text), first=False)
        except ClientError as error:
            await self._tell(connection_id, str(error), error.code)
        except (Unavailable, StatementRefused) as error:
            self._telemetry.failure("frame not served", error, connectionId=connection_id)
            await self._tell(connection_id, "the engine cannot reach its database, send the frame again", "unavailable")
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told and the log has a traceback
            self._telemetry.defect("frame failed", error, connectionId=connection_id)
            await self._tell(connection_id, "the engine failed on this frame", "internal")
        await self._publisher.drain(end - self._clock.monotonic())

    async def delivered(self, connection_id: str, seconds: float) -> None:
        """A delivery is due: the socket may lack frames; no push is begun that could outlast `seconds`.

        Raises Unavailable or StatementRefused: deliver again.
        """
        end = self._clock.monotonic() + seconds
        try:
            await self._open(connection_id)
            order_ids, wait = await self._store.followed(connection_id)
            if wait > 0:
                await self._deliveries.send([Message(delivery_body(connection_id), wait)])
            else:
                self._publisher.notify(order_ids)
        finally:
            # The bind that came with the connect may be under way already.
            await self._publisher.drain(end - self._clock.monotonic())

    async def disconnected(self, connection_id: str) -> None:
        """The socket is closed."""
        await self._store.forget(connection_id)

    async def _admit(
        self, connection_id: str, first_frame: str | None, authorization: str | None, ticket: str | None
    ) -> None:
        """Remember a socket of whoever may open one."""
        authentication = self._authentication
        if not authentication.required:
            await self._store.connect(connection_id, first_frame)
            return
        if authorization is None and ticket is not None:
            if not is_ticket(ticket):
                raise authentication.refused("no ticket")
            shown = Shown(ticket=digest(ticket))
        else:
            caller = await authentication.caller(authorization)
            shown = Shown(key_prefix=caller.key_prefix)
        admitted = await self._store.admit(connection_id, first_frame, shown, self._most_sockets)
        if admitted.account is None:
            reason = "revoked" if shown.key_prefix else "ticket unknown, spent or expired"
            raise authentication.refused(reason, prefix=shown.key_prefix)
        if not admitted.opened:
            raise Limited(
                Fault.TOO_MANY_SOCKETS, "this account has as many sockets open as it may", SOCKET_RETRY_SECONDS
            )

    async def _open(self, connection_id: str) -> str | None:
        """The gateway delivers to the socket now; serve the bind that came with the connect. Returns whose it is."""
        opened = await self._store.open(connection_id)
        if opened is None:
            return None
        if opened.first_frame is not None:
            try:
                await self._bind(connection_id, opened.account, parse(opened.first_frame), first=True)
            except ClientError as error:
                await self._refuse_first(connection_id, error, opening=opened.age < OPENING_SECONDS)
        return opened.account

    async def _refuse_first(self, connection_id: str, error: ClientError, *, opening: bool) -> None:
        """Tell why the bind that came with the connect is not served; it stays stored until that is told."""
        try:
            await self._pusher.push(connection_id, error_bytes(str(error), error.code), ERROR_SECONDS)
        except ConnectionGone:
            if opening:
                await self._deliveries.send([Message(delivery_body(connection_id), FIRST_DELIVERY_SECONDS)])
            else:
                await self._store.forget(connection_id)
        except PushError as failure:
            self._telemetry.failure("error frame left to the sweep", failure, connectionId=connection_id)
        else:
            await self._store.drop_first(connection_id)

    async def _bind(self, connection_id: str, account: str | None, bind: Bind, *, first: bool) -> None:
        if account is None:
            raise _unknown_socket()
        length = await self._store.log_length(bind.order_id, account)
        if length is None:
            raise NotFound(Fault.UNKNOWN_ORDER, f"no order has the id {bind.order_id}")
        if bind.after_seq > length:
            raise ClientError(
                Fault.INVALID_AFTER_SEQ, f"afterSeq {bind.after_seq} is beyond the log, which ends at {length}"
            )
        bound = await self._store.bind(connection_id, bind.order_id, bind.after_seq, first=first)
        if not bound and not first:
            raise _unknown_socket()
        self._publisher.notify([bind.order_id])

    async def _tell(self, connection_id: str, message: str, code: str) -> None:
        """Push an error frame; nothing remembers it, so a throttled one is tried again here."""
        for number in range(ERROR_TRIES):
            if number:
                await self._clock.sleep(ERROR_PAUSE_SECONDS * number)
            try:
                await self._pusher.push(connection_id, error_bytes(message, code), ERROR_SECONDS)
            except ConnectionGone as error:
                self._telemetry.failure("error frame not delivered", error, connectionId=connection_id)
                return
            except PushError as error:
                self._telemetry.failure("error frame not delivered yet", error, connectionId=connection_id)
            else:
                return


def _unknown_socket() -> ClientError:
    return ClientError(
        Fault.TOO_MANY_ORDERS, "this socket follows as many orders as it may, or is not known any more: open another"
    )
