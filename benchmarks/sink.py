"""Stands in for SQS and for the management API of sockets: takes whatever it is sent, at once, and counts it.

It speaks the JSON protocol of SQS and has a process of its own, so that what it costs is not counted as the engine's.
"""

import asyncio
import re
import ssl
import sys
from collections import Counter
from pathlib import Path
from typing import Any, cast
from urllib.request import urlopen

import msgspec

from benchmarks.aside import HOST, Aside

END_OF_HEADERS = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TARGET = re.compile(rb"\r\nx-amz-target: *AmazonSQS\.(\w+)", re.IGNORECASE)
COUNTS_PATH = "/counts"
PUSHES = "pushes"


class Sink(Aside):
    """The process; with a certificate and its key it speaks TLS."""

    def __init__(self, *files: Path) -> None:
        super().__init__("benchmarks.sink", *map(str, files))
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
        with urlopen(f"http://{HOST}:{self.ports[1]}{COUNTS_PATH}") as reply:
            counts: dict[str, int] = msgspec.json.decode(reply.read())
        return counts


class Connection(asyncio.Protocol):
    """One kept connection; answers requests in the order in which they come."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
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
            self._counts[action] += 1
            return _reply(200, _sqs(action, msgspec.json.decode(body)))
        if b"/@connections/" in path:
            self._counts[PUSHES] += 1
            return _reply(200, b"")
        if path == COUNTS_PATH.encode():
            return _reply(200, msgspec.json.encode(self._counts))
        return _reply(404, b"{}")


def _sqs(action: str, given: dict[str, Any]) -> bytes:
    if action.endswith("Batch"):
        taken = [{"Id": entry["Id"], "MessageId": entry["Id"], "MD5OfMessageBody": ""} for entry in given["Entries"]]
        return msgspec.json.encode({"Successful": taken, "Failed": []})
    if action == "GetQueueAttributes":
        return msgspec.json.encode({"Attributes": dict.fromkeys(given["AttributeNames"], "0")})
    return b'{"MessageId": "1"}'


def _reply(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(*files: str) -> None:
    """Prints the port, and the one without TLS, and serves both until standard input ends."""
    counts: Counter[str] = Counter()
    context = None
    if files:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*files)
    loop = asyncio.get_running_loop()
    given = await loop.create_server(lambda: Connection(counts), HOST, 0, ssl=context)
    plain = await loop.create_server(lambda: Connection(counts), HOST, 0)
    async with given, plain:
        print(*(server.sockets[0].getsockname()[1] for server in (given, plain)), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
