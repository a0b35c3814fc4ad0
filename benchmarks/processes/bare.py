"""The baseline of a drain: psycopg alone reads and writes the rows of an order's way, without an engine.

It takes batches as `benchmarks.processes.worker` does. The rows are the engine's and so are the statements, each one
for a whole batch; an attempt's three events go down at once. With --early `routing` goes down before the others, as it
must where quotes take time; with --tasks each order is then a task that shares its statements with the others'. With
--updates it does what the plainest of engines does instead: one UPDATE an order, ten of them at a time over all
processes.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg

from chalicelib.store.gathering import Gathering
from chalicelib.store.statements import load
from chalicelib.store.streams import MOST_LEASED

ORDERS, STREAMS, LEDGER = load("orders"), load("streams"), load("ledger")
# Events, as long as the engine's own.
ROUTING = ("routing", '{"step":"fetching quotes"}')
BUILDING = (
    "building",
    json.dumps({"route": {"chosen": {"dex": "Raydium", "price": 149.123456789}, "text": "x" * 330}}),
)
SUBMITTED = ("submitted", '{"dex":"Raydium"}')
CONFIRMED = (
    "confirmed",
    json.dumps({"txHash": "MOCKTX_" + "0" * 24, "executedPrice": 149.123456789, "text": "x" * 70}),
)
SUBMISSION = {
    "attempt": 1,
    "venue": "Raydium",
    "amount_in": "3000000000",
    "min_amount_out": "440000000",
    "valid_ms": 15000,
}
# Valid for as long as the run takes.
SWAP = {
    "outcome": "succeeded",
    "venue": "Raydium",
    "amount_in": 3000000000,
    "amount_out": 449000000,
    "delay": 0,
    "valid_until": "infinity",
}
UPDATE = "UPDATE orders SET status = 'confirmed', outcome = 'confirmed', last_update = now() WHERE id = %s"


class Rows:
    """What an order's statements are given: the rows that the engine writes, without an engine that makes them."""

    def __init__(self) -> None:
        self.holder = uuid4()

    def claim(self, ids: list[str]) -> dict[str, Any]:
        """A batch, to be claimed."""
        return {
            "ids": ids,
            "lease": 15,
            "max_crashes": 3,
            "alone": False,
            "last_resort": False,
            "claimant": self.holder,
        }

    def written(self, row: Any, status: str, metas: list[tuple[str, str]], base: int, tx_id: str | None) -> Any:
        """An order's transition with its events, from a claimed row."""
        now = datetime.now(UTC).isoformat()
        return {
            "order_id": str(row[0]),
            "claim_token": row[5],
            "base_seq": base,
            "last_seq": base + len(metas),
            "status": status,
            "last_update": now,
            "attempts": 1,
            "open_tx": tx_id,
            "outcome": "confirmed" if status == "confirmed" else None,
            "tx_hash": row[3],
            "released": status != "routing",
            "next_try_ms": 0 if tx_id else None,
            "crashes": 0,
            "parked": False,
            "events": [
                {"seq": base + 1 + at, "status": each, "meta": json.loads(meta), "ts": now}
                for at, (each, meta) in enumerate(metas)
            ],
            "submission": SUBMISSION | {"tx_id": tx_id} if tx_id else None,
            "resolved": {"tx_id": row[3], "outcome": "succeeded"} if row[3] else None,
        }

    def swap(self, row: Any, tx_id: str) -> Any:
        """An order's transaction on the simulated chain."""
        return SWAP | {"tx_id": tx_id, "order_id": str(row[0])}

    def lease(self, ids: list[UUID]) -> dict[str, Any]:
        """Whose subscribers are to get frames."""
        return {"order_ids": ids, "holder": self.holder, "passed_over": [], "lease": 15, "most": MOST_LEASED}

    def release(self, leased: list[Any]) -> dict[str, Any]:
        """What they were sent."""
        last = {row[:2]: (row[7], row[3]) for row in leased}
        return {
            "connection_ids": [connection for connection, _ in last],
            "order_ids": [order_id for _, order_id in last],
            "last_seqs": [seq for seq, _ in last.values()],
            "bind_nos": [bind_no for _, bind_no in last.values()],
            "holder": self.holder,
        }


class Bare:
    """One process's connection, used for one statement after the other."""

    def __init__(self, url: str, distance: float, *, early: bool) -> None:
        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=1)
        self._distance = distance
        self._early = early
        self._rows = Rows()
        self.statements = 0

    def work(self, ids: list[str]) -> list[str]:
        """One pass over a batch; returns the ids that need another."""
        claimed = [row for row in self._fetch(ORDERS["claim"], self._rows.claim(ids)) if row[1] == "claimed"]
        fresh = [row for row in claimed if row[3] is None]
        sent = [row for row in claimed if row[3] is not None]
        if fresh:
            self._submit(fresh)
        if sent:
            self._fetch(LEDGER["look"], {"tx_ids": [row[3] for row in sent]})
            self._write([self._rows.written(row, "confirmed", [CONFIRMED], 4, None) for row in sent])
        self._publish([row[0] for row in claimed])
        return [str(row[0]) for row in fresh]

    def _submit(self, rows: list[Any]) -> None:
        tx_ids = [_tx_id() for _ in rows]
        metas, base = [ROUTING, BUILDING, SUBMITTED], 1
        if self._early:
            self._write([self._rows.written(row, "routing", [ROUTING], 1, None) for row in rows])
            metas, base = metas[1:], 2
        both = list(zip(rows, tx_ids, strict=True))
        self._write([self._rows.written(row, "submitted", metas, base, tx_id) for row, tx_id in both])
        self._fetch(LEDGER["land"], {"swaps": json.dumps([self._rows.swap(row, tx_id) for row, tx_id in both])})

    def _write(self, entries: list[Any]) -> None:
        self._fetch(ORDERS["write_transitions"], {"entries": json.dumps(entries)})

    def _publish(self, ids: list[UUID]) -> None:
        while leased := self._fetch(STREAMS["lease"], self._rows.lease(ids)):
            self._fetch(STREAMS["release"], self._rows.release(leased))

    def _fetch(self, statement: str, params: Any) -> list[Any]:
        self.statements += 1
        if self._distance:
            time.sleep(self._distance)
        cursor = self._connection.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


