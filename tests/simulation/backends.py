"""Sessions of a real server, as the simulation drives them: a statement goes on only when it is told to."""

import select
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import psycopg
from psycopg.waiting import Ready, Wait

POLL_MILLISECONDS = 1
NEVER_BY_ITSELF = 10**9
# The statements of a database that the simulation has to itself.
SETTINGS = """
    SET lock_timeout = 0; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
    SET deadlock_timeout = '1h'; SET plan_cache_mode = force_generic_plan; SET jit = off;
    SET synchronous_commit = off; SET client_min_messages = warning; SET sim.now = '2026-01-01'
"""
VIRTUAL_TIME = (
    "CREATE OR REPLACE FUNCTION engine_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE "
    "RETURN current_setting('sim.now')::timestamptz"
)
# Those that hold rows: of a partitioned table, its partitions.
TABLES = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
    "AND relname NOT LIKE '%%yoyo%%' ORDER BY 1"
)
Rows = list[tuple[Any, ...]]


class Backend:
    """A session of the real server; used by one simulated connection after another."""

    def __init__(self, url: str, monitor: psycopg.Connection) -> None:
        self._raw = psycopg.connect(url, autocommit=True)
        self._raw.execute(SETTINGS)
        self._raw.prepare_threshold = NEVER_BY_ITSELF
        self._monitor = monitor
        self._poll = select.poll()
        self._poll.register(self._raw.fileno(), select.POLLIN)
        self.pid = self._raw.info.backend_pid
        self._cursor: psycopg.Cursor[tuple[Any, ...]]
        self._running: Any = None
        # What the running statement waits for.
        self._wanted = Wait.R

    def begin(self, now: datetime, statement: str, params: Mapping[str, Any] | None) -> None:
        """Start a statement in a transaction of its own."""
        self._raw.execute(f"BEGIN; SET LOCAL sim.now = '{now.isoformat()}'")
        self._cursor = self._raw.cursor()
        self._running = self._cursor._execute_gen(statement, params, prepare=True)
        self._wanted = next(self._running)

    def advance(self) -> bool:
        """Go on until the statement has ended, or waits for a lock. Raises what the server answered."""
        while True:
            # What is longer than a socket's buffer is sent in parts.
            self._poll.modify(self._raw.fileno(), select.POLLIN | (select.POLLOUT if self._wanted & Wait.W else 0))
            if not self._poll.poll(POLL_MILLISECONDS):
                if self.blockers():
                    return False
                continue
            try:
                self._wanted = self._running.send(Ready.RW)
            except StopIteration:
                return True

    def blockers(self) -> list[int]:
        """The sessions that it waits for."""
        row = self._monitor.execute("SELECT pg_blocking_pids(%s)", (self.pid,)).fetchone()
        return row[0] if row else []

    def rows(self) -> Rows:
        """What the statement returned."""
        return self._cursor.fetchall() if self._cursor.description else []

    def give_up(self) -> None:
        """End a statement that waits for a lock."""
        self._monitor.execute("SELECT pg_cancel_backend(%s)", (self.pid,))
        with suppress(psycopg.errors.QueryCanceled):
            while not self.advance():
                pass

    def end(self, *, commit: bool) -> None:
        """Commit, or roll back."""
        self._raw.execute("COMMIT" if commit else "ROLLBACK")

    def close(self) -> None:
        self._raw.close()


class Backends:
    """Sessions of the real server, kept from one simulation to the next."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.monitor = psycopg.connect(url, autocommit=True)
        self.monitor.execute(SETTINGS)
        self.monitor.execute(VIRTUAL_TIME)
        self._tables = [row[0] for row in self.monitor.execute(TABLES)]
        for table in self._tables:
            # Statistics that are taken at some moment would change plans, and with them the order of rows.
            self.monitor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        self._free: list[Backend] = []
        self._all: list[Backend] = []

    def reset(self) -> None:
        """An empty database."""
        self._free = list(self._all)
        for backend in self._all:
            backend.end(commit=False)
        self.monitor.execute(f"TRUNCATE {', '.join(self._tables)}")

    def take(self) -> Backend:
        """A session that nobody uses."""
        if not self._free:
            self._all.append(Backend(self._url, self.monitor))
            return self._all[-1]
        return self._free.pop()

    def give(self, backend: Backend) -> None:
        """It is not needed any more."""
        self._free.append(backend)

    def close(self) -> None:
        for backend in self._all:
            backend.close()
        self.monitor.close()
