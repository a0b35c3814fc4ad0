"""One connection to Postgres, opened on first use and again after it was lost."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from chalicelib.domain.clock import Clock
from chalicelib.domain.errors import (
    ConnectionLost,
    Contended,
    Duplicate,
    OutcomeUnknown,
    StatementRefused,
    Unavailable,
)

# The least that libpq takes.
CONNECT_SECONDS = 2
# Above the server's own statement_timeout, so that a server that answers has the last word.
STATEMENT_SECONDS = 3.5
PROBE_SECONDS = 1.0
# After a server was silent or could not be reached, calls fail at once for so long: a batch must not wait for each.
BREAK_SECONDS = 1.0
# A server, a pooler or a NAT may have dropped a connection that idled this long.
IDLE_SECONDS = 5.0
# Deadlock and serialisation failure: had no effect, and go through when tried again.
PASSING = frozenset({"40P01", "40001"})
PASSING_TRIES = 5
# Lock timeout, statement timeout: had no effect.
CONTENTION = PASSING | {"55P03", "57014"}
UNIQUE_VIOLATION = "23505"
# A session that the server ends says so with these; whether the statement took effect must be asked.
SHUTDOWN_CLASSES = ("08", "57P")


# Opens a connection: takes what psycopg.AsyncConnection.connect takes.
Connect = Callable[..., Awaitable[AsyncConnection[TupleRow]]]
connect: Connect = AsyncConnection.connect


class Database:
    """A connection that runs single statements in autocommit, one at a time."""

    def __init__(self, url: str, clock: Clock, connect: Connect, *, pooler: bool, name: str) -> None:
        self._url = url
        self._clock = clock
        self._open = connect
        self._pooler = pooler
        self._name = name
        self._connection: AsyncConnection[TupleRow] | None = None
        self._last_used = 0.0
        self._broken_until = float("-inf")
        self._turn = asyncio.Lock()

    async def fetch(
        self, statement: str, params: Mapping[str, Any] | None = None, *, seconds: float = STATEMENT_SECONDS
    ) -> list[TupleRow]:
        """Run one statement and return its rows.

        Raises Unavailable if the statement was never sent, OutcomeUnknown if its reply was lost, Contended if the
        server gave it up for another's sake, and StatementRefused for any other error; the last two had no effect.
        """
        async with self._turn:
            for _ in range(PASSING_TRIES - 1):
                try:
                    return await self._once(statement, params, seconds)
                except Contended as error:
                    if error.code not in PASSING:
                        raise
            return await self._once(statement, params, seconds)

    async def insist(self, statement: str, params: Mapping[str, Any] | None = None) -> list[TupleRow]:
        """The same for a statement that may run twice: run again where its connection turns out to have ended.

        A server or pooler that ends an idle connection shows so on the next statement only.
        """
        try:
            return await self.fetch(statement, params)
        except ConnectionLost:
            return await self.fetch(statement, params)

    async def _once(self, statement: str, params: Mapping[str, Any] | None, seconds: float) -> list[TupleRow]:
        connection = await self._ready()
        try:
            rows = await self._run(connection, statement, params, seconds)
        except ConnectionLost:
            raise
        except OutcomeUnknown:
            self._break()
            raise
        self._last_used = self._clock.monotonic()
        return rows

    async def close(self) -> None:
        """End the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ready(self) -> AsyncConnection[TupleRow]:
        """An open connection: the present one if it still answers, else a new one."""
        connection = self._connection
        if connection is not None and self._clock.monotonic() - self._last_used > IDLE_SECONDS:
            try:
                await self._run(connection, "SELECT 1", None, PROBE_SECONDS)
            except (Unavailable, StatementRefused):
                # Whatever it died of says nothing of the server: a new one may serve at once.
                await self.close()
        if self._connection is None:
            if self._clock.monotonic() < self._broken_until:
                raise Unavailable("database: it could not be reached a moment ago")
            self._connection = await self._connect()
        return self._connection

    def _break(self) -> None:
        self._broken_until = self._clock.monotonic() + BREAK_SECONDS

    async def _connect(self) -> AsyncConnection[TupleRow]:
        try:
            # libpq's own timeout is for each address that a name has.
            async with asyncio.timeout(CONNECT_SECONDS + 1):
                return await self._open(
                    self._url,
                    autocommit=True,
                    prepare_threshold=None if self._pooler else 1,
                    application_name=self._name,
                    connect_timeout=CONNECT_SECONDS,
                    keepalives=1,
                    keepalives_idle=10,
                    keepalives_interval=5,
                    keepalives_count=3,
                    tcp_user_timeout=15_000,
                )
        except TimeoutError as error:
            self._break()
            raise Unavailable("database: no connection in time") from error
        except psycopg.Error as error:
            self._break()
            # Its frames hold the unfinished connection, which would stay open until a garbage collection.
            raise Unavailable(f"database: {_first_line(error)}") from error.with_traceback(None)

    async def _run(
        self,
        connection: AsyncConnection[TupleRow],
        statement: str,
        params: Mapping[str, Any] | None,
        seconds: float,
    ) -> list[TupleRow]:
        running = asyncio.ensure_future(_execute(connection, statement, params))
        try:
            # Not asyncio.timeout: psycopg answers a cancellation by asking the silent server to cancel, and waits.
            done, _ = await asyncio.wait({running}, timeout=seconds)
            if not done:
                await self._cut(connection, running)
                raise OutcomeUnknown(f"database: no answer in {seconds:g} s")
            return running.result()
        except asyncio.CancelledError:
            await self._cut(connection, running)
            raise
        except psycopg.Error as error:
            raise await self._translate(connection, error) from error

    async def _cut(self, connection: AsyncConnection[TupleRow], running: "asyncio.Future[Any]") -> None:
        """Finish a connection whose peer is silent; shutting its socket down wakes the statement with an error."""
        self._connection = None
        if not connection.closed:
            # The peer may have gone in the meantime.
            with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as peer:
                peer.shutdown(socket.SHUT_RDWR)
        await asyncio.wait({running}, timeout=PROBE_SECONDS)
        if running.done() and not running.cancelled():
            running.exception()
        await connection.close()

    async def _translate(self, connection: AsyncConnection[TupleRow], error: psycopg.Error) -> Exception:
        code = error.sqlstate
        if code is not None and code in CONTENTION:
            return Contended(code, _first_line(error))
        if connection.broken or connection.closed or code is None or code.startswith(SHUTDOWN_CLASSES):
            await self.close()
            return ConnectionLost(f"database: {_first_line(error)}")
        refused = Duplicate if code == UNIQUE_VIOLATION else StatementRefused
        return refused(f"{code}: {_first_line(error)}")


async def _execute(
    connection: AsyncConnection[TupleRow], statement: str, params: Mapping[str, Any] | None
) -> list[TupleRow]:
    cursor = await connection.execute(statement, params)
    return await cursor.fetchall() if cursor.description else []


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
