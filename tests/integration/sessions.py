"""Database sessions beside the engine's, whose transactions stay open until they are told to commit."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg

from tests.integration.faults import SECONDS
from tests.integration.rig import Rig, eventually

Rows = list[tuple[Any, ...]]


class Session:
    """A connection of its own, in a transaction until it is told to commit."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)
        self._thread = ThreadPoolExecutor(1)

    def run(self, statement: str, params: dict[str, Any]) -> Rows:
        cursor = self.connection.execute(statement, params)
        return cursor.fetchall() if cursor.description else []

    def start(self, statement: str, params: dict[str, Any]) -> "Future[Rows]":
        return self._thread.submit(self.run, statement, params)

    def close(self) -> None:
        self._thread.shutdown()
        self.connection.close()


def waits_for_lock(rig: Rig, session: Session) -> bool:
    """Whether a session waits for another's lock."""
    pid = session.connection.info.backend_pid
    found: Rows = rig.sql("SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", pid)
    return found == [("Lock",)]


def await_lock(rig: Rig, session: Session) -> None:
    """Wait until a session waits for another's lock."""
    eventually(lambda: waits_for_lock(rig, session), SECONDS)
