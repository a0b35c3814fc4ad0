"""Sockets that are throttled, broken, gone or stalled: their frames come later, and nobody else's do."""

import json
import threading
from uuid import UUID

import pytest

from chalicelib import bootstrap
from chalicelib.execution import recovery
from chalicelib.handlers import queue
from chalicelib.store import streams
from chalicelib.store.streams import Streams
from chalicelib.streaming import publisher
from tests.integration.rig import Rig

HAPPY = ["pending", "routing", "building", "submitted", "confirmed"]


def connection(rig: Rig, socket: str) -> dict[str, object]:
    found = rig.sql("SELECT to_jsonb(c) FROM connections c WHERE id = %s", socket)
    return found[0][0] if found else {}


def age(rig: Rig, socket: str) -> None:
    """Make it a socket that connected a minute ago."""
    rig.sql("UPDATE connections SET connected_at = connected_at - interval '1 minute' WHERE id = %s", socket)


def cursors(rig: Rig, socket: str) -> list[int]:
    return [row[0] for row in rig.sql("SELECT last_seq FROM subscriptions WHERE connection_id = %s", socket)]


def delivery(socket: str) -> str:
    return json.dumps({"connectionId": socket})


@pytest.mark.parametrize("status", [429, 500, 503, 403])
def test_a_refused_push_is_made_again_later_and_only_then(rig: Rig, status: int) -> None:
    order_id = rig.post()
    rig.finish(order_id)
    socket = rig.connect()
    rig.gateway.answers[socket] = [200, 200, status]
    rig.send(socket, {"orderId": order_id})
    assert rig.statuses(socket) == HAPPY[:2]
    assert cursors(rig, socket) == [2]
    assert connection(rig, socket)["not_before"] is not None
    assert connection(rig, socket)["push_failures"] == 1
    assert rig.messages("deliveries") == 1
    # Whoever comes before its time sends itself again and pushes nothing.
    rig.invoke(delivery(socket), handler=queue.deliveries)
    assert rig.statuses(socket) == HAPPY[:2]
    assert rig.messages("deliveries") == 2
    rig.advance(5)
    rig.invoke(delivery(socket), handler=queue.deliveries)
    assert rig.statuses(socket) == HAPPY
    assert connection(rig, socket)["push_failures"] == 0
    assert connection(rig, socket)["not_before"] is None
    assert cursors(rig, socket) == [5]


def test_a_socket_that_is_held_back_meanwhile_does_not_recover(rig: Rig) -> None:
    socket = rig.bind(rig.post())
    rig.sql("UPDATE connections SET push_failures = 2, not_before = engine_now() + interval '1 second'")
    engine = bootstrap.engine()
    engine.run(Streams(engine.publishing).recover([socket]))
    assert connection(rig, socket)["push_failures"] == 2
    rig.advance(1)
    engine.run(Streams(engine.publishing).recover([socket]))
    assert (connection(rig, socket)["push_failures"], connection(rig, socket)["not_before"]) == (0, None)


def test_of_several_that_hold_a_socket_back_one_is_told(rig: Rig) -> None:
    socket = rig.connect()
    engine = bootstrap.engine()
    store = Streams(engine.publishing)
    assert engine.run(store.hold_back(socket, 10))
    held = connection(rig, socket)
    assert not engine.run(store.hold_back(socket, 20))
    assert connection(rig, socket) == held
    rig.advance(11)
    assert engine.run(store.hold_back(socket, 10))
    assert connection(rig, socket)["push_failures"] == 2


def test_a_socket_that_keeps_failing_is_tried_ever_more_rarely_and_never_given_up(rig: Rig) -> None:
    order_id = rig.post()
    rig.finish(order_id)
    socket = rig.connect()
    rig.gateway.answers[socket] = [500] * 8
    rig.send(socket, {"orderId": order_id})
    for failures in range(1, 8):
        assert connection(rig, socket)["push_failures"] == failures
        rig.advance(61)
        rig.invoke(delivery(socket), handler=queue.deliveries)
    rig.advance(61)
    rig.invoke(delivery(socket), handler=queue.deliveries)
    assert rig.statuses(socket) == HAPPY


def test_one_delivery_is_sent_however_many_orders_a_throttled_socket_follows(rig: Rig) -> None:
    orders = [rig.post() for _ in range(5)]
    socket = rig.connect()
    for order_id in orders:
        rig.send(socket, {"orderId": order_id})
    rig.gateway.answers[socket] = [429]
    assert rig.invoke(*orders) == []
    assert rig.messages("deliveries") == 1
    for order_id in orders:
        rig.finish(order_id)
    rig.advance(5)
    rig.invoke(delivery(socket), handler=queue.deliveries)
    for order_id in orders:
        assert [frame["seq"] for frame in rig.frames(socket) if frame["orderId"] == order_id] == [1, 2, 3, 4, 5]


