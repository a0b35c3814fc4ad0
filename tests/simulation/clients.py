"""Those who place orders and follow them."""

import asyncio
import json
from collections.abc import Callable
from random import Random
from typing import Any

from chalicelib.handlers import rest
from tests.simulation.faults import Kind
from tests.simulation.functions import Lambda
from tests.simulation.sim import Sim
from tests.simulation.sockets import Gateway

MOST_ORDERS = 16
PLACED_WITHIN_SECONDS = 45.0
AGAIN_SECONDS = 3.0
# API Gateway ends a socket by then.
SOCKET_SECONDS = 7200.0
LEAVES = 0.25
WITHOUT_KEY = 0.3
# Of those with a key, so many post twice at once.
IMPATIENT = 0.2
REBINDS = 0.4


class Request:
    """A request as the framework hands it over."""

    def __init__(self, body: dict[str, Any], key: str | None) -> None:
        self.raw_body = json.dumps(body).encode()
        self.headers = {"content-type": "application/json"} | ({"idempotency-key": key} if key else {})
        self.query_params = None


class Clients:
    """Traders and their sockets."""

    def __init__(self, sim: Sim, machine: Lambda, gateway: Gateway, wish: Callable[[Random], dict[str, Any]]) -> None:
        self.sim = sim
        # What the engine has answered 200 to.
        self.accepted: list[str] = []
        # Posts without a key: each may have become an order.
        self.without_key = 0
        self.keys: list[str] = []
        self._machine = machine
        self._gateway = gateway
        self._wish = wish

    async def trade(self) -> None:
        """All traders, until each has placed its order and its sockets are open."""
        traders = [self.sim.loop.on(None, self._trader()) for _ in range(self.sim.rng.randint(1, MOST_ORDERS))]
        await asyncio.gather(*traders)

    async def _trader(self) -> None:
        # Some come at once, as in a burst.
        await asyncio.sleep(self.sim.rng.choice((0.5, self.sim.rng.uniform(0, PLACED_WITHIN_SECONDS))))
        order = self._wish(self.sim.rng)
        key = None if self.sim.rng.random() < WITHOUT_KEY else f"key-{len(self.keys)}"
        if key is not None:
            self.keys.append(key)
            if self.sim.rng.random() < IMPATIENT:
                self.sim.loop.on(None, self.post(order, key))
        while (order_id := await self.post(order, key)) is None:
            await asyncio.sleep(AGAIN_SECONDS)
        await asyncio.gather(*(self._follow(order_id) for _ in range(self.sim.rng.choice((0, 1, 1, 2)))))

    async def post(self, order: dict[str, Any], key: str | None) -> str | None:
        """Place an order; None where the reply says try again, or never came."""
        self.without_key += key is None
        returned, reply = await self._machine.invoke("api", lambda _: rest.execute(Request(order, key)))
        if not returned:
            return None
        if reply.status != 200:
            assert reply.status == 503, reply
            return None
        order_id = str(json.loads(reply.body)["orderId"])
        self.accepted.append(order_id)
        self.sim.trace.add("accepted", order_id)
        return None if self.sim.faults.draw(Kind.REPLY_LOST) else order_id

    async def _follow(self, order_id: str) -> None:
        """A socket on an order, and perhaps on another one too."""
        await asyncio.sleep(self.sim.rng.choice((0.0, self.sim.rng.uniform(0, 20))))
        query = {"orderId": order_id} if self.sim.rng.random() < 0.5 else None
        while (socket := await self._gateway.connect(query)) is None:
            await asyncio.sleep(AGAIN_SECONDS)
        if query is None:
            await self._bind(socket, order_id)
        if self.sim.rng.random() < REBINDS:
            await asyncio.sleep(self.sim.rng.uniform(0, 10))
            await self._bind(socket, self.sim.rng.choice([order_id, *self.accepted]))
        if self.sim.rng.random() < LEAVES:
            await asyncio.sleep(self.sim.rng.uniform(0, 30))
            self.sim.faults.count(Kind.SOCKET_CLOSED, socket)
            await self._gateway.close(socket)
        else:
            self.sim.loop.on(None, self._time_out(socket))

    async def _bind(self, socket: str, order_id: str) -> None:
        """Follow an order, from the start or from where this socket is; again, if the engine did not take it."""
        seqs = [frame["seq"] for frame in self._gateway.frames[socket] if frame.get("orderId") == order_id]
        after = self.sim.rng.choice((0, max(seqs, default=0)))
        frame = {"orderId": order_id} | ({"afterSeq": after} if after else {})
        while not await self._gateway.say(socket, frame):
            await asyncio.sleep(AGAIN_SECONDS)

    async def _time_out(self, socket: str) -> None:
        await asyncio.sleep(SOCKET_SECONDS)
        if socket in self._gateway.open:
            await self._gateway.close(socket)
