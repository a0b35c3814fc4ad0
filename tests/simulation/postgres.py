"""The database as containers see it: a real server, whose statements and commits the simulation puts in order.

At most one statement runs at a time. One that waits for a lock is parked, and goes on when what it waits for ends. Each
statement runs in a transaction of its own that may be kept open for a while, as that of a slow server would be.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import psycopg

from chalicelib.store.statements import load
from tests.simulation.backends import Backend, Backends, Rows
from tests.simulation.clockwork import EPOCH, HOST, Host
from tests.simulation.faults import Kind
from tests.simulation.sim import Sim

# What migrations set for the engine's role.
LOCK_SECONDS = 1.0
# What transactions reach the chain with.
LANDING = ("land", "fill")
EVEN = 0.5
ORPHANS_THAT_COMMIT = 0.7
FILES = ("accounts", "orders", "book", "streams", "ledger", "pools", "operations")
NAMES = {text: name for file in FILES for name, text in load(file).items()}


def lost(what: str) -> psycopg.OperationalError:
    """What libpq says where a connection has ended."""
    return psycopg.OperationalError(f"consuming input failed: {what}")


class Cursor:
    """The rows of a statement that has been answered."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.description = True

    async def fetchall(self) -> Rows:
        return self._rows


class Connection:
    """A connection as `chalicelib.store.database` uses one."""

    def __init__(self, server: "Server", backend: Backend, host: Host | None) -> None:
        self.closed = False
        self.broken = False
        self.host = host
        self.backend: Backend | None = backend
        self._server = server
        self._reply: asyncio.Future[Rows] | None = None
        self.serving: asyncio.Task[None] | None = None

    async def execute(self, statement: str, params: Mapping[str, Any] | None = None) -> Cursor:
        await self._server.sim.faults.crossing(f"before {NAMES.get(statement, statement)}")
        if self.closed:
            raise lost("the connection is closed")
        self._reply = asyncio.get_running_loop().create_future()
        assert self.backend is not None
        self.serving = self._server.sim.loop.on(None, self._server.serve(self, self.backend, statement, params))
        rows = await self._reply
        await self._server.sim.faults.crossing(f"after {NAMES.get(statement, statement)}")
        return Cursor(rows)

    def answer(self, rows: Rows) -> None:
        """The reply arrives."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(rows)

    def refuse(self, error: psycopg.Error) -> None:
        """An error arrives."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)
            # Of a dead host nobody comes to fetch it.
            self._reply.exception()

    def lose(self, error: psycopg.Error) -> None:
        """It ends; what was under way ends with an error."""
        self.closed = self.broken = True
        self.refuse(error)

    def fileno(self) -> int:
        """Whoever asks for it shuts the socket down."""
        self.lose(lost("the socket was shut down"))
        raise OSError("no such socket")

    async def close(self) -> None:
        self.closed = True
        self._server.leave(self)


