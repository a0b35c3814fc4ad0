"""What accepting an order costs: one statement and one request, counted where they leave the engine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request as Forwarded
from urllib.request import urlopen

import pytest

from chalicelib.handlers import rest
from tests.integration.asked import Asked, install
from tests.integration.rig import SOL_TO_USDC, Request, Rig


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
def asked(front: Front) -> Asked:
    """What a container asks that has accepted an order before."""
    asked = install()
    assert post(key="warm") == post(key="warm")
    front.actions.clear()
    asked.taken()
    return asked


def post(**headers: Any) -> str:
    reply = rest.execute(Request(json.dumps(SOL_TO_USDC).encode(), **headers))
    assert reply.status == 200, reply.body
    order_id: str = json.loads(reply.body)["orderId"]
    return order_id


@pytest.mark.parametrize(("key", "statement"), [(None, "accept"), ("k1", "accept_keyed")])
def test_a_post_is_one_statement_and_one_request(
    rig: Rig, front: Front, asked: Asked, key: str | None, statement: str
) -> None:
    order_id = post(key=key)
    assert asked.taken() == ([statement], [])
    assert front.actions == ["SendMessageBatch"]
    assert rig.bodies("orders").count(order_id) == 1


def test_a_post_that_is_repeated_is_one_statement_and_one_request_again(front: Front, asked: Asked) -> None:
    assert post(key="k1") == post(key="k1")
    assert asked.taken() == (["accept_keyed"] * 2, [])
    assert front.actions == ["SendMessageBatch"] * 2


def test_a_post_that_is_refused_is_neither(front: Front, asked: Asked) -> None:
    assert rest.execute(Request(b'{"tokenIn": "SOL"}')).status == 400
    assert (asked.taken(), front.actions) == (([], []), [])
