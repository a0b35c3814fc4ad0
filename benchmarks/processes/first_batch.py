"""Orders that were just accepted, for a container's first batch."""

import asyncio
from typing import Any

from benchmarks.surroundings.examples import BODY, JSON_HEADERS, messages
from chalicelib.domain.account import DEFAULT_ACCOUNT
from chalicelib.domain.clock import SystemClock, SystemEntropy, uuid7
from chalicelib.domain.order import Post
from chalicelib.domain.token import ANY
from chalicelib.intake.validation import terms
from chalicelib.store.database import Database, connect
from chalicelib.store.orders import Orders
from chalicelib.store.streams import Streams

BATCH = 10


def batch(database_url: str, *, followed: bool) -> dict[str, Any]:
    """Ten orders that were just accepted, as SQS hands them to the worker; `followed` by an open socket."""
    return messages(asyncio.run(_accept(database_url, followed)))


async def _accept(database_url: str, followed: bool) -> list[str]:
    clock, entropy = SystemClock(), SystemEntropy()
    database = Database(database_url, clock, connect, pooler=False, name="benchmarks")
    orders, streams = Orders(database, clock, entropy), Streams(database)
    wanted = terms(BODY.encode(), JSON_HEADERS["content-type"], ANY, clock.now())
    ids = [uuid7(clock, entropy) for _ in range(BATCH)]
    try:
        for order_id in ids:
            await orders.accept(order_id, Post(account=DEFAULT_ACCOUNT, terms=wanted), clock.now())
        if followed:
            socket = f"{ids[0]}="
            await streams.connect(socket, None)
            await streams.open(socket)
            for order_id in ids:
                # Its first frame went out when it was bound.
                await streams.bind(socket, order_id, 1, first=False)
    finally:
        await database.close()
    return list(map(str, ids))