class Server:
    """The database server, with its faults."""

    def __init__(self, backends: Backends, sim: Sim) -> None:
        self.sim = sim
        self.connections: list[Connection] = []
        # Told of each commit: name of the statement, host, when it began, parameters, rows.
        self.observers: list[Callable[[str, Host | None, float, Any, Rows], None]] = []
        self._backends = backends
        self._down_until = 0.0
        self._parked: list[tuple[Backend, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The server's time."""
        return EPOCH + timedelta(seconds=self.sim.loop.time())

    async def connect(self, _url: str, **_given: Any) -> Connection:
        """A new connection for the host whose code is running."""
        host = HOST.get()
        await self.sim.faults.crossing()
        await self.sim.faults.trip(0.003)
        if self.sim.loop.time() < self._down_until:
            raise psycopg.OperationalError("connection refused")
        if self.sim.faults.draw(Kind.CONNECT_REFUSED):
            raise psycopg.OperationalError("FATAL: sorry, too many clients already")
        connection = Connection(self, self._backends.take(), host)
        self.connections.append(connection)
        if host is not None:
            host.on_death.append(lambda: self._orphan(connection))
        return connection

    async def serve(
        self, connection: Connection, backend: Backend, statement: str, params: Mapping[str, Any] | None
    ) -> None:
        """One statement, from the moment it is sent until its reply is on its way."""
        await self.sim.faults.trip()
        await self._answer(connection, backend, statement, params)
        # What it ran on may have ended in the meantime, and was kept for it.
        if connection.backend is None:
            self._backends.give(backend)
        elif connection.closed or (connection.host is not None and not connection.host.alive):
            self._free(connection)

    async def _answer(
        self, connection: Connection, backend: Backend, statement: str, params: Mapping[str, Any] | None
    ) -> None:
        name = NAMES.get(statement, statement)
        kind = self.sim.faults.draw(
            Kind.SQL_LOST_BEFORE,
            Kind.SQL_LOST_AFTER,
            Kind.SQL_SILENT,
            Kind.SQL_TERMINATED,
            Kind.SQL_SLOW,
            where=name,
        )
        if kind == Kind.SQL_LOST_BEFORE:
            self._end(connection, lost("server closed the connection unexpectedly"))
        # A server that never answers may have done the work.
        if connection.backend is None or (kind == Kind.SQL_SILENT and self.sim.rng.random() < EVEN):
            return
        host, began = connection.host.name if connection.host else "world", self.sim.loop.time()
        try:
            rows = await self._run(backend, statement, params)
            await self._before_commit(kind, late=name in LANDING and connection.host is None)
            if connection.backend is None:
                raise lost("server closed the connection unexpectedly")
        except psycopg.Error as error:
            self.sim.trace.add(name, params, f"{type(error).__name__}: {error}".strip(), host=host)
            backend.end(commit=False)
            self._wake()
            await self.sim.faults.trip()
            self._fail(connection, error)
            return
        backend.end(commit=True)
        self.sim.trace.add(name, params, rows, host=host)
        for observer in self.observers:
            observer(name, connection.host, began, params, rows)
        self._wake()
        if kind == Kind.SQL_LOST_AFTER:
            self._end(connection, lost("server closed the connection unexpectedly"))
        elif kind != Kind.SQL_SILENT:
            await self.sim.faults.trip()
            connection.answer(rows)

    async def _before_commit(self, kind: Kind | None, *, late: bool) -> None:
        if kind == Kind.SQL_TERMINATED:
            raise psycopg.errors.AdminShutdown("terminating connection due to administrator command")
        # What reaches the chain late takes its time there, too.
        if kind == Kind.SQL_SLOW or late:
            await asyncio.sleep(self.sim.faults.seconds(Kind.SQL_SLOW))

    async def hold(self, statement: str, params: Mapping[str, Any], seconds: float) -> None:
        """Somebody who is not the engine holds rows for a while."""
        backend = self._backends.take()
        try:
            await self._run(backend, statement, params)
            await asyncio.sleep(seconds)
        except psycopg.Error as error:
            self.sim.trace.add("nothing held", f"{type(error).__name__}")
        backend.end(commit=False)
        self._wake()
        self._backends.give(backend)

    def restart(self, seconds: float) -> None:
        """Every connection ends, statements under way are rolled back, and for a while there is no new one."""
        self._down_until = self.sim.loop.time() + seconds
        for connection in [one for one in self.connections if one.backend is not None]:
            self._end(connection, psycopg.errors.AdminShutdown("terminating connection"))

    def leave(self, connection: Connection) -> None:
        """The client closed a connection; a statement under way ends in its own time."""
        if connection in self.connections:
            self.connections.remove(connection)
        if connection.backend is not None and (connection.serving is None or connection.serving.done()):
            self._free(connection)

    def idle(self) -> bool:
        """Whether no statement is under way."""
        return all(one.serving is None or one.serving.done() for one in self.connections) and not self._parked

    async def _run(self, backend: Backend, statement: str, params: Mapping[str, Any] | None) -> Rows:
        seconds, params = _patience(params)
        backend.begin(self.now(), statement, params)
        if not backend.advance():
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._parked.append((backend, waiting))
            self.sim.trace.add("parked", NAMES.get(statement, statement))
            if self._deadlocked(backend):
                self._unpark(backend)
                # It would be tried again, but nothing is meant to meet so.
                self.sim.violation(f"{NAMES.get(statement, statement)} waits in a circle")
                raise psycopg.errors.DeadlockDetected("deadlock detected")
            done, _ = await asyncio.wait({waiting}, timeout=seconds)
            if not done:
                self._unpark(backend)
                raise psycopg.errors.LockNotAvailable("canceling statement due to lock timeout")
            waiting.result()
        return backend.rows()

    def _deadlocked(self, backend: Backend) -> bool:
        """Whether it waits, over others, for itself."""
        waits = {parked.pid: parked.blockers() for parked, _ in self._parked}
        seen: set[int] = set()
        following = list(waits[backend.pid])
        while following:
            pid = following.pop()
            if pid == backend.pid:
                return True
            if pid not in seen:
                seen.add(pid)
                following += waits.get(pid, [])
        return False

    def _unpark(self, backend: Backend) -> None:
        self._parked = [parked for parked in self._parked if parked[0] is not backend]
        backend.give_up()

    def _wake(self) -> None:
        """Locks may have become free: let those who waited for them go on, first come, first served."""
        for backend, waiting in list(self._parked):
            try:
                ended = backend.advance()
            except psycopg.Error as error:
                self._parked.remove((backend, waiting))
                waiting.set_exception(error)
            else:
                if ended:
                    self._parked.remove((backend, waiting))
                    waiting.set_result(None)

    def _fail(self, connection: Connection, error: psycopg.Error) -> None:
        if isinstance(error, psycopg.OperationalError) and (error.sqlstate is None or error.sqlstate.startswith("57P")):
            connection.lose(error)
        else:
            connection.refuse(error)

    def _end(self, connection: Connection, error: psycopg.Error) -> None:
        """The server ends a connection; a statement under way is rolled back, and frees its session itself."""
        for parked, waiting in list(self._parked):
            if parked is connection.backend:
                self._unpark(parked)
                waiting.set_exception(error)
        connection.lose(error)
        if connection.serving is None or connection.serving.done():
            self._free(connection)
        connection.backend = None

    def _orphan(self, connection: Connection) -> None:
        """Its client died: the server ends what is under way, or finds out only after the commit."""
        if connection.serving is None or connection.serving.done():
            self._free(connection)
        elif self.sim.rng.random() >= ORPHANS_THAT_COMMIT:
            self._end(connection, lost("the client is gone"))
        if connection in self.connections:
            self.connections.remove(connection)

    def _free(self, connection: Connection) -> None:
        backend, connection.backend = connection.backend, None
        if backend is not None:
            self._backends.give(backend)


def _patience(params: Mapping[str, Any] | None) -> tuple[float, Mapping[str, Any] | None]:
    """How many virtual seconds a statement waits for a lock; the real server's time must not decide."""
    if params is None or "patience" not in params:
        return LOCK_SECONDS, params
    return int(params["patience"].removesuffix("ms")) / 1000, {**params, "patience": "0"}
