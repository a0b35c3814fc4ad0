"""Clients of a running stack, which know no more of it than the contract."""

import asyncio
import time

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from benchmarks.surroundings.examples import ORDER
from local.stack import Endpoints

# Longer than any order takes.
PATIENCE_SECONDS = 60.0


def follow(endpoints: Endpoints, orders: int) -> list[float]:
    """Post so many orders at once, each with a WebSocket that was open before; seconds to each `confirmed` frame."""
    return asyncio.run(_all(endpoints, orders))


async def _all(endpoints: Endpoints, orders: int) -> list[float]:
    gate = asyncio.Barrier(orders)
    async with ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(PATIENCE_SECONDS)) as session:
        return await asyncio.gather(*(_one(session, endpoints, gate) for _ in range(orders)))


async def _one(session: ClientSession, endpoints: Endpoints, gate: asyncio.Barrier) -> float:
    async with session.ws_connect(endpoints.websocket_url) as socket:
        await gate.wait()
        started = time.monotonic()
        async with session.post(f"{endpoints.url}/api/orders/execute", json=ORDER, raise_for_status=True) as reply:
            order_id = (await reply.json())["orderId"]
        await socket.send_json({"orderId": order_id})
        status = ""
        while status != "confirmed":
            status = (await socket.receive_json(timeout=PATIENCE_SECONDS))["status"]
        return time.monotonic() - started
