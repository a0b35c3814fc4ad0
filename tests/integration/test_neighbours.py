"""What happens to one order, one row or one step must not happen to its neighbours, nor be held against it."""

import asyncio
import json
import threading
from uuid import UUID

import psycopg
import pytest

from chalicelib import bootstrap
from chalicelib.domain.claim import LEASE_SECONDS, Claim
from chalicelib.domain.errors import ConnectionLost, Contended
from chalicelib.domain.retry import MAX_CRASHES
from chalicelib.execution import batch
from chalicelib.execution.executor import Disposition
from chalicelib.execution.recovery import Sweeper
from chalicelib.handlers import queue, rest
from tests.integration.faults import lose_reply, start
from tests.integration.rig import Context, Handler, Request, Rig


def test_an_invocation_without_time_claims_nothing(rig: Rig) -> None:
    order_id = rig.post()
    rig.bodies("orders")
    assert rig.invoke(order_id, seconds=batch.MARGIN_SECONDS + batch.LEAST_SECONDS / 2) == []
    assert rig.row(order_id)["claim_token"] == 0
    assert rig.messages("orders") == 1


def test_a_claim_whose_reply_was_lost_is_repeated_and_no_crash(rig: Rig) -> None:
    order_id = rig.post()
    container = rig.container()
    lost = lose_reply(container.work, 1, after=True, error=ConnectionLost)
    assert start(container, order_id).result(30) == []
    assert lost
    assert (rig.row(order_id)["status"], rig.row(order_id)["crashes"]) == ("submitted", 0)
    assert rig.settle(order_id)["status"] == "confirmed"


def test_a_table_that_nobody_can_write_is_no_crash(rig: Rig) -> None:
    order_id = rig.post()
    for _ in range(2):
        with psycopg.connect(rig.database_url) as other:
            other.execute("LOCK TABLE order_events IN EXCLUSIVE MODE")
            assert rig.invoke(order_id) == []
        assert (rig.row(order_id)["lease_until"], rig.row(order_id)["crashes"]) == (None, 0)
    assert rig.settle(order_id)["status"] == "confirmed"


def test_a_locked_order_does_not_hold_up_its_batch(rig: Rig) -> None:
    locked, free = rig.post(), rig.post()
    with psycopg.connect(rig.database_url) as other:
        other.execute("SELECT 1 FROM orders WHERE id = %s FOR UPDATE", (locked,))
        assert rig.invoke(locked, free) == []
        assert rig.show(free)["status"] == "submitted"
        assert rig.show(locked)["status"] == "pending"
    assert rig.settle(locked)["status"] == "confirmed"


def test_an_unreadable_order_does_not_take_its_batch_along(rig: Rig) -> None:
    unreadable, *others = [rig.post() for _ in range(4)]
    (payload,) = rig.sql("SELECT payload::text FROM orders WHERE id = %s", unreadable)[0]
    rig.sql("UPDATE orders SET payload = '{\"x\": 1}' WHERE id = %s", unreadable)
    assert rig.invoke(unreadable, *others) == []
    assert {rig.show(order_id)["status"] for order_id in others} == {"submitted"}
    rig.sql("UPDATE orders SET payload = %s WHERE id = %s", payload, unreadable)
    assert rig.settle(unreadable)["status"] == "confirmed"


def test_an_order_of_a_type_that_this_release_does_not_have_is_left_alone(rig: Rig) -> None:
    newer, other = rig.post(), rig.post()
    rig.sql("""UPDATE orders SET payload = jsonb_set(payload, '{orderType}', '"oco"') WHERE id = %s""", newer)
    assert rig.invoke(newer, other) == []
    assert rig.show(other)["status"] == "submitted"
    row = rig.row(newer)
    assert (row["status"], row["lease_until"], row["crashes"]) == ("pending", None, 0)
    rig.sql("UPDATE orders SET status = 'open' WHERE id = %s", newer)
    assert rest.amend(Request(b'{"minAmountOut": "5"}', if_match="1"), newer).status == 404


def test_an_unreadable_order_is_shown_as_far_as_it_can_be_read(rig: Rig) -> None:
    unreadable, other = rig.post(), rig.post()
    rig.sql("ALTER TABLE orders DROP CONSTRAINT status_is_known")
    rig.sql("UPDATE orders SET payload = '{\"x\": 1}', status = 'open' WHERE id = %s", unreadable)
    rig.sql("UPDATE order_events SET status = 'open' WHERE order_id = %s", unreadable)
    listed = rest.orders(Request())
    assert [(each["orderId"], each["status"], each["tokenIn"]) for each in json.loads(listed.body)["orders"]] == [
        (other, "pending", "SOL"),
        (unreadable, "open", None),
    ]
    shown = rig.show(unreadable)
    assert [shown[field] for field in ("tokenIn", "tokenOut", "amount", "slippageTolerance")] == [None] * 4
    assert (shown["status"], shown["events"][0]["status"]) == ("open", "open")


