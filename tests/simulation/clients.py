"""Those who place orders and follow them."""

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib.domain.lifecycle import Status
from chalicelib.handlers import rest
from tests.simulation.clockwork import EPOCH
from tests.simulation.faults import Kind
from tests.simulation.functions import Lambda
from tests.simulation.sim import Sim
from tests.simulation.sockets import Gateway
from tests.simulation.wishes import Wish, price_near, soon

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
# Of those whose orders may rest, so many change them, more than once perhaps.
CHANGES = 0.6
CANCELS = 0.5
# Of the changes, so many race with a transaction.
RACES = 0.5
LOOK_SECONDS, MOST_LOOKS = 0.5, 120
AMENDABLE = ("limitPrice", "triggerPrice", "minPrice", "maxPrice")


class Request:
    """A request as the framework hands it over."""

    def __init__(self, body: dict[str, Any], **headers: str) -> None:
        self.raw_body = json.dumps(body).encode()
        self.headers: Mapping[str, str] = {"content-type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        self.query_params: Mapping[str, str] | None = None


class Clients:
    """Traders and their sockets."""

    def __init__(self, sim: Sim, machine: Lambda, gateway: Gateway, wish: Wish, *, fickle: bool) -> None:
        self.sim = sim
        # What the engine has answered 200 to.
        self.accepted: list[str] = []
        # Posts without a key: each may have become an order.
        self.without_key = 0
        self.keys: list[str] = []
        # Those that the engine said are cancelled, those that it will cancel if it can, and the events of amendments.
        self.cancelled: set[str] = set()
        self.requested: set[str] = set()
        self.amended: set[tuple[str, int]] = set()
        self._fickle = fickle
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
        order = self._wish(self.sim.rng, self._now())
        key = None if self.sim.rng.random() < WITHOUT_KEY else f"key-{len(self.keys)}"
        if key is not None:
            self.keys.append(key)
            if self.sim.rng.random() < IMPATIENT:
                self.sim.loop.on(None, self.post(order, key))
        while (order_id := await self.post(order, key)) is None:
            await asyncio.sleep(AGAIN_SECONDS)
        if not order_id:
            return
        minding = self.sim.loop.on(None, self._mind(order_id, order)) if self._fickle else None
        await asyncio.gather(*(self._follow(order_id) for _ in range(self.sim.rng.choice((0, 1, 1, 2)))))
        if minding is not None:
            await minding

    async def post(self, order: dict[str, Any], key: str | None) -> str | None:
        """Place an order; None where the reply says try again, or never came, "" where it says that it is too late."""
        self.without_key += key is None
        request = Request(order) if key is None else Request(order, idempotency_key=key)
        reply = await self._ask(lambda: rest.execute(request))
        if reply is None or reply.status == 503:
            return None
        if self._fickle and reply.status == 400:
            # The price is past its trigger by now, or the time over.
            assert json.loads(reply.body)["code"] in ("already_triggered", "invalid_expires_at"), reply
            return ""
        assert reply.status == 200, reply
        order_id = str(json.loads(reply.body)["orderId"])
        self.accepted.append(order_id)
        self.sim.trace.add("accepted", order_id)
        return None if self.sim.faults.draw(Kind.REPLY_LOST) else order_id

    async def _mind(self, order_id: str, order: Mapping[str, Any]) -> None:
        """A trader that changes its mind about an order."""
        rng = self.sim.rng
        while rng.random() < CHANGES:
            if rng.random() < RACES:
                await self._see_submitted(order_id)
            await asyncio.sleep(rng.choice((rng.uniform(0, 4), rng.uniform(0, 60))))
            if rng.random() < CANCELS:
                while not await self._cancel(order_id):
                    await asyncio.sleep(AGAIN_SECONDS)
            else:
                await self._amend(order_id, order)

    async def _see_submitted(self, order_id: str) -> None:
        """Wait for a while until a frame says that an order was submitted."""
        for _ in range(MOST_LOOKS):
            frames = itertools.chain(*self._gateway.frames.values())
            if any((frame.get("orderId"), frame.get("status")) == (order_id, Status.SUBMITTED) for frame in frames):
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _cancel(self, order_id: str) -> bool:
        """Cancel an order; False where nobody knows what came of it."""
        reply = await self._ask(lambda: rest.cancel(Request({}), order_id))
        if reply is None or reply.status == 503:
            return False
        assert reply.status in (200, 202, 409), reply
        self.sim.trace.add("cancel", order_id, reply.status)
        if reply.status == 200:
            self.cancelled.add(order_id)
        elif reply.status == 202:
            self.requested.add(order_id)
        return True

    async def _amend(self, order_id: str, order: Mapping[str, Any]) -> None:
        """Give an order another price or another end, if it rests as the trader saw it."""
        rng = self.sim.rng
        changes = {name: price_near(rng, order["tokenOut"]) for name in AMENDABLE if name in order}
        changes |= {"expiresAt": soon(rng, self._now())} if "expiresAt" in order else {}
        seen = await self._ask(lambda: rest.order(Request({}), order_id))
        if not changes or seen is None or seen.status != 200:
            return
        await asyncio.sleep(rng.choice((0.0, rng.uniform(0, 2))))
        seq = json.loads(seen.body)["seq"]
        reply = await self._ask(lambda: rest.amend(Request(changes, if_match=str(seq)), order_id))
        if reply is not None and reply.status == 200:
            self.amended.add((order_id, json.loads(reply.body)["seq"]))
        assert reply is None or reply.status in (200, 400, 409, 503), reply

    async def _ask(self, handler: Callable[[], rest.Reply]) -> rest.Reply | None:
        """A request to the API; None where no reply came."""
        returned, reply = await self._machine.invoke("api", lambda _: handler())
        return reply if returned else None

    def _now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.sim.loop.time())

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
