"""The WebSocket gateway and the clients on it."""

import asyncio
import json
from collections import defaultdict
from typing import Any

from chalicelib.domain.errors import ConnectionGone, PushError
from chalicelib.handlers import websocket
from tests.simulation.faults import Kind
from tests.simulation.functions import Lambda
from tests.simulation.sim import Sim
from tests.simulation.streams import Delivery, Streams

# What a push takes: on a good day, and on others.
USUAL_SECONDS = (0.005, 0.05, 0.2, 0.3)


class Gateway:
    """Sockets between clients and functions, and the way back."""

    def __init__(self, sim: Sim, machine: Lambda, streams: Streams) -> None:
        self.sim = sim
        self.open: set[str] = set()
        self.frames: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._machine = machine
        self._streams = streams
        self._throttled_until: dict[str, float] = {}
        self._count = 0
        self._usual_seconds = sim.rng.choice(USUAL_SECONDS)

    async def push(self, connection_id: str, data: bytes, seconds: float) -> None:
        """One frame for a client, as the engine sends it."""
        await self.sim.faults.crossing()
        await self.sim.faults.trip(self._usual_seconds)
        if connection_id not in self.open:
            raise ConnectionGone(f"socket {connection_id} is gone")
        kind = self.sim.faults.draw(Kind.THROTTLED, Kind.PUSH_SLOW, Kind.PUSH_LOST, where=connection_id)
        if kind == Kind.THROTTLED:
            self._throttled_until[connection_id] = self.sim.loop.time() + self.sim.faults.seconds(kind)
        if self.sim.faults.active and self.sim.loop.time() < self._throttled_until.get(connection_id, 0.0):
            raise PushError("push: status 429")
        delivery = self._streams.pushing(connection_id, data)
        if kind == Kind.PUSH_SLOW:
            slow = self.sim.faults.seconds(kind)
            if slow > seconds:
                # It gets there all the same, after the caller has given up.
                self.sim.loop.on(None, self._later(connection_id, data, delivery, slow))
                await asyncio.sleep(seconds)
                if delivery is not None:
                    delivery.unsure = True
                raise PushError("push: timed out")
            await asyncio.sleep(slow)
        self._deliver(connection_id, data, delivery)
        if kind == Kind.PUSH_LOST:
            if delivery is not None:
                delivery.unsure = True
            raise PushError("push: the connection was closed")
        await self.sim.faults.crossing()

    async def connect(self, query: dict[str, str] | None) -> str | None:
        """A client opens a socket; None where it was refused."""
        self._count += 1
        connection_id = f"socket-{self._count}"
        reply = await self._event("CONNECT", connection_id, queryStringParameters=query)
        if reply is None or reply["statusCode"] != 200:
            return None
        await self.sim.faults.trip(0.01)
        self.open.add(connection_id)
        return connection_id

    async def say(self, connection_id: str, frame: dict[str, Any]) -> bool:
        """A client sends a frame; whether the engine handled it."""
        if self.sim.faults.draw(Kind.GATEWAY_LOST):
            return False
        reply = await self._event("MESSAGE", connection_id, body=json.dumps(frame))
        return reply is not None and reply["statusCode"] == 200

    async def close(self, connection_id: str) -> None:
        """A client goes away."""
        self.open.discard(connection_id)
        self.sim.trace.add("client closed", connection_id)
        if not self.sim.faults.draw(Kind.DISCONNECT_LOST):
            await self.sim.faults.trip(0.05)
            await self._event("DISCONNECT", connection_id)

    async def _event(self, kind: str, connection_id: str, **more: Any) -> dict[str, Any] | None:
        event = {"requestContext": {"connectionId": connection_id, "eventType": kind}, **more}
        self.sim.trace.add("socket event", kind, connection_id, more)
        returned, reply = await self._machine.invoke("websocket", lambda _: websocket.handle(event))
        found: dict[str, Any] | None = reply if returned else None
        return found

    async def _later(self, connection_id: str, data: bytes, delivery: Delivery | None, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._deliver(connection_id, data, delivery)

    def _deliver(self, connection_id: str, data: bytes, delivery: Delivery | None) -> None:
        if connection_id in self.open:
            self.sim.trace.add("frame", connection_id, data.decode())
            self.frames[connection_id].append(json.loads(data))
            if delivery is not None:
                self._streams.delivered(delivery)
