"""What clients ask of stored orders, by the engine's own handlers in this process; each answer is timed."""

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from benchmarks.processes.worker import NullSockets
from benchmarks.surroundings.examples import NO_ORDER, Request, socket_event
from chalicelib import bootstrap, settings
from chalicelib.bootstrap import Engine
from chalicelib.handlers import rest, websocket

OK = 200
NOT_FOUND = 404


class Reader:
    """A container of the REST and socket functions, whose sockets take every frame at no cost."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        given = settings.read(environment)
        self._engine = Engine(given, msgspec.structs.replace(bootstrap.real(given), pusher=NullSockets()))
        self._sockets = 0
        self.asks: dict[str, Callable[[str], float]] = {
            "list": lambda _: self._list({}),
            "list, confirmed": lambda _: self._list({"status": "confirmed"}),
            "list, pending": lambda _: self._list({"status": "pending"}),
            "list, from an old order on": lambda order_id: self._list({"status": "confirmed", "cursor": order_id}),
            "GET an old order": self._get,
            "bind an old order": self._bind,
        }

    def install(self) -> None:
        """The handlers use this container from now on; it is connected, and of all statements has planned GET's."""
        bootstrap.install(self._engine)
        # The first may meet a connection that a server ended meanwhile.
        if {rest.order(Request(), NO_ORDER).status for _ in range(2)} != {NOT_FOUND}:
            raise RuntimeError("the database does not answer")

    def close(self) -> None:
        """End the container."""
        bootstrap.install(None)
        self._engine.close()

    def _list(self, query: dict[str, str]) -> float:
        return _timed(lambda: rest.orders(Request(query_params=query)).status, OK)

    def _get(self, order_id: str) -> float:
        return _timed(lambda: rest.order(Request(), order_id).status, OK)

    def _bind(self, order_id: str) -> float:
        self._sockets += 1
        connection_id = f"{os.getpid()}-{self._sockets}="
        _socket_event("CONNECT", connection_id)
        bind = json.dumps({"orderId": order_id})
        took = _timed(lambda: _socket_event("MESSAGE", connection_id, bind), OK)
        _socket_event("DISCONNECT", connection_id)
        return took


def _socket_event(kind: str, connection_id: str, body: str = "") -> int:
    status: int = websocket.handle(socket_event(kind, connection_id, body))["statusCode"]
    return status


def _timed(work: Callable[[], Any], expected: int) -> float:
    """Seconds until it answered, which must be with the status that is expected."""
    started = time.perf_counter()
    status = work()
    took = time.perf_counter() - started
    if status != expected:
        raise RuntimeError(f"answered with {status}, not with {expected}")
    return took
