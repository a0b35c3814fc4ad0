"""HTTP/1.1 on one connection: a request at a time, and the reply to it."""

import asyncio
from typing import NamedTuple, cast

from chalicelib.domain.errors import NoReply

# Bytes of a reply; those of the services used are a few thousand.
MOST_REPLY = 2**16
VERSION = b"HTTP/1."
SUCCESS, NO_CONTENT, NOT_MODIFIED = 200, 204, 304


class Reply(NamedTuple):
    """A reply; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection(asyncio.Protocol):
    """Closes itself on whatever is no reply to its request."""

    def __init__(self) -> None:
        self._received = b""
        self._reply: asyncio.Future[Reply] | None = None

    @property
    def usable(self) -> bool:
        """Whether it can take a request: it is open, and the last reply came whole."""
        return self._reply is None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Reply:
        """Send a request; returns its reply. Raises NoReply; cancelled, it ends the connection."""
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._reply
        except BaseException:
            # Whatever cut it off, its reply may still come.
            self.close()
            raise
        finally:
            self._reply = None

    def close(self) -> None:
        """End it at once."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol."""
        self._received += data
        self._look(ended=False)

    def eof_received(self) -> None:
        """Part of asyncio's protocol."""
        self._look(ended=True)

    def connection_lost(self, error: Exception | None) -> None:
        """Part of asyncio's protocol."""
        self._fail(str(error or "the connection was closed before a reply"))

    def _look(self, *, ended: bool) -> None:
        if self._reply is None or self._reply.done():
            self.close()
            return
        try:
            found = parse(self._received, ended=ended)
        except ValueError:
            self._fail("what came back is no HTTP reply")
            return
        if found:
            reply, rest = found
            self._received = b""
            if rest or ended or reply.headers.get("connection", "").lower() == "close":
                self.close()
            self._reply.set_result(reply)
        elif len(self._received) > MOST_REPLY:
            self._fail("the reply is too large")

    def _fail(self, why: str) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(NoReply(why))


def parse(received: bytes, *, ended: bool) -> tuple[Reply, bytes] | None:
    """A reply and what came after it; None while it isn't whole. Raises ValueError where it is none."""
    if not received.startswith(VERSION[: len(received)]):
        raise ValueError(received)
    head, whole, rest = received.partition(b"\r\n\r\n")
    if not whole:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first[9:12])
    if status < SUCCESS:
        raise ValueError(first)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    # Of HTTP/1.0, which ends each connection unless it says otherwise.
    headers.setdefault("connection", "close" if first.startswith("HTTP/1.0") else "keep-alive")
    body = _body(status, headers, rest, ended=ended)
    return body and (Reply(status, headers, body[0]), body[1])


def _body(status: int, headers: dict[str, str], rest: bytes, *, ended: bool) -> tuple[bytes, bytes] | None:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _chunks(rest)
    if status in (NO_CONTENT, NOT_MODIFIED):
        return b"", rest
    if "content-length" not in headers:
        return (rest, b"") if ended else None
    length = int(headers["content-length"])
    if length < 0:
        raise ValueError(length)
    return (rest[:length], rest[length:]) if len(rest) >= length else None


def _chunks(rest: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        size, whole, rest = rest.partition(b"\r\n")
        if not whole:
            return None
        length = int(size.partition(b";")[0], 16)
        if length < 0:
            raise ValueError(size)
        if length == 0:
            # Trailers, which nobody reads, end with an empty line.
            end = (b"\r\n" + rest).find(b"\r\n\r\n")
            return (body, rest[end + 2 :]) if end >= 0 else None
        if len(rest) < length + 2:
            return None
        body, rest = body + rest[:length], rest[length + 2 :]
