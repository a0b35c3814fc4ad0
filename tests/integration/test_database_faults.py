"""A database that goes away, falls silent, or loses replies: nothing is lost, and every request is answered."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from chalicelib import bootstrap
from chalicelib.handlers import rest
from chalicelib.store import database as module
from chalicelib.store import orders
from tests.integration.faults import break_statements
from tests.integration.proxy import Proxy
from tests.integration.rig import SOL_TO_USDC, Request, Rig, eventually

BODY = json.dumps(SOL_TO_USDC).encode()


def end_sessions(rig: Rig) -> None:
    """Have the server close the engine's connections, as it does when it restarts or a pooler when they idle."""
    rig.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    eventually(rig.alone)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent peer is given up sooner, for the sake of the test's time only."""
    defaults = module.Database.fetch.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "seconds", 0.5)
    monkeypatch.setattr(orders, "ASK_SECONDS", 0.5)
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.5)
    monkeypatch.setattr(module, "CONNECT_SECONDS", 2)


@pytest.fixture
def proxy(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The engine's database, behind a peer that can fall silent."""
    parts = urlsplit(rig.database_url)
    proxy = Proxy(Path(parse_qs(parts.query)["host"][0]) / ".s.PGSQL.5432")
    monkeypatch.setenv("DATABASE_URL", proxy.url(parts.path.strip("/")))
    yield proxy
    proxy.close()


@pytest.mark.parametrize("idle", [False, True], ids=["just used", "idle"])
def test_requests_go_through_after_the_server_closed_the_connection(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, idle: bool
) -> None:
    if idle:
        monkeypatch.setattr(module, "IDLE_SECONDS", -1)
    order_id = rig.post()
    socket = rig.bind(order_id)
    end_sessions(rig)
    assert rig.row(rig.post())["status"] == "pending"
    end_sessions(rig)
    assert rig.show(order_id)["status"] == "pending"
    end_sessions(rig)
    assert json.loads(rest.orders(Request()).body)["orders"]
    end_sessions(rig)
    assert rest.health().status == 200
    end_sessions(rig)
    rig.send(socket, {"orderId": order_id})
    end_sessions(rig)
    assert rig.finish(order_id)["status"] == "confirmed"
    assert [frame["seq"] for frame in rig.frames(socket)] == [1, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "faults",
    [["lost before"], ["lost after"], ["lost before", "lost after"], ["lost after", "lost before"]],
    ids=", then ".join,
)
def test_a_post_whose_reply_is_lost_never_stores_two_orders(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, faults: list[str]
) -> None:
    break_statements(monkeypatch, *faults)
    reply = rest.execute(Request(BODY))
    answer = json.loads(reply.body)
    stored = rig.sql("SELECT id::text, last_seq FROM orders")
    assert stored in ([], [(answer["orderId"], 1)])
    assert len(rig.sql("SELECT 1 FROM order_events")) == len(stored)
    if len(faults) == 1:
        assert reply.status == 200
    else:
        assert (reply.status, answer["code"]) == (503, "outcome_unknown")
    if reply.status == 200:
        assert stored
        assert rig.finish(answer["orderId"])["status"] == "confirmed"


def test_a_post_that_cannot_be_asked_about_says_so_with_its_id(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.post()
    break_statements(monkeypatch, "lost after", "unreachable")
    reply = rest.execute(Request(BODY))
    answer = json.loads(reply.body)
    assert (reply.status, answer["code"]) == (503, "outcome_unknown")
    # Nobody sent a message for it, so the sweep does.
    monkeypatch.undo()
    assert rig.row(answer["orderId"])["status"] == "pending"


def test_an_order_in_doubt_that_was_stored_is_found_by_the_sweep(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap.engine()
    with monkeypatch.context() as patched:
        break_statements(patched, "lost after", "unreachable")
        order_id = json.loads(rest.execute(Request(BODY)).body)["orderId"]
    assert rig.messages("orders") == 0
    rig.sweep()
    assert rig.messages("orders") == 0
    rig.advance(61)
    rig.sweep()
    assert rig.finish(order_id)["status"] == "confirmed"


def test_an_unreachable_database_refuses_a_post_and_stores_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    break_statements(monkeypatch, "unreachable")
    reply = rest.execute(Request(BODY))
    assert (reply.status, json.loads(reply.body)["code"]) == (503, "unavailable")
    assert reply.headers["Retry-After"]
    assert rig.sql("SELECT 1 FROM orders") == []


def test_a_database_that_is_not_there_is_answered_with_503(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    for reply in (
        rest.execute(Request(BODY)),
        rest.order(Request(), "0190f3c4-8a1e-7b2c-9d3e-4f5061728394"),
        rest.orders(Request()),
    ):
        assert (reply.status, json.loads(reply.body)["code"]) == (503, "unavailable")
    health = rest.health()
    assert health.status == 503
    assert json.loads(health.body)["database"]["reached"] is False
    assert json.loads(health.body)["queue"]["reached"] is True


@pytest.mark.usefixtures("quick")
def test_a_peer_that_takes_bytes_and_never_answers_is_given_up(rig: Rig, proxy: Proxy) -> None:
    order_id = rig.post()
    proxy.silent = True
    reply = rest.execute(Request(BODY))
    answer = json.loads(reply.body)
    assert (reply.status, answer["code"]) == (503, "outcome_unknown")
    assert answer["orderId"] != order_id
    assert rest.health().status == 503
    eventually(lambda: len(proxy.ended) == proxy.accepted)
    proxy.silent = False
    eventually(lambda: rest.health().status == 200)
    assert rig.finish(order_id)["status"] == "confirmed"


@pytest.mark.usefixtures("quick")
def test_a_keyed_post_to_a_silent_peer_is_settled_by_posting_again(rig: Rig, proxy: Proxy) -> None:
    rig.post()
    proxy.silent = True
    reply = rest.execute(Request(BODY, key="key"))
    assert (reply.status, json.loads(reply.body)["code"]) == (503, "outcome_unknown")
    proxy.silent = False
    eventually(lambda: rest.health().status == 200)
    replies = [rest.execute(Request(BODY, key="key")) for _ in range(2)]
    assert replies[0] == replies[1]
    assert rig.sql("SELECT count(*) FROM orders") == [(2,)]


@pytest.mark.usefixtures("quick")
def test_a_silent_peer_fails_a_probe_and_not_the_request(
    rig: Rig, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.post()
    monkeypatch.setattr(module, "IDLE_SECONDS", -1)
    proxy.silenced = proxy.accepted
    assert rest.execute(Request(BODY)).status == 200
    assert len(rig.sql("SELECT 1 FROM orders")) == 2


@pytest.mark.usefixtures("quick")
def test_a_silent_server_is_found_out_before_anything_is_written(
    rig: Rig, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.post()
    monkeypatch.setattr(module, "IDLE_SECONDS", -1)
    proxy.silent = True
    reply = rest.execute(Request(BODY))
    # Neither the probe nor the new connection came through, so nothing is in doubt.
    assert (reply.status, json.loads(reply.body)["code"]) == (503, "unavailable")


@pytest.mark.usefixtures("quick")
def test_a_batch_keeps_its_messages_while_the_database_is_silent(rig: Rig, proxy: Proxy) -> None:
    posted = [rig.post() for _ in range(3)]
    proxy.silent = True
    assert rig.work() == 3
    assert rig.messages("orders") == 3
    assert all(rig.row(order_id)["claim_token"] == 0 for order_id in posted)


def test_a_deadlock_is_tried_again(rig: Rig) -> None:
    engine = bootstrap.engine()
    rig.sql("CREATE TABLE tries (at int)")
    rig.sql("CREATE SEQUENCE tried")
    rig.sql(
        "CREATE FUNCTION deadlocked() RETURNS int LANGUAGE plpgsql AS $$ BEGIN "
        "IF nextval('tried') < 3 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF; RETURN 7; END $$"
    )
    assert engine.run(engine.work.fetch("SELECT deadlocked()")) == [(7,)]
