"""The Postgres that benchmarks run on: embedded, durable, with accepted orders in it."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil
import psycopg

from benchmarks.surroundings.examples import BODY, JSON_HEADERS
from chalicelib.domain.token import ANY
from chalicelib.intake.validation import terms
from local.migrate import migrate
from local.postgres import Postgres

# As intake leaves them: their first event, and for each a socket of its own that follows it.
ACCEPT = """
WITH accepted AS (
    INSERT INTO orders (id, payload, status, created_at, last_update, account, type, last_seq, enqueued_at)
    SELECT uuidv7(), %(payload)s, 'pending', now(), now(), 'default', 'market', 1, now()
    FROM generate_series(1, %(orders)s)
    RETURNING id
), logged AS (
    INSERT INTO order_events SELECT id, 1, 'pending', '{"bound":true}', now() FROM accepted
), connected AS (
    INSERT INTO connections (id, connected_at, expires_at, open)
    SELECT id::text || '=', now(), now() + interval '2 hours', true FROM accepted WHERE %(watched)s
    RETURNING id
), followed AS (
    INSERT INTO subscriptions (connection_id, order_id, last_seq)
    SELECT c.id, a.id, 1 FROM accepted a JOIN connected c ON c.id = a.id::text || '='
)
SELECT id::text FROM accepted ORDER BY id
"""
# The example as intake stores it.
PAYLOAD = msgspec.json.encode(terms(BODY.encode(), JSON_HEADERS["content-type"], ANY, datetime.now(UTC))).decode()
# Sockets that follow orders as far as these have come.
FOLLOW = """
WITH connected AS (
    INSERT INTO connections (id, connected_at, expires_at, open)
    SELECT o.id::text || '-' || n || '=', now(), now() + interval '2 hours', true
    FROM orders o, generate_series(1, %(sockets)s) n WHERE o.id = ANY(%(order_ids)s::uuid[])
    RETURNING id
)
INSERT INTO subscriptions (connection_id, order_id, last_seq)
SELECT c.id, o.id, o.last_seq FROM connected c JOIN orders o ON o.id = left(c.id, 36)::uuid
"""
UNFINISHED = """
SELECT count(*) FROM orders o LEFT JOIN subscriptions s ON s.order_id = o.id
WHERE o.id = ANY(%s::uuid[]) AND (o.status <> 'confirmed' OR o.last_seq > s.last_seq)
"""


class Database:
    """One migrated database of a server."""

    def __init__(self, server: Postgres, name: str = "engine") -> None:
        self._server = server
        self.url = server.ensure_database(name)
        migrate(self.url)
        # Seeding takes longer than a statement of the engine's may.
        self._connection = psycopg.connect(self.url, autocommit=True, options="-c statement_timeout=0")

    @property
    def hasty_url(self) -> str:
        """For sessions that do not wait for the flush of a commit: they store the same, sooner."""
        return f"{self.url}&options=-csynchronous_commit%3Doff"

    def accept(self, orders: int, *, watched: bool = True) -> list[str]:
        """Store so many orders; returns their ids, oldest first."""
        given = {"orders": orders, "payload": PAYLOAD, "watched": watched}
        return [row[0] for row in self._connection.execute(ACCEPT, given)]

    def follow(self, order_ids: list[str], sockets: int) -> None:
        """Open so many sockets for each of some orders, to follow it from where it is."""
        self._connection.execute(FOLLOW, {"order_ids": order_ids, "sockets": sockets})

    def unfinished(self, order_ids: Sequence[str]) -> int:
        """How many of some orders are not confirmed, or lack frames."""
        return int(self.fetch(UNFINISHED, list(order_ids))[0][0])

    def fetch(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """Run a statement of the benchmark's own."""
        cursor = self._connection.execute(statement, params or None)
        return cursor.fetchall() if cursor.description else []

    def explain(self, statement: str, params: dict[str, Any]) -> dict[str, Any]:
        """The top of the plan of an EXPLAIN in JSON."""
        found = self._connection.execute(statement, params).fetchall()
        plan: dict[str, Any] = found[0][0][0]["Plan"]
        return plan

    def cpu(self) -> float:
        """CPU seconds of all of the server's processes so far, those that ended included."""
        keeper = psutil.Process(self._server.pid)
        spent = 0.0
        for process in [keeper, *keeper.children(recursive=True)]:
            # A session may end in between.
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent += times.user + times.system + times.children_user + times.children_system
        return spent

    def close(self) -> None:
        """End the benchmark's own connection."""
        self._connection.close()


@contextlib.contextmanager
def server(settings: dict[str, str] | None = None) -> Iterator[Postgres]:
    """A durable server of the benchmark's own, gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="engine-benchmark-", ignore_cleanup_errors=True) as home,
        Postgres(Path(home) / "data", Path(home) / "postgres.log", settings) as started,
    ):
        yield started


@contextlib.contextmanager
def database(settings: dict[str, str] | None = None) -> Iterator[Database]:
    """A database on a durable server of its own."""
    with server(settings) as started, contextlib.closing(Database(started)) as found:
        yield found