class Tasks:
    """The same with a task an order, as orders need that wait for quotes side by side; their statements are shared."""

    def __init__(self, url: str, distance: float) -> None:
        self._loop = asyncio.new_event_loop()
        opening = psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=1)
        self._connection = self._loop.run_until_complete(opening)
        self._distance = distance
        self._rows = Rows()
        self._writing, self._landing, self._looking = (
            Gathering(self._write),
            Gathering(self._land),
            Gathering(self._look),
        )
        self.statements = 0

    def work(self, ids: list[str]) -> list[str]:
        """One pass over a batch; returns the ids that need another."""
        return self._loop.run_until_complete(self._work(ids))

    async def _work(self, ids: list[str]) -> list[str]:
        claimed = [row for row in await self._fetch(ORDERS["claim"], self._rows.claim(ids)) if row[1] == "claimed"]
        again = await asyncio.gather(*(self._order(row) for row in claimed))
        while leased := await self._fetch(STREAMS["lease"], self._rows.lease([row[0] for row in claimed])):
            await self._fetch(STREAMS["release"], self._rows.release(leased))
        return [str(row[0]) for row, more in zip(claimed, again, strict=True) if more]

    async def _order(self, row: Any) -> bool:
        """One order as far as it goes; returns whether it needs another pass."""
        if row[3] is None:
            tx_id = _tx_id()
            await self._writing.of(self._rows.written(row, "routing", [ROUTING], 1, None))
            await self._writing.of(self._rows.written(row, "submitted", [BUILDING, SUBMITTED], 2, tx_id))
            await self._landing.of(self._rows.swap(row, tx_id))
            return True
        await self._looking.of(row[3])
        await self._writing.of(self._rows.written(row, "confirmed", [CONFIRMED], 4, None))
        return False

    async def _write(self, entries: Sequence[Any]) -> Sequence[None]:
        await self._fetch(ORDERS["write_transitions"], {"entries": json.dumps(entries)})
        return [None] * len(entries)

    async def _land(self, swaps: Sequence[Any]) -> Sequence[None]:
        await self._fetch(LEDGER["land"], {"swaps": json.dumps(swaps)})
        return [None] * len(swaps)

    async def _look(self, tx_ids: Sequence[str]) -> Sequence[None]:
        await self._fetch(LEDGER["look"], {"tx_ids": list(tx_ids)})
        return [None] * len(tx_ids)

    async def _fetch(self, statement: str, params: Any) -> list[Any]:
        self.statements += 1
        if self._distance:
            await asyncio.sleep(self._distance)
        cursor = await self._connection.execute(statement, params)
        return await cursor.fetchall() if cursor.description else []


class Updates:
    """The plainest engine: ten orders at a time over all processes, one UPDATE each."""

    def __init__(self, url: str, distance: float, connections: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._distance = distance
        self.statements = 0
        opening = (
            psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=1) for _ in range(connections)
        )
        self._connections = self._loop.run_until_complete(_all(opening))

    def work(self, ids: list[str]) -> list[str]:
        """Updates each order."""
        self.statements += len(ids)
        left = iter(ids)
        self._loop.run_until_complete(_all(self._update(connection, left) for connection in self._connections))
        return []

    async def _update(self, connection: Any, left: Any) -> None:
        for order_id in left:
            if self._distance:
                await asyncio.sleep(self._distance)
            await connection.execute(UPDATE, (order_id,))


async def _all(many: Any) -> Any:
    return await asyncio.gather(*many)


def _tx_id() -> str:
    return f"MOCKTX_{uuid4().hex[:24]}"


def _worker(options: argparse.Namespace, url: str) -> "Bare | Tasks | Updates":
    if options.updates:
        return Updates(url, options.distance, options.updates)
    return Tasks(url, options.distance) if options.tasks else Bare(url, options.distance, early=options.early)


def main() -> None:
    """Answers batches until the input ends."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--distance", type=float, default=0.0)
    parser.add_argument("--early", action="store_true", help="routing goes down before the quotes")
    parser.add_argument("--tasks", action="store_true", help="the same, and a task an order")
    parser.add_argument("--updates", type=int, default=0, help="so many connections, one UPDATE an order")
    options = parser.parse_args()
    worker = _worker(options, os.environ["DATABASE_URL"])
    for line in sys.stdin:
        statements, used = worker.statements, time.process_time()
        again = worker.work(json.loads(line))
        answer = {
            "sent": [("orders", body, 0) for body in again],
            "statements": worker.statements - statements,
            "cpu": time.process_time() - used,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
