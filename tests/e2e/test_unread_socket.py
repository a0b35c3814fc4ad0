"""A WebSocket whose client stops reading, through the front door: it delays nobody, and gets all once it reads."""

import array
import asyncio
import base64
import fcntl
import json
import os
import socket
import struct
import termios
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from local.stack import Endpoints
from tests.e2e.client import Client, one, until

# More than the buffers of all sockets on the way: 8 MB.
EVENTS = 400
PADDING = 20_000
PATIENCE = 60


class Mute:
    """A client that speaks WebSocket on a bare TCP socket, and reads when it is told to."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.socket()
        self._socket.settimeout(PATIENCE)
        # Before it connects, or it would offer more.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect((parts.hostname, parts.port))
        self._stream = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        headers = f"Host: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        self._socket.sendall(f"GET {parts.path} HTTP/1.1\r\n{headers}Sec-WebSocket-Key: {key}\r\n\r\n".encode())
        assert b" 101 " in self._stream.readline()
        while self._stream.readline().strip():
            pass

    def bind(self, order_id: str) -> None:
        """A text frame, masked by zeros."""
        text = json.dumps({"orderId": order_id}).encode()
        self._socket.sendall(struct.pack("!BB4x", 0x81, 0x80 | len(text)) + text)

    def unread(self) -> int:
        """Bytes that have arrived."""
        found = array.array("i", [0])
        fcntl.ioctl(self._socket, termios.FIONREAD, found)
        return found[0]

    def frame(self) -> dict[str, Any]:
        """The next frame."""
        _, length = self._stream.read(2)
        if length >= 126:
            length = int.from_bytes(self._stream.read(2 if length == 126 else 8))
        found: dict[str, Any] = json.loads(self._stream.read(length))
        return found

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@pytest.fixture
def mute(endpoints: Endpoints) -> Iterator[Mute]:
    client = Mute(endpoints.websocket_url)
    yield client
    client.close()


def lengthen(database: psycopg.Connection, order_id: str) -> None:
    """Gives an order that has ended a log of many large events."""
    database.execute("DELETE FROM order_events WHERE order_id = %s", (order_id,))
    database.execute(
        "INSERT INTO order_events SELECT id, seq, CASE WHEN seq < %(events)s THEN 'pending' ELSE status END,"
        " json_build_object('padding', repeat('x', %(padding)s)), last_update"
        " FROM orders, generate_series(1, %(events)s) AS seq WHERE id = %(id)s",
        {"events": EVENTS, "padding": PADDING, "id": order_id},
    )
    database.execute("UPDATE orders SET last_seq = %s WHERE id = %s", (EVENTS, order_id))


async def test_a_socket_that_never_reads_delays_nobody(
    client: Client, database: psycopg.Connection, mute: Mute
) -> None:
    long = await client.post()
    await client.finish(long)
    lengthen(database, long)
    mute.bind(long)
    # All is pushed, and on its way.
    await until(one(database, "SELECT last_seq = %s FROM subscriptions WHERE order_id = %s", EVENTS, long))
    shared, other = await client.post(), await client.post()
    mute.bind(shared)
    streams = await asyncio.gather(client.stream(shared), client.stream(other), client.stream(shared))
    assert [len(frames) for frames in streams] == [5, 5, 5]
    # Nothing but its own buffer has arrived until here.
    assert mute.unread() < EVENTS * PADDING / 10
    got = await asyncio.to_thread(read_all, mute, {long: EVENTS, shared: 5})
    assert got[long] == list(range(1, EVENTS + 1))
    assert got[shared] == [1, 2, 3, 4, 5]


def read_all(mute: Mute, wanted: dict[str, int]) -> dict[str, list[int]]:
    """The seqs of each order's frames, until all have come."""
    got: dict[str, list[int]] = defaultdict(list)
    while any(len(got[order_id]) < count for order_id, count in wanted.items()):
        frame = mute.frame()
        got[frame["orderId"]].append(frame["seq"])
    return got
