"""Replies are read as the standard library reads them, in whatever pieces they come."""

import asyncio
import io
from http.client import HTTPResponse
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import NoReply
from chalicelib.net.http import MOST_REPLY, Connection, Reply

BODY = st.binary(max_size=60)
STATUS = st.integers(200, 599).filter(lambda status: status not in (204, 304))
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Wire:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self.data)


class Transport:
    """Takes what is written, and notes that it was closed."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def opened() -> Connection:
    connection = Connection()
    connection.connection_made(cast("asyncio.BaseTransport", Transport()))
    return connection


async def exchange(connection: Connection, *pieces: bytes, ended: bool = False) -> Reply:
    """What a request gets whose reply comes in these pieces."""
    asking = asyncio.create_task(connection.exchange(b"request"))
    await asyncio.sleep(0)
    for piece in pieces:
        connection.data_received(piece)
    if ended:
        connection.connection_lost(None)
    await asyncio.sleep(0)
    if not asking.done():
        asking.cancel()
        raise TimeoutError
    return await asking


@st.composite
def replies(draw: Any) -> bytes:
    status, body = draw(STATUS), draw(BODY)
    lines = [f"HTTP/1.1 {status} Some Reason", "Date: now", "X-Empty:"]
    match draw(st.sampled_from(["length", "chunks", "none"])):
        case "length":
            lines.append(f"content-LENGTH:  {len(body)}")
        case "chunks":
            lines.append("Transfer-Encoding: Chunked")
            chunks = b""
            while body:
                size = draw(st.integers(1, len(body)))
                chunks += f"{size:X}{draw(st.sampled_from(['', ';a=b']))}\r\n".encode() + body[:size] + b"\r\n"
                body = body[size:]
            body = chunks + b"0\r\n" + draw(st.sampled_from([b"", b"A-Trailer: 1\r\n"])) + b"\r\n"
        case _:
            lines[0], body = "HTTP/1.1 204 No Content", b""
    return "\r\n".join([*lines, "", ""]).encode() + body


@given(data=replies(), cuts=st.lists(st.integers(0, 300), max_size=4))
async def test_a_reply_is_what_the_standard_library_reads_and_its_connection_is_kept(
    data: bytes, cuts: list[int]
) -> None:
    theirs = HTTPResponse(cast("Any", Wire(data)), method="POST")
    theirs.begin()
    status, body = theirs.status, theirs.read()
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    connection = opened()
    for _ in range(2):
        pieces = [data[start:end] for start, end in pairwise(places)]
        assert await exchange(connection, *pieces) == (status, body, None)
        assert connection.usable


@given(data=replies(), part=st.floats(0, 1, exclude_max=True))
async def test_a_part_of_a_reply_is_waited_for_and_no_reply_where_it_stays_one(data: bytes, part: float) -> None:
    given = data[: int(len(data) * part)]
    with pytest.raises(TimeoutError):
        await exchange(opened(), given)
    with pytest.raises(NoReply, match="closed before a whole reply"):
        await exchange(opened(), given, ended=True)


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc no\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * MOST_REPLY,
    ],
)
async def test_what_is_no_reply_is_an_error_and_ends_the_connection(data: bytes) -> None:
    connection = opened()
    with pytest.raises(NoReply):
        await exchange(connection, data)
    assert not connection.usable


@pytest.mark.parametrize("after", [b"x", b"HTTP/1.1 2", WHOLE])
async def test_more_than_was_asked_for_ends_the_connection(after: bytes) -> None:
    connection = opened()
    assert await exchange(connection, WHOLE + after) == (200, b"hi", None)
    assert not connection.usable
    idle = opened()
    assert await exchange(idle, WHOLE) == (200, b"hi", None)
    idle.data_received(after)
    assert not idle.usable


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: Close\r\n"])
async def test_a_reply_that_is_its_connections_last_ends_it(head: bytes) -> None:
    connection = opened()
    assert await exchange(connection, head + b"Content-Length: 2\r\n\r\nhi") == (200, b"hi", None)
    assert not connection.usable


@given(data=st.binary(max_size=80), tail=st.binary(max_size=40), ended=st.booleans())
async def test_garbage_is_an_error_or_waited_for_and_nothing_else(data: bytes, tail: bytes, ended: bool) -> None:
    for garbage in (data, b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n" + tail):
        try:
            await exchange(opened(), garbage, ended=ended)
        except (NoReply, TimeoutError):
            continue


async def test_a_connection_that_ended_takes_no_request() -> None:
    connection = opened()
    connection.close()
    connection.connection_lost(None)
    with pytest.raises(NoReply):
        await exchange(connection)


async def test_when_to_come_again_is_told_of_its_own_reply_only() -> None:
    connection = opened()
    busy = b"HTTP/1.1 429 Busy\r\nretry-AFTER: 7\r\nContent-Length: 0\r\n\r\n"
    assert await exchange(connection, busy) == (429, b"", "7")
    assert await exchange(connection, WHOLE) == (200, b"hi", None)


async def test_a_larger_reply_is_taken_where_it_is_asked_for() -> None:
    body = b"x" * MOST_REPLY
    whole = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    connection = Connection(2 * MOST_REPLY)
    connection.connection_made(cast("asyncio.BaseTransport", Transport()))
    assert (await exchange(connection, whole)).body == body
