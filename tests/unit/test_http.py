"""Replies are read as the standard library reads them, in whatever pieces they come."""

import contextlib
import io
from http.client import HTTPResponse
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.http import parse

BODY = st.binary(max_size=60)
STATUS = st.integers(200, 599).filter(lambda status: status not in (204, 304))


class Wire:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self.data)


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
            status = 204
            lines[0], body = "HTTP/1.1 204 No Content", b""
    return "\r\n".join([*lines, "", ""]).encode() + body


@given(data=replies(), after=st.binary(max_size=5))
def test_a_reply_is_what_the_standard_library_reads(data: bytes, after: bytes) -> None:
    theirs = HTTPResponse(cast("Any", Wire(data)), method="POST")
    theirs.begin()
    found = parse(data + after, ended=False)
    assert found is not None
    reply, rest = found
    assert (reply.status, reply.body, rest) == (theirs.status, theirs.read(), after)
    assert all(reply.headers[name.lower()] == value for name, value in theirs.getheaders())


@given(data=replies())
def test_a_part_of_a_reply_is_waited_for(data: bytes) -> None:
    assert all(parse(data[:length], ended=False) is None for length in range(len(data)))


def test_a_reply_without_a_length_ends_with_its_connection() -> None:
    data = b"HTTP/1.0 200 OK\r\n\r\nall of it"
    assert parse(data, ended=False) is None
    found = parse(data, ended=True)
    assert found is not None
    assert found[0].body == b"all of it"
    assert found[0].headers["connection"] == "close"


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 \r\n\r\n",
        b"HTTP/1.1 abc no\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    ],
)
def test_what_is_no_reply_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse(data, ended=False)


@given(data=st.binary(max_size=80), tail=st.binary(max_size=40), ended=st.booleans())
def test_garbage_is_an_error_or_waited_for_and_nothing_else(data: bytes, tail: bytes, ended: bool) -> None:
    for garbage in (data, b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n" + tail):
        with contextlib.suppress(ValueError):
            parse(garbage, ended=ended)
