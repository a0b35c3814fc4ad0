"""What stands in for SQS and the management API in benchmarks."""

import json
import socket
from collections.abc import Iterator

import pytest

from benchmarks.surroundings.aside import HOST
from benchmarks.surroundings.sink import Sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


def request(path: str, body: bytes, action: str = "") -> bytes:
    target = f"X-Amz-Target: AmazonSQS.{action}\r\n" if action else ""
    return f"POST {path} HTTP/1.1\r\n{target}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_each_request_of_a_kept_connection_is_answered_and_counted(sink: Sink) -> None:
    entries = json.dumps({"Entries": [{"Id": "7", "MessageBody": "\r\n\r\n"}]}).encode()
    sent = request("/", entries, "SendMessageBatch") + request("/api/@connections/a%3D", b"frame") + request("/x", b"")
    with socket.create_connection((HOST, sink.ports[0])) as connection, connection.makefile("rb") as replies:
        # Cut where no request ends.
        connection.sendall(sent[:60])
        connection.sendall(sent[60:])
        statuses, bodies = [], []
        for _ in range(3):
            statuses.append(int(replies.readline().split()[1]))
            headers = dict(line.split(b": ") for line in iter(replies.readline, b"\r\n"))
            bodies.append(replies.read(int(headers[b"Content-Length"])))
    assert statuses == [200, 200, 404]
    assert json.loads(bodies[0])["Successful"][0]["Id"] == "7"
    assert sink.counts() == {"SendMessageBatch": 1, "pushes": 1}
