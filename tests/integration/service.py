"""A stand-in for a service of AWS: takes whatever requests come, and answers each with the bytes it is told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


def reply(body: bytes = b"", status: int = 200, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} Some\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


class Service:
    """`answers` are those to the next requests: bytes, b"" to hang up, None to say nothing. The last one stays."""

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self.answers = list(answers)
        self.received: list[Received] = []
        self.connections = 0
        self.ended = 0
        self.writers: list[asyncio.StreamWriter] = []
        self._more = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = dict(line.split(": ", 1) for line in head[1:-2])
                body = await reader.readexactly(int(headers["content-length"]))
                self.received.append(Received(head[0].split(" ")[1], headers, body))
                self._more.set()
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer == b"":
                    break
                writer.write(answer or b"")
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        writer.close()
        self.ended += 1
        self._more.set()

    async def has(self, *, requests: int = 0, ended: int = 0) -> None:
        """Wait until that many requests came, and that many connections ended."""
        async with asyncio.timeout(20):
            while len(self.received) < requests or self.ended < ended:
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def serving(*answers: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Service, str]]:
    """A service, and its port's URL without the scheme."""
    service = Service(answers)
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0, ssl=tls, backlog=512)
    try:
        yield service, f"localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in service.writers:
            writer.transport.abort()
