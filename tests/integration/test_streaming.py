"""Binding to orders: early, late, twice, on connect, from a frame on, and with frames that no client should send."""

import uuid
from uuid import UUID

import pytest

from chalicelib import bootstrap
from chalicelib.store.streams import Streams
from chalicelib.streaming.publisher import Publisher
from tests.hostile import FRAMES, Frame
from tests.integration.faults import SECONDS, start
from tests.integration.rig import Rig

HAPPY = ["pending", "routing", "building", "submitted", "confirmed"]
WHOLE = [1, 2, 3, 4, 5]


def seqs(rig: Rig, socket: str, order_id: str) -> list[int]:
    return [frame["seq"] for frame in rig.frames(socket) if frame.get("orderId") == order_id]


def connections(rig: Rig) -> int:
    count: int = rig.sql("SELECT count(*) FROM connections")[0][0]
    return count


def test_a_late_bind_gets_the_whole_history(rig: Rig) -> None:
    order_id = rig.post(tokenOut="FLAKY")
    rig.settle(order_id)
    socket = rig.bind(order_id)
    shown = [{"orderId": order_id} | event for event in rig.show(order_id)["events"]]
    assert rig.frames(socket) == shown
    assert len(shown) == 13


@pytest.mark.parametrize("claims", range(4))
def test_two_sockets_bound_at_different_times_get_the_same(rig: Rig, claims: int) -> None:
    order_id = rig.post(tokenOut="FLAKY")
    early = rig.bind(order_id)
    for _ in range(claims):
        rig.invoke(order_id)
        rig.advance(2)
    late = rig.bind(order_id)
    rig.settle(order_id)
    assert rig.frames(early) == rig.frames(late)
    assert seqs(rig, early, order_id) == list(range(1, 14))


def test_one_socket_follows_many_orders(rig: Rig) -> None:
    orders = [rig.post() for _ in range(12)]
    socket = rig.connect()
    for order_id in orders:
        rig.send(socket, {"orderId": order_id})
    for order_id in orders:
        rig.settle(order_id)
    assert all(seqs(rig, socket, order_id) == WHOLE for order_id in orders)


def test_a_bind_with_the_connect_is_taken_once(rig: Rig) -> None:
    order_id = rig.post()
    rig.settle(order_id)
    socket = rig.connect(order_id)
    engine = bootstrap.engine()
    store = Streams(engine.publishing)
    assert engine.run(store.bind(socket, UUID(order_id), 3, first=True))
    bound = rig.sql("SELECT * FROM subscriptions")
    assert not engine.run(store.bind(socket, UUID(order_id), 0, first=True))
    assert rig.sql("SELECT * FROM subscriptions") == bound


def test_a_bind_with_the_connect_is_served_by_the_delivery(rig: Rig) -> None:
    order_id = rig.post()
    rig.settle(order_id)
    socket = rig.connect(order_id)
    assert rig.frames(socket) == []
    rig.until(lambda: rig.statuses(socket) == HAPPY)
    assert rig.messages("deliveries") == 0


@pytest.mark.parametrize(
    "spelling",
    ["<{}>", "%3C{}%3E", "{}", " {} "],
)
def test_a_bind_with_the_connect_is_read_as_a_frame_is(rig: Rig, spelling: str) -> None:
    order_id = rig.post()
    socket = rig.connect(spelling.format(order_id.upper()), afterSeq="0")
    rig.deliver_to(socket)
    assert rig.statuses(socket) == ["pending"]