def test_gone_soon_after_the_connect_means_again(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.connect()
    rig.gateway.answers[socket] = [410]
    rig.send(socket, {"orderId": order_id})
    assert rig.frames(socket) == []
    assert connection(rig, socket)
    rig.until(lambda: rig.statuses(socket)[:1] == ["pending"])


def test_gone_later_means_gone(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.bind(order_id)
    age(rig, socket)
    rig.gateway.answers[socket] = [410]
    rig.finish(order_id)
    assert connection(rig, socket) == {}
    assert cursors(rig, socket) == []
    assert rig.statuses(socket) == HAPPY[:1]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stalled sockets are given up sooner, for the sake of the test's time only."""
    monkeypatch.setattr(publisher, "PASS_SECONDS", 1.0)
    monkeypatch.setattr(publisher, "PROMPT_SECONDS", 0.2)


@pytest.mark.usefixtures("impatient")
def test_a_stalled_socket_does_not_hold_up_the_others(rig: Rig) -> None:
    order_id = rig.post()
    stalled, healthy = rig.bind(order_id), rig.bind(order_id)
    rig.gateway.stalls[stalled] = threading.Event()
    another = rig.post()
    beside = rig.bind(another)
    rig.finish(order_id)
    rig.finish(another)
    assert rig.statuses(healthy) == HAPPY
    assert rig.statuses(beside) == HAPPY
    rig.gateway.stalls[stalled].set()
    # What it had been sent when it stalled may come twice.
    rig.until(lambda: "confirmed" in rig.statuses(stalled))
    assert list(dict.fromkeys(rig.statuses(stalled))) == HAPPY


@pytest.mark.usefixtures("impatient")
def test_deliveries_of_a_batch_do_not_wait_for_each_other(rig: Rig) -> None:
    sockets = []
    for _ in range(10):
        sockets.append(rig.bind(rig.post()))
        rig.gateway.answers[sockets[-1]] = [500]
    rig.work()
    rig.advance(5)
    *stalled, healthy = sockets
    for socket in stalled:
        rig.gateway.stalls[socket] = threading.Event()
    assert rig.invoke(*map(delivery, sockets), handler=queue.deliveries) == []
    assert rig.statuses(healthy) == HAPPY[:4]


def test_a_delivery_that_comes_late_in_its_invocation_begins_no_push(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.bind(order_id)
    rig.sql("UPDATE subscriptions SET last_seq = 0")
    assert rig.invoke(delivery(socket), handler=queue.deliveries, seconds=publisher.PASS_SECONDS) == []
    assert rig.statuses(socket) == HAPPY[:1]
    # It is left to a delivery of its own.
    rig.until(lambda: rig.statuses(socket)[1:2] == HAPPY[:1])


@pytest.mark.usefixtures("impatient")
def test_many_stalled_sockets_do_not_hold_up_the_others(rig: Rig) -> None:
    order_id = rig.post()
    sockets = [rig.bind(order_id) for _ in range(40)]
    healthy = rig.bind(order_id)
    for socket in sockets:
        rig.gateway.stalls[socket] = threading.Event()
    assert rig.settle(order_id)["status"] == "confirmed"
    assert rig.statuses(healthy) == HAPPY


def test_more_sockets_than_are_leased_at_once_all_get_everything(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_LEASED", 10)
    order_id = rig.post()
    sockets = [rig.bind(order_id) for _ in range(35)]
    rig.finish(order_id)
    for socket in sockets:
        assert rig.statuses(socket) == HAPPY


def test_a_lease_and_a_sweep_of_the_expired_take_no_more_than_they_may(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_LEASED", 3)
    order_id = rig.post()
    for _ in range(5):
        rig.connect()
    rig.sql("UPDATE connections SET open = true")
    rig.sql("INSERT INTO subscriptions SELECT id, %s, 0 FROM connections", order_id)
    engine = bootstrap.engine()
    store = Streams(engine.publishing)
    assert len(engine.run(store.lease([UUID(order_id)], UUID(int=1), []))) == 3
    rig.sql("UPDATE connections SET expires_at = now()")
    engine.run(store.expire(2))
    assert rig.sql("SELECT count(*) FROM connections") == [(3,)]


@pytest.mark.parametrize(("looks", "most"), [(2, 1000), (9, 4)], ids=["followed too much", "too many lag"])
def test_sweeps_come_by_every_socket_that_lags(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, looks: int, most: int
) -> None:
    monkeypatch.setattr(streams, "LOOKED_THROUGH", 3)
    monkeypatch.setattr(streams, "LOOKS", looks)
    monkeypatch.setattr(recovery, "MOST", most)
    order_id = rig.post()
    sockets = {rig.connect() for _ in range(9)}
    rig.sql("UPDATE connections SET open = true")
    rig.sql("INSERT INTO subscriptions SELECT id, %s, 0 FROM connections", order_id)
    found: list[str] = []
    for _ in range(3):
        rig.sweep()
        swept = rig.bodies("deliveries")
        assert len(swept) < len(sockets)
        found += swept
    assert set(found) == {delivery(socket).replace(" ", "") for socket in sockets}
