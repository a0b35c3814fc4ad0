"""HTTP/1.1 on one connection: a request at a time, and the reply to it."""

import asyncio
from typing import NamedTuple, cast

import msgspec
from httptools import HttpParserError, HttpResponseParser

from chalicelib.domain.errors import NoReply

# Bytes of a reply, unless larger ones are asked for; those of AWS are a few thousand.
MOST_REPLY = 2**16
SUCCESS = 200
# What a reply can be to its decoder; one that is nested deeply is a RecursionError.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Reply(NamedTuple):
    """A reply to a request."""

    status: int
    body: bytes
    # The header that says when to come again; None where there is none.
    retry_after: str | None = None


class Connection(asyncio.Protocol):
    """Closes itself on whatever is no reply to its request."""

    def __init__(self, most_reply: int = MOST_REPLY) -> None:
        self._most_reply = most_reply
        self._parser = HttpResponseParser(self)
        self._taken = 0
        self._body = bytearray()
        self._retry_after: str | None = None
        self._reply: asyncio.Future[Reply] | None = None

    @property
    def usable(self) -> bool:
        """Whether it can take a request: it is open, and the last reply came whole."""
        return self._reply is None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Reply:
        """Send a request; returns its reply. Raises NoReply; cancelled, it ends the connection."""
        if self._transport.is_closing():
            raise NoReply("the connection was closed before a whole reply")
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
        if self._reply is None:
            # Nobody asked.
            self.close()
            return
        self._taken += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self._fail("what came back is no HTTP reply")
            self.close()
        if self._taken > self._most_reply:
            self._fail("the reply is too large")

    def connection_lost(self, error: Exception | None) -> None:
        """Part of asyncio's protocol."""
        self._fail(str(error or "the connection was closed before a whole reply"))

    def on_message_begin(self) -> None:
        """Part of the parser's protocol."""
        if self._reply is None or self._reply.done():
            # More than was asked for.
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Part of the parser's protocol."""
        if name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Part of the parser's protocol."""
        self._body += body

    def on_message_complete(self) -> None:
        """Part of the parser's protocol."""
        status = self._parser.get_status_code()
        if status < SUCCESS:
            self._fail("what came back is no reply to the request")
        elif self._reply is not None and not self._reply.done():
            self._reply.set_result(Reply(status, bytes(self._body), self._retry_after))
        self._taken, self._body, self._retry_after = 0, bytearray(), None
        if not self._parser.should_keep_alive():
            self.close()

    def _fail(self, why: str) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(NoReply(why))