def test_a_bind_with_the_connect_is_served_by_the_first_frame_if_that_comes_sooner(rig: Rig) -> None:
    first, second = rig.post(), rig.post()
    socket = rig.connect(first)
    rig.send(socket, {"orderId": second})
    assert (seqs(rig, socket, first), seqs(rig, socket, second)) == ([1], [1])
    rig.deliver_to(socket)
    rig.settle(first)
    rig.settle(second)
    assert (seqs(rig, socket, first), seqs(rig, socket, second)) == (WHOLE, WHOLE)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"orderId": "nonsense"}, "invalid_order_id"),
        ({"orderId": ""}, "missing_order_id"),
        ({"orderId": str(uuid.uuid4())}, "unknown_order"),
        ({"afterSeq": "1"}, "missing_order_id"),
        ({"orderId": "\0\ud800"}, "invalid_text"),
        ({"orderId": "x" * 5000}, "invalid_order_id"),
    ],
    ids=lambda given: given if isinstance(given, str) else None,
)
def test_a_bad_bind_with_the_connect_is_told_once_by_the_delivery(rig: Rig, query: dict[str, str], code: str) -> None:
    order_id = rig.post()
    socket = rig.connect(**query)
    rig.deliver_to(socket)
    rig.deliver_to(socket)
    assert [frame["code"] for frame in rig.frames(socket)] == [code]
    rig.send(socket, {"orderId": order_id})
    assert seqs(rig, socket, order_id) == [1]


@pytest.mark.parametrize("opening", [True, False])
def test_a_bad_bind_on_a_socket_that_is_gone_is_told_later_or_forgotten(rig: Rig, *, opening: bool) -> None:
    socket = rig.connect("nonsense")
    rig.gateway.answers[socket] = [410]
    if not opening:
        rig.advance(60)
    rig.deliver_to(socket)
    assert rig.frames(socket) == []
    assert rig.messages("deliveries") == 1 + opening
    rig.deliver_to(socket)
    assert connections(rig) == opening
    assert len(rig.frames(socket)) == opening


