"""Stands in for SQS and for the management API of sockets: takes whatever it is sent, at once, and notes it.

It speaks the JSON protocol of SQS and has a process of its own, so that what it costs is not counted as the engine's.
"""

import asyncio
import re
import ssl
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import cast
from urllib.parse import unquote_to_bytes
from urllib.request import urlopen

import msgspec

from benchmarks.surroundings import sqs
from benchmarks.surroundings.aside import HOST, Aside

END_OF_HEADERS = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TARGET = re.compile(rb"\r\nx-amz-target: *AmazonSQS\.(\w+)", re.IGNORECASE)
COUNTS_PATH = "/counts"
FRAMES_PATH = "/frames"
# Frames that nobody has asked for yet.
MOST_FRAMES = 50_000
PUSHES = "pushes"


class Frame(msgspec.Struct, frozen=True, rename="camel"):
    """What a client reads of a frame."""

    order_id: str
    status: str
    seq: int


class Pushed(msgspec.Struct, frozen=True):
    """A frame's bytes as they came to a socket, and when, by CLOCK_MONOTONIC: all processes of a machine share it."""

    connection_id: str
    body: msgspec.Raw
    at: float

    def frame(self) -> Frame:
        """What the bytes say."""
        return msgspec.json.decode(self.body, type=Frame)


class Sink(Aside):
    """The process; with a certificate and its key it speaks TLS."""

    def __init__(self, *files: Path) -> None:
        super().__init__("benchmarks.surroundings.sink", *map(str, files))
        self._scheme = "https" if files else "http"

    @property
    def endpoint(self) -> str:
        """Its URL, for SQS and as the management API."""
        return f"{self._scheme}://{HOST}:{self.ports[0]}"

    def queue_url(self, name: str) -> str:
        """The URL of a queue; every name is one."""
        return f"{self.endpoint}/000000000000/{name}"

    def counts(self) -> dict[str, int]:
        """Requests so far, by action of SQS and `pushes`."""
        return msgspec.json.decode(self._ask(COUNTS_PATH), type=dict[str, int])

    def frames(self) -> list[Pushed]:
        """The frames since this was last asked, in the order in which they came; at most MOST_FRAMES."""
        return msgspec.json.decode(self._ask(FRAMES_PATH), type=list[Pushed])

    def _ask(self, path: str) -> bytes:
        with urlopen(f"http://{HOST}:{self.ports[1]}{path}") as reply:
            said: bytes = reply.read()
        return said


class Notes:
    """What the process was sent."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._frames: deque[tuple[bytes, bytes, float]] = deque(maxlen=MOST_FRAMES)

    def pushed(self, path: bytes, body: bytes) -> None:
        """A frame came."""
        self.counts[PUSHES] += 1
        self._frames.append((path, body, time.monotonic()))

    def taken(self) -> bytes:
        """The frames since the last call, as JSON."""
        frames = [
            Pushed(unquote_to_bytes(path.rpartition(b"/")[2]).decode(), msgspec.Raw(body), at)
            for path, body, at in self._frames
        ]
        self._frames.clear()
        return msgspec.json.encode(frames)


class Connection(asyncio.Protocol):
    """One kept connection; answers requests in the order in which they come."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._transport: asyncio.Transport
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        self._received += data
        while (end := self._received.find(END_OF_HEADERS)) >= 0:
            # The last line of the head needs its line end no more than the first its beginning.
            head, start = bytes(self._received[:end]), end + len(END_OF_HEADERS)
            length = LENGTH.search(head)
            after = start + (int(length[1]) if length else 0)
            if len(self._received) < after:
                return
            self._transport.write(self._answer(head, bytes(self._received[start:after])))
            del self._received[:after]

    def _answer(self, head: bytes, body: bytes) -> bytes:
        target, path = TARGET.search(head), head.split(b" ", 2)[1]
        if target:
            action = target[1].decode()
            self._notes.counts[action] += 1
            return _reply(200, msgspec.json.encode(sqs.reply(action, msgspec.json.decode(body))))
        if b"/@connections/" in path:
            self._notes.pushed(path, body)
            return _reply(200, b"")
        if path == COUNTS_PATH.encode():
            return _reply(200, msgspec.json.encode(self._notes.counts))
        if path == FRAMES_PATH.encode():
            return _reply(200, self._notes.taken())
        return _reply(404, b"{}")


def _reply(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(*files: str) -> None:
    """Prints the port, and the one without TLS, and serves both until standard input ends."""
    notes = Notes()
    context = None
    if files:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*files)
    loop = asyncio.get_running_loop()
    given = await loop.create_server(lambda: Connection(notes), HOST, 0, ssl=context)
    plain = await loop.create_server(lambda: Connection(notes), HOST, 0)
    async with given, plain:
        print(*(server.sockets[0].getsockname()[1] for server in (given, plain)), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
