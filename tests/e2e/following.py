"""Clients that follow orders through kills, and what must be true of every order after them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from aiohttp import ClientError

from tests.e2e.client import PATIENCE, TERMINAL, Client
from tests.event_log import checked

# Of three orders, one is confirmed at once, one after two failures, and one fails.
TOKENS_OUT = ("USDC", "FLAKY", "FAIL")


class Follower:
    """A client that follows an order, and knows how far it is."""

    def __init__(self, client: Client, order_id: str) -> None:
        self.order_id = order_id
        self.seen = 0
        self.ended = False
        self.client = client

    async def follow(self) -> None:
        """Reads frames on one socket, for as long as it lasts."""
        with contextlib.suppress(ClientError):
            async with self.client.session.ws_connect(self.client.endpoints.websocket_url) as socket:
                await socket.send_json({"orderId": self.order_id, "afterSeq": self.seen})
                async for message in socket:
                    frame = message.json()
                    if frame.get("code") == "unavailable":
                        # The database is away.
                        return
                    # A crash may have it pushed twice.
                    if frame["seq"] > self.seen:
                        self._take(frame)

    async def resume(self) -> None:
        """Reads the rest on a new socket: none missing, none twice, and nothing after the end."""
        async with self.client.socket() as socket:
            await socket.send({"orderId": self.order_id, "afterSeq": self.seen})
            while not self.ended:
                self._take(await socket.receive())
            await socket.send("nonsense")
            assert (await socket.receive()).get("code") == "invalid_json"

    def _take(self, frame: dict[str, Any]) -> None:
        assert (frame["orderId"], frame["seq"]) == (self.order_id, self.seen + 1), frame
        self.seen += 1
        self.ended = frame["status"] in TERMINAL


async def posted(client: Client, count: int) -> list[Follower]:
    """Orders of each kind, with a follower each."""
    return [Follower(client, await client.post(tokenOut=TOKENS_OUT[at % len(TOKENS_OUT)])) for at in range(count)]


@asynccontextmanager
async def following(found: Sequence[Follower]) -> AsyncIterator[None]:
    """The followers read while the body runs."""
    tasks = [asyncio.create_task(each.follow()) for each in found]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        failed = [each for each in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(each, Exception)]
    if failed:
        raise ExceptionGroup("followers", failed)


async def resumed(found: Sequence[Follower]) -> None:
    """Waits until every follower has read the rest."""
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(each.resume() for each in found))


def check(database_url: str, found: Sequence[Follower]) -> dict[str, str]:
    """Every order has ended, its log is whole and legal, and the ledger agrees with it; returns how each ended."""
    order_ids = [each.order_id for each in found]
    with psycopg.connect(database_url, autocommit=True) as database:
        outcomes = "SELECT id::text, outcome FROM orders WHERE id = ANY(%s)"
        ended = dict(database.execute(outcomes, (order_ids,)).fetchall())
        assert sorted(ended) == sorted(order_ids)
        for order_id, outcome in ended.items():
            events = database.execute(
                "SELECT seq, status FROM order_events WHERE order_id = %s ORDER BY seq", (order_id,)
            ).fetchall()
            assert checked(events)[-1:] == [outcome]
            succeeded = "SELECT tx_id FROM simulated_swaps WHERE order_id = %s AND outcome = 'succeeded'"
            hashes = "SELECT tx_hash FROM orders WHERE id = %s AND tx_hash IS NOT NULL"
            swaps = database.execute(succeeded, (order_id,)).fetchall()
            assert swaps == database.execute(hashes, (order_id,)).fetchall()
            assert len(swaps) == (outcome == "confirmed")
    return ended
