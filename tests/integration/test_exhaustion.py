"""A Postgres that has no connection left: whoever needs one is refused in the usual form, and served afterwards."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from chalicelib import bootstrap
from chalicelib.handlers import rest
from local.migrate import migrate
from local.postgres import EPHEMERAL, Postgres
from tests.integration.rig import SOL_TO_USDC, Request, Rig, eventually

BODY = json.dumps(SOL_TO_USDC).encode()
# None is kept for superusers, as the engine is one here.
FEW = {"max_connections": "8", "superuser_reserved_connections": "0", "autovacuum": "off"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    with Postgres(tmp_path / "data", tmp_path / "log", EPHEMERAL | FEW) as server:
        yield server


@pytest.fixture
def database_url(server: Postgres) -> str:
    """A migrated database of a server with few connections."""
    url = server.ensure_database("orders")
    migrate(url)
    return url


@contextmanager
def exhausted(server: Postgres) -> Iterator[None]:
    """Somebody else has all connections."""
    with ExitStack() as taken:
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            while True:
                taken.enter_context(psycopg.connect(server.url()))
        yield


def refused(reply: rest.Reply) -> bool:
    said = json.loads(reply.body)
    return (reply.status, said.keys(), said["code"], reply.headers["Retry-After"].isdecimal()) == (
        503,
        {"error", "code"},
        "unavailable",
        True,
    )


def test_requests_are_refused_and_taken_again_by_the_same_container(rig: Rig, server: Postgres) -> None:
    container = bootstrap.engine()
    with exhausted(server):
        assert all(refused(rest.execute(Request(BODY))) for _ in range(5))
        assert refused(rest.orders(Request()))
        health = rest.health()
        assert (health.status, "Retry-After" in health.headers) == (503, True)
    accepted: list[str] = []

    def accepts() -> bool:
        reply = rest.execute(Request(BODY))
        accepted.extend([json.loads(reply.body)["orderId"]] if reply.status == 200 else [])
        return bool(accepted)

    eventually(accepts)
    assert bootstrap.engine() is container
    # A refused order was not stored.
    assert rig.sql("SELECT id::text FROM orders") == [(accepted[0],)]
    assert rig.finish(accepted[0])["status"] == "confirmed"


def test_a_batch_is_sent_again_and_no_crash(rig: Rig, server: Postgres) -> None:
    order_id = rig.post()
    rig.bodies("orders")
    bootstrap.close()
    eventually(rig.alone)
    with exhausted(server):
        assert rig.invoke(order_id) == []
        assert rig.messages("orders") == 1
    eventually(lambda: "status" in rig.show(order_id))
    assert (rig.row(order_id)["claim_token"], rig.row(order_id)["crashes"]) == (0, 0)
    assert rig.settle(order_id)["status"] == "confirmed"


def test_sockets_are_told_to_send_again(rig: Rig, server: Postgres) -> None:
    order_id = rig.post()
    socket = rig.connect()
    bootstrap.close()
    eventually(rig.alone)
    with exhausted(server):
        rig.send(socket, {"orderId": order_id})
        assert [frame["code"] for frame in rig.frames(socket)] == ["unavailable"]
        assert rig.socket_event("CONNECT", "another") == {"statusCode": 503}
    eventually(lambda: rig.socket_event("CONNECT", "another") == {"statusCode": 200})
    rig.send(socket, {"orderId": order_id})
    assert rig.frames(socket)[-1]["status"] == "pending"