def test_a_first_frame_whose_delivery_was_lost_is_served_by_the_sweep(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.connect(order_id)
    rig.sqs.purge_queue(QueueUrl=rig.queues["deliveries"])
    rig.sweep()
    assert rig.messages("deliveries") == 0
    rig.advance(60)
    rig.sweep()
    assert rig.messages("deliveries") == 1
    rig.deliver_to(socket)
    assert rig.statuses(socket) == ["pending"]


@pytest.mark.parametrize("after", range(6))
def test_a_bind_starts_after_a_frame(rig: Rig, after: int) -> None:
    order_id = rig.post()
    rig.settle(order_id)
    assert seqs(rig, rig.bind(order_id, afterSeq=after), order_id) == WHOLE[after:]


def test_a_bind_beyond_the_log_is_an_error(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.bind(order_id, afterSeq=2)
    assert [frame["code"] for frame in rig.frames(socket)] == ["invalid_after_seq"]
    rig.settle(order_id)
    assert len(rig.frames(socket)) == 1


def test_a_bind_at_the_end_of_the_log_gets_what_follows(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.bind(order_id, afterSeq=1)
    assert rig.frames(socket) == []
    rig.settle(order_id)
    assert seqs(rig, socket, order_id) == WHOLE[1:]


def test_binding_again_starts_again(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.bind(order_id)
    rig.settle(order_id)
    rig.send(socket, {"orderId": order_id})
    rig.send(socket, {"orderId": f"<{order_id}>", "afterSeq": 3})
    assert seqs(rig, socket, order_id) == [*WHOLE, *WHOLE, 4, 5]


def test_an_unknown_order_is_an_error_and_the_socket_stays(rig: Rig) -> None:
    socket, order_id = rig.connect(), rig.post()
    rig.send(socket, {"orderId": str(uuid.uuid4())})
    assert [set(frame) for frame in rig.frames(socket)] == [{"error", "code"}]
    assert rig.frames(socket)[0]["code"] == "unknown_order"
    rig.send(socket, {"orderId": order_id})
    assert seqs(rig, socket, order_id) == [1]


def test_each_hostile_frame_gets_one_error_frame_and_the_socket_serves_on(rig: Rig) -> None:
    socket, order_id = rig.connect(), rig.post()
    routes = [Frame(route, f'{{"action": "{route}"}}', "") for route in ("$connect", "$disconnect", "$default")]
    for frame in (*FRAMES, *routes):
        before = len(rig.frames(socket))
        rig.send(socket, frame.text)
        told = rig.frames(socket)[before:]
        assert len(told) == 1, frame.name
        assert set(told[0]) == {"error", "code"}, frame.name
        assert told[0]["code"] == (frame.code or "missing_order_id"), frame.name
    assert connections(rig) == 1
    rig.send(socket, {"orderId": order_id})
    assert seqs(rig, socket, order_id) == [1]


def test_a_frame_without_a_body_is_answered(rig: Rig) -> None:
    socket = rig.connect()
    rig.socket_event("MESSAGE", socket, body=None)
    assert [frame["code"] for frame in rig.frames(socket)] == ["invalid_json"]


def test_a_closed_socket_is_forgotten_with_all_it_follows(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.bind(order_id)
    for _ in range(2):
        assert rig.socket_event("DISCONNECT", socket) == {"statusCode": 200}
    assert connections(rig) == 0
    assert rig.sql("SELECT 1 FROM subscriptions") == []
    rig.settle(order_id)
    assert len(rig.frames(socket)) == 1
    rig.deliver_to(socket)


def test_a_socket_that_nobody_knows_is_told_to_open_another(rig: Rig) -> None:
    order_id = rig.post()
    rig.send("never-connected", {"orderId": order_id})
    assert [frame["code"] for frame in rig.frames("never-connected")] == ["too_many_orders"]


def test_a_socket_follows_no_more_than_it_may(rig: Rig) -> None:
    order_id, socket = rig.post(), rig.connect()
    rig.sql("INSERT INTO subscriptions SELECT %s, gen_random_uuid(), 0 FROM generate_series(1, 1000)", socket)
    rig.send(socket, {"orderId": order_id})
    assert [frame["code"] for frame in rig.frames(socket)] == ["too_many_orders"]
    assert rig.sql("SELECT count(*) FROM subscriptions") == [(1000,)]


def test_a_socket_at_its_bound_may_bind_again_to_what_it_follows(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.bind(order_id)
    rig.sql("INSERT INTO subscriptions SELECT %s, gen_random_uuid(), 0 FROM generate_series(1, 999)", socket)
    rig.send(socket, {"orderId": order_id})
    assert seqs(rig, socket, order_id) == [1, 1]


def test_sockets_past_their_time_are_removed_by_the_sweep(rig: Rig) -> None:
    order_id = rig.post()
    rig.bind(order_id)
    rig.advance(2 * 3600)
    rig.sweep()
    assert connections(rig) == 1
    rig.advance(601)
    young = rig.bind(order_id)
    rig.sweep()
    assert rig.sql("SELECT id FROM connections") == [(young,)]
    assert rig.sql("SELECT count(*) FROM subscriptions") == [(1,)]


def test_a_lagging_subscription_is_served_by_the_sweep(rig: Rig) -> None:
    async def nothing(_: Publisher) -> None:
        pass

    order_id = rig.post()
    socket = rig.bind(order_id)
    container = rig.container()
    # A publisher that does not exist: all pushes are lost with their container.
    patched = pytest.MonkeyPatch()
    patched.setattr(Publisher, "_work", nothing)
    for _ in range(2):
        start(container, order_id).result(SECONDS)
    assert rig.show(order_id)["status"] == "confirmed"
    assert rig.statuses(socket) == HAPPY[:1]
    patched.undo()
    rig.sweep()
    rig.until(lambda: rig.statuses(socket) == HAPPY)
    rig.sweep()
    assert rig.messages("deliveries") == 0


def test_pushes_are_signed_for_the_management_api(rig: Rig) -> None:
    rig.bind(rig.post())
    assert len(rig.gateway.signatures) == 1
    assert rig.gateway.signatures[0].startswith("AWS4-HMAC-SHA256 Credential=test/")
    assert "/us-east-1/execute-api/aws4_request" in rig.gateway.signatures[0]


def test_the_order_goes_its_way_though_no_socket_can_be_reached(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSH_ENDPOINT", "http://127.0.0.1:9/api")
    order_id = rig.post()
    rig.bind(order_id)
    assert rig.settle(order_id)["status"] == "confirmed"
