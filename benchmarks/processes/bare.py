"""The baseline of a drain: psycopg alone reads and writes the rows of an order's way, without an engine.

It takes batches as `benchmarks.processes.worker` does. The rows are the engine's and so are the statements, each one
for a whole batch; an attempt's three events go down at once. With --updates it does what the plainest of engines does
instead: one UPDATE an order, ten of them at a time over all processes.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg

from chalicelib.store.statements import load
from chalicelib.store.streams import MOST_LEASED

ORDERS, STREAMS, LEDGER = load("orders"), load("streams"), load("ledger")
ROUTING = '{"step":"fetching quotes"}'
# As long as the engine's own.
BUILDING = json.dumps({"route": {"chosen": {"dex": "Raydium", "price": 149.123456789}, "text": "x" * 330}})
SUBMITTED = '{"dex":"Raydium"}'
CONFIRMED = json.dumps({"txHash": "MOCKTX_" + "0" * 24, "executedPrice": 149.123456789, "text": "x" * 70})
UPDATE = "UPDATE orders SET status = 'confirmed', outcome = 'confirmed', last_update = now() WHERE id = %s"


class Bare:
    """One process's connection."""

    def __init__(self, url: str, distance: float) -> None:
        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=1)
        self._distance = distance
        self.statements = 0

    def work(self, ids: list[str]) -> list[str]:
        """One pass over a batch; returns the ids that need another."""
        claimed = self._fetch(
            ORDERS["claim"],
            {
                "ids": ids,
                "lease": 15,
                "max_crashes": 3,
                "alone": False,
                "last_resort": False,
                "claimant": uuid4(),
            },
        )
        now = datetime.now(UTC).isoformat()
        fresh = [row for row in claimed if row[1] == "claimed" and row[3] is None]
        sent = [row for row in claimed if row[1] == "claimed" and row[3] is not None]
        if fresh:
            self._submit(fresh, now)
        if sent:
            self._confirm(sent, now)
        self._publish([row[0] for row in [*fresh, *sent]])
        return [str(row[0]) for row in fresh]

    def _submit(self, rows: list[Any], now: str) -> None:
        tx_ids = {row[0]: f"MOCKTX_{uuid4().hex[:24]}" for row in rows}
        metas = [("routing", ROUTING), ("building", BUILDING), ("submitted", SUBMITTED)]
        self._write(rows, "submitted", metas, now, tx_ids)
        # Valid for as long as the run takes; its delay is none.
        swap = {
            "outcome": "succeeded",
            "venue": "Raydium",
            "amount_in": 3000000000,
            "amount_out": 449000000,
            "delay": 0,
        }
        swaps = [
            swap | {"tx_id": tx_id, "order_id": str(order_id), "valid_until": "infinity"}
            for order_id, tx_id in tx_ids.items()
        ]
        self._fetch(LEDGER["land"], {"swaps": json.dumps(swaps)})

    def _confirm(self, rows: list[Any], now: str) -> None:
        self._fetch(LEDGER["look"], {"tx_ids": [row[3] for row in rows]})
        self._write(rows, "confirmed", [("confirmed", CONFIRMED)], now, {}, base=4)

    def _write(
        self,
        rows: list[Any],
        status: str,
        metas: list[tuple[str, str]],
        now: str,
        tx_ids: dict[UUID, str],
        *,
        base: int = 1,
    ) -> None:
        entries = [
            {
                "order_id": str(row[0]),
                "claim_token": row[5],
                "base_seq": base,
                "last_seq": base + len(metas),
                "status": status,
                "last_update": now,
                "attempts": 1,
                "open_tx": tx_ids.get(row[0]),
                "outcome": "confirmed" if status == "confirmed" else None,
                "tx_hash": row[3],
                "released": True,
                "next_try_ms": 0 if tx_ids else None,
                "crashes": 0,
                "parked": False,
                "events": [
                    {"seq": base + 1 + at, "status": each, "meta": json.loads(meta), "ts": now}
                    for at, (each, meta) in enumerate(metas)
                ],
                "submission": None
                if not tx_ids
                else {
                    "tx_id": tx_ids[row[0]],
                    "attempt": 1,
                    "venue": "Raydium",
                    "amount_in": "3000000000",
                    "min_amount_out": "440000000",
                    "valid_ms": 15000,
                },
                "resolved": {"tx_id": row[3], "outcome": "succeeded"} if row[3] else None,
            }
            for row in rows
        ]
        self._fetch(ORDERS["write_transitions"], {"entries": json.dumps(entries)})

    def _publish(self, ids: list[UUID]) -> None:
        holder = uuid4()
        given = {"order_ids": ids, "holder": holder, "passed_over": [], "lease": 15, "most": MOST_LEASED}
        rows = self._fetch(STREAMS["lease"], given)
        while rows:
            last = {row[:2]: (row[7], row[3]) for row in rows}
            self._fetch(
                STREAMS["release"],
                {
                    "connection_ids": [connection for connection, _ in last],
                    "order_ids": [order_id for _, order_id in last],
                    "last_seqs": [seq for seq, _ in last.values()],
                    "bind_nos": [bind_no for _, bind_no in last.values()],
                    "holder": holder,
                },
            )
            rows = self._fetch(STREAMS["lease"], given)

    def _fetch(self, statement: str, params: Any) -> list[Any]:
        self.statements += 1
        self._wait()
        cursor = self._connection.execute(statement, params)
        return cursor.fetchall() if cursor.description else []

    def _wait(self) -> None:
        if self._distance:
            time.sleep(self._distance)


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


def main() -> None:
    """Answers batches until the input ends."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--distance", type=float, default=0.0)
    parser.add_argument("--updates", type=int, default=0, help="so many connections, one UPDATE an order")
    options = parser.parse_args()
    url = os.environ["DATABASE_URL"]
    worker = Updates(url, options.distance, options.updates) if options.updates else Bare(url, options.distance)
    for line in sys.stdin:
        statements, used, started = worker.statements, resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        again = worker.work(json.loads(line))
        now = resource.getrusage(resource.RUSAGE_SELF)
        answer = {
            "failed": [],
            "sent": [("orders", body, 0) for body in again],
            "statements": worker.statements - statements,
            "cpu": now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime,
            "seconds": time.monotonic() - started,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
