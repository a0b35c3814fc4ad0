"""What accepting an order costs: one statement and one request, counted where they leave the engine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request as Forwarded
from urllib.request import urlopen

import msgspec
import pytest
from psycopg import AsyncConnection

from chalicelib import bootstrap, settings
from chalicelib.bootstrap import Engine, real
from chalicelib.handlers import rest
from tests.integration.rig import SOL_TO_USDC, Request, Rig


class Counted(AsyncConnection[Any]):
    """A connection that notes each statement it is given."""

    statements: list[str]

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        connection = await super().connect(conninfo, **kwargs)
        connection.statements = cls.statements
        return connection

    async def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        self.statements.append(query)
        return await super().execute(query, *args, **kwargs)


class Front:
    """Stands before SQS and notes the action of each request."""

    def __init__(self, behind: str) -> None:
        self.actions: list[str] = []
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                front.actions.append(self.headers["X-Amz-Target"].partition(".")[2])
                with urlopen(Forwarded(behind + self.path, body, dict(self.headers))) as answer:
                    said = answer.read()
                self.send_response(200)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def front(rig: Rig, aws_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    front = Front(aws_endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{front.address}")
    monkeypatch.setenv("ORDERS_QUEUE", urlunsplit(urlsplit(rig.queues["orders"])._replace(netloc=front.address)))
    yield front
    front.close()


@pytest.fixture
def statements(front: Front, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements of a container that the handlers use, which has accepted an order before."""
    monkeypatch.setattr(Counted, "statements", [], raising=False)
    given = settings.read()
    bootstrap.install(Engine(given, msgspec.structs.replace(real(given), connect=Counted.connect)))
    assert post(key="warm") == post(key="warm")
    front.actions.clear()
    Counted.statements.clear()
    return Counted.statements


def post(**headers: Any) -> str:
    reply = rest.execute(Request(json.dumps(SOL_TO_USDC).encode(), **headers))
    assert reply.status == 200, reply.body
    order_id: str = json.loads(reply.body)["orderId"]
    return order_id


@pytest.mark.parametrize("key", [None, "k1"])
def test_a_post_is_one_statement_and_one_request(
    rig: Rig, front: Front, statements: list[str], key: str | None
) -> None:
    order_id = post(key=key)
    assert len(statements) == 1
    assert front.actions == ["SendMessageBatch"]
    assert order_id in rig.bodies("orders")


def test_a_post_that_is_repeated_is_one_statement_and_one_request_again(front: Front, statements: list[str]) -> None:
    assert post(key="k1") == post(key="k1")
    assert len(statements) == 2
    assert front.actions == ["SendMessageBatch"] * 2


def test_a_post_that_is_refused_is_neither(rig: Rig, front: Front, statements: list[str]) -> None:
    assert rest.execute(Request(b'{"tokenIn": "SOL"}')).status == 400
    assert (statements, front.actions) == ([], [])
