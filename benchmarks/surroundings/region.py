"""Plays what lies around a container on AWS: SQS, the gateway's management API, the way to Postgres."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import msgspec
from aiohttp import web

from benchmarks.surroundings import sqs

QUEUES = ("orders", "deliveries", "dead-letters")
# A billed request carries at most so many bytes; a billed WebSocket message half of it.
SQS_CHUNK = 64 * 1024
MESSAGE_CHUNK = 32 * 1024


class Distances(msgspec.Struct, frozen=True):
    """Seconds that an answer takes beside the work for it: assumed, as within one region."""

    database: float = 0.001
    queue: float = 0.010
    push: float = 0.010


class Arrived(msgspec.Struct, frozen=True):
    """An order's message that may be received, and since when on the loop's clock."""

    body: str
    at: float


class Region:
    """Answers containers on 127.0.0.1, counts what AWS bills, and hands out messages when their delay is over."""

    def __init__(self, database_url: str, distances: Distances) -> None:
        self._server = Path(parse_qs(urlsplit(database_url).query)["host"][0]) / ".s.PGSQL.5432"
        self._database = urlsplit(database_url).path
        self._distances = distances
        # Billed units by name: sqs, pushes; bytes of the pushes.
        self.counts: Counter[str] = Counter()
        self.orders: asyncio.Queue[Arrived] = asyncio.Queue()
        self._peers: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Future[None]] = set()

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/", self._sqs)
        application.router.add_post("/{queue}", self._sqs)
        application.router.add_post("/api/@connections/{connection_id}", self._push)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._way = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._way.close()
        for peer in self._peers:
            peer.close()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        await self._runner.cleanup()

    def environment(self) -> dict[str, str]:
        """What a container must be told of its surroundings."""
        port = self._way.sockets[0].getsockname()[1]
        queues = {f"{name.replace('-', '_').upper()}_QUEUE": f"{self.url}/{name}" for name in QUEUES}
        return {
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{port}{self._database}",
            "AWS_ENDPOINT_URL": self.url,
            "PUSH_ENDPOINT": f"{self.url}/api",
            **queues,
        }

    async def _sqs(self, request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].partition(".")[2]
        body = await request.read()
        given = json.loads(body)
        self.counts["sqs"] += -(-len(body) // SQS_CHUNK)
        await asyncio.sleep(self._distances.queue)
        # Nobody receives deliveries and dead letters.
        if operation == "SendMessageBatch" and given["QueueUrl"].endswith("/orders"):
            self._take(given["Entries"])
        return web.json_response(sqs.reply(operation, given), content_type="application/x-amz-json-1.0")

    def _take(self, entries: list[dict[str, Any]]) -> None:
        loop = asyncio.get_running_loop()
        for entry in entries:
            due = loop.time() + entry.get("DelaySeconds", 0)
            loop.call_at(due, self.orders.put_nowait, Arrived(entry["MessageBody"], due))

    async def _push(self, request: web.Request) -> web.Response:
        size = len(await request.read())
        self.counts["pushes"] += -(-size // MESSAGE_CHUNK)
        self.counts["pushed_bytes"] += size
        await asyncio.sleep(self._distances.push)
        return web.Response()

    def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrying = asyncio.ensure_future(self._carried(reader, writer))
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carrying.discard)

    async def _carried(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry a connection to Postgres; what is sent there arrives late, so that a round trip takes longer."""
        from_server, to_server = await asyncio.open_unix_connection(str(self._server))
        self._peers |= {writer, to_server}
        loop, delay = asyncio.get_running_loop(), self._distances.database

        async def ask() -> None:
            async for data in _received(reader):
                loop.call_later(delay, to_server.write, data)
            loop.call_later(delay, to_server.close)

        async def answer() -> None:
            async for data in _received(from_server):
                writer.write(data)
            writer.close()

        await asyncio.gather(ask(), answer())
        self._peers -= {writer, to_server}


async def _received(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """What a peer sends until it ends the connection, in whatever way."""
    try:
        while data := await reader.read(65536):
            yield data
    except ConnectionError:
        return