def test_a_status_of_another_release_is_pushed_and_keeps_no_socket_waiting(rig: Rig) -> None:
    unreadable, other = rig.post(), rig.post()
    socket, beside = rig.connect(), rig.connect()
    for order_id in (unreadable, other):
        rig.send(socket, {"orderId": order_id})
    rig.send(beside, {"orderId": other})
    rig.sql("UPDATE order_events SET status = 'open' WHERE order_id = %s", unreadable)
    rig.sql("UPDATE subscriptions SET last_seq = 0")
    rig.gateway.frames.clear()
    engine = bootstrap.engine()

    async def publish() -> None:
        engine.sockets._publisher.notify([UUID(unreadable), UUID(other)])
        await engine.sockets._publisher.drain(5)

    engine.run(publish())
    assert sorted(rig.statuses(socket)) == ["open", "pending"]
    assert rig.statuses(beside) == ["pending"]
    assert rig.sql("SELECT 1 FROM subscriptions WHERE lease_until IS NOT NULL") == []


@pytest.mark.parametrize("handler", [queue.orders, queue.dead_letters])
def test_an_unreadable_order_collects_no_crashes(rig: Rig, handler: Handler) -> None:
    order_id = rig.post()
    rig.sql("UPDATE orders SET payload = '{\"x\": 1}'")
    for _ in range(MAX_CRASHES + 1):
        assert rig.invoke(order_id, handler=handler) == []
        rig.advance(LEASE_SECONDS + 1)
    row = rig.row(order_id)
    assert (row["claim_token"], row["crashes"], row["lease_until"]) == (MAX_CRASHES + 1, 0, None)


def test_neighbours_are_settled_before_a_suspect_runs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy, suspect = rig.post(), rig.post()
    rig.bodies("orders")
    rig.sql("UPDATE orders SET crashes = 1 WHERE id = %s", suspect)
    worker = bootstrap.engine().worker
    run, waiting = worker._runner, []

    async def watched(claim: Claim) -> Disposition:
        if claim.order_id == UUID(suspect):
            waiting.append(rig.messages("orders"))
        return await run(claim)

    monkeypatch.setattr(worker, "_runner", watched)
    assert rig.invoke(healthy, suspect) == []
    assert waiting == [1]
    assert {rig.show(order_id)["status"] for order_id in (healthy, suspect)} == {"submitted"}


def test_a_sweep_step_that_fails_leaves_the_others_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = rig.post()
    rig.bodies("orders")
    rig.advance(100)
    rig.sql("INSERT INTO idempotency_keys VALUES ('expired', %s, '', engine_now())", order_id)
    sweeper: Sweeper = bootstrap.engine().sweeper

    async def failing(_: int) -> list[str]:
        raise Contended("57014", "canceling statement due to statement timeout")

    monkeypatch.setattr(sweeper._sockets, "lagging", failing)
    monkeypatch.setattr(sweeper._sockets, "expire", failing)
    rig.sweep()
    assert rig.bodies("orders") == [order_id]
    assert rig.sql("SELECT 1 FROM idempotency_keys") == []
    monkeypatch.setattr(sweeper._orders, "expire_keys", failing)
    rig.sweep()


def test_expired_sockets_are_forgotten_some_at_a_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        rig.connect()
    rig.advance(3 * 3600)
    monkeypatch.setattr("chalicelib.execution.recovery.MOST_EXPIRED", 2)
    counts = []
    for _ in range(2):
        rig.sweep()
        counts += rig.sql("SELECT count(*) FROM connections")[0]
    assert counts == [1, 0]


def test_a_throttled_error_frame_is_tried_again(rig: Rig) -> None:
    socket = rig.connect()
    rig.gateway.answers[socket] = [429, 500]
    rig.send(socket, "nonsense")
    assert [frame["code"] for frame in rig.frames(socket)] == ["invalid_json"]


def test_a_socket_that_fails_is_not_tried_again_in_one_invocation(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.bind(order_id)
    rig.gateway.answers[socket] = [429] * 100
    rig.sql("UPDATE connections SET push_failures = -60")
    assert rig.invoke(order_id) == []
    # Held back for no time at all, it is left to its delivery all the same.
    assert len(rig.gateway.answers[socket]) == 99
    rig.gateway.answers[socket] = []
    rig.until(lambda: rig.statuses(socket) == ["pending", "routing", "building", "submitted", "confirmed"])


def test_many_stalled_sockets_do_not_outlast_the_invocation(rig: Rig) -> None:
    order_id = rig.post()
    for _ in range(40):
        socket = rig.bind(order_id)
        rig.gateway.stalls[socket] = threading.Event()
    context = Context()
    assert queue.orders({"Records": [{"messageId": "m", "receiptHandle": "none", "body": order_id}]}, context) == {
        "batchItemFailures": []
    }
    # Beyond that Lambda would have killed it.
    assert context.get_remaining_time_in_millis() > 0
    for stall in rig.gateway.stalls.values():
        stall.set()


def test_leases_taken_by_a_lost_statement_are_found_again(rig: Rig) -> None:
    order_id = rig.post()
    container = rig.container()
    socket = rig.connect()
    # Opening, looking, binding, then the lease.
    lost = lose_reply(container.publishing, 4, after=True, error=ConnectionLost)
    frame = json.dumps({"orderId": order_id})
    asyncio.run_coroutine_threadsafe(container.sockets.received(socket, frame, 6.0), container.loop.loop).result(30)
    assert "lagging" in lost[0]
    assert rig.statuses(socket) == ["pending"]


def test_a_frame_that_the_engine_fails_on_is_answered(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id, socket = rig.post(), rig.connect()

    async def failing(_: UUID) -> int:
        raise RuntimeError("a defect")

    monkeypatch.setattr(bootstrap.engine().sockets._store, "log_length", failing)
    rig.send(socket, {"orderId": order_id})
    assert [frame["code"] for frame in rig.frames(socket)] == ["internal"]
