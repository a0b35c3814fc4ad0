"""A client of the running engine: what it knows is the contract."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import psycopg

from local.stack import Endpoints
from local.warm import SCHEDULED, invoke

EXAMPLE = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 3.0, "slippageTolerance": 0.02}
TERMINAL = ("confirmed", "failed", "cancelled", "expired")
PATIENCE = 150


class Socket:
    """One WebSocket of a client."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, frame: str | dict[str, Any]) -> None:
        await self._socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = await self._socket.receive_json(timeout=PATIENCE)
        return frame

    async def stream(self, order_id: str) -> list[dict[str, Any]]:
        """The frames of one order, to the terminal one."""
        frames: list[dict[str, Any]] = []
        while not frames or frames[-1]["status"] not in TERMINAL:
            frame = await self.receive()
            assert frame["orderId"] == order_id
            frames.append(frame)
        return frames


class Client:
    """Posts orders, asks for them, follows them."""

    def __init__(self, session: aiohttp.ClientSession, endpoints: Endpoints) -> None:
        self.session = session
        self.endpoints = endpoints

    async def post(self, **fields: Any) -> str:
        url = f"{self.endpoints.url}/api/orders/execute"
        order = {name: value for name, value in (EXAMPLE | fields).items() if value is not None}
        async with self.session.post(url, json=order) as reply:
            body = await reply.json()
            assert reply.status == 200, body
            order_id: str = body["orderId"]
            return order_id

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(f"{self.endpoints.url}{path}") as reply:
            return reply.status, await reply.json()

    async def show(self, order_id: str) -> dict[str, Any]:
        status, body = await self.get(f"/api/orders/{order_id}")
        assert status == 200, body
        shown: dict[str, Any] = body
        return shown

    @asynccontextmanager
    async def socket(self, query: str = "") -> AsyncIterator[Socket]:
        async with self.session.ws_connect(self.endpoints.websocket_url + query) as socket:
            yield Socket(socket)

    @asynccontextmanager
    async def bound(self, order_id: str) -> AsyncIterator[Socket]:
        async with self.socket() as socket:
            await socket.send({"orderId": order_id})
            yield socket

    async def stream(self, order_id: str) -> list[dict[str, Any]]:
        """An order's frames on a socket of its own."""
        async with self.bound(order_id) as socket:
            return await socket.stream(order_id)

    async def finish(self, order_id: str) -> dict[str, Any]:
        await until(lambda: self._ended(order_id))
        return await self.show(order_id)

    async def _ended(self, order_id: str) -> bool:
        return (await self.show(order_id))["status"] in TERMINAL


async def until(condition: Callable[[], Any], pause: float = 0.1) -> None:
    """Wait until a condition (plain or awaitable) holds; fails after PATIENCE seconds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(pause)


def one(database: psycopg.Connection, statement: str, *params: object) -> Callable[[], Any]:
    """A question that the first value of a statement answers."""

    def ask() -> Any:
        row = database.execute(statement, params).fetchone()  # type: ignore[call-overload]
        return row and row[0]

    return ask


def sweep(endpoints: Endpoints) -> None:
    """Runs the sweep now."""
    invoke(endpoints.aws_endpoint, endpoints.outputs["SweepName"], SCHEDULED)
