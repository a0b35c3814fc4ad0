"""Messages of the orders queue: duplicates, failures of some, delays, hand-backs, and what is no message at all."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.domain.claim import Claim
from chalicelib.domain.errors import StatementRefused, Unavailable
from chalicelib.execution import batch
from chalicelib.execution.executor import Action, Disposition
from chalicelib.handlers import queue
from chalicelib.venues.base import Attempt
from tests.integration.faults import SECONDS, executor_of, start
from tests.integration.rig import Rig

UNKNOWN = "0190f3c4-8a1e-7b2c-9d3e-4f5061728394"


def fail_quotes(rig: Rig, monkeypatch: pytest.MonkeyPatch, *order_ids: str, error: BaseException) -> None:
    """Have some orders meet an error when they ask for quotes."""
    router = executor_of(bootstrap.engine())._router
    route = router.route

    async def failing(attempt: Attempt) -> Any:
        if str(attempt.order_id) in order_ids:
            raise error
        return await route(attempt)

    monkeypatch.setattr(router, "route", failing)


def hang_quotes(monkeypatch: pytest.MonkeyPatch, *order_ids: str) -> list[str]:
    """Have orders wait for quotes that never come, and end only together; returns the ones that were cut off so."""
    router = executor_of(bootstrap.engine())._router
    route, all_ending, ended = router.route, asyncio.Event(), []
    ending = set()

    async def hanging(attempt: Attempt) -> Any:
        if str(attempt.order_id) not in order_ids:
            return await route(attempt)
        try:
            return await asyncio.Event().wait()
        finally:
            ending.add(attempt.order_id)
            if len(ending) == len(order_ids):
                all_ending.set()
            await asyncio.wait_for(all_ending.wait(), 3)
            ended.append(str(attempt.order_id))

    monkeypatch.setattr(router, "route", hanging)
    return ended


@pytest.mark.parametrize("body", ["", "None", "{}", "not-an-id", "\u2603", f'{{"orderId": "{UNKNOWN}"}}', "9" * 5000])
def test_what_is_no_id_is_dropped_beside_what_is(rig: Rig, body: str) -> None:
    order_id = rig.post()
    for handler in (queue.orders, queue.dead_letters, queue.deliveries):
        assert rig.invoke(body, handler=handler) == []
    assert rig.invoke(body, order_id, body) == []
    assert rig.show(order_id)["status"] == "submitted"


def test_an_id_without_an_order_is_dropped(rig: Rig) -> None:
    assert rig.invoke(UNKNOWN) == []
    assert rig.messages("orders") == 0


def test_the_same_id_twice_in_a_batch_is_one_piece_of_work(rig: Rig) -> None:
    order_id = rig.post()
    assert rig.invoke(order_id, order_id.upper(), order_id) == []
    assert rig.show(order_id)["attempts"] == 1
    # The one that the order sent itself, beside the one of the POST.
    assert rig.messages("orders") == 2
    rig.settle(order_id)
    assert rig.check_log(order_id) == ["pending", "routing", "building", "submitted", "confirmed"]


def test_one_message_delivered_to_many_containers_at_once_is_worked_on_by_one(rig: Rig) -> None:
    orders = [rig.post() for _ in range(5)]
    containers = [rig.container() for _ in range(4)]
    for _ in range(3):
        works = [start(container, *orders) for container in containers]
        assert [work.result(SECONDS) for work in works] == [[]] * len(works)
        rig.advance(5)
    for order_id in orders:
        assert rig.check_log(order_id) == ["pending", "routing", "building", "submitted", "confirmed"]
        assert rig.swaps(order_id) == ["succeeded"]


def test_a_message_for_an_order_in_hand_comes_back_when_the_lease_ends(rig: Rig) -> None:
    order_id = rig.post()
    rig.bodies("orders")
    rig.sql("UPDATE orders SET claim_token = 1, lease_until = engine_now() + interval '12 seconds'")
    assert rig.invoke(order_id) == []
    assert rig.row(order_id)["claim_token"] == 1
    counts = rig.sqs.get_queue_attributes(QueueUrl=rig.queues["orders"], AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessagesDelayed"] == "1"


def test_orders_fail_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [rig.post() for _ in range(6)]
    # Each kind of error that may come out of an order, and one of nobody's making.
    for order_id, error in zip(
        orders[:4],
        [Unavailable("away"), StatementRefused("refused"), RuntimeError("a defect"), asyncio.CancelledError()],
        strict=True,
    ):
        fail_quotes(rig, monkeypatch, order_id, error=error)
    assert rig.invoke(*orders) == []
    assert [rig.show(order_id)["status"] for order_id in orders] == ["routing"] * 4 + ["submitted"] * 2
    monkeypatch.undo()


def test_a_bad_row_fails_one_order_of_a_batch(rig: Rig) -> None:
    good, bad = rig.post(), rig.post(tokenOut="BONK")
    rig.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.payload->'tokenOut'->>'name' = 'BONK' AND NEW.status <> 'pending' THEN RAISE 'bad row'; END IF; "
        "RETURN NEW; END $$"
    )
    rig.sql("CREATE TRIGGER bad BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION refuse()")
    assert rig.invoke(good, bad) == []
    assert [rig.show(order_id)["status"] for order_id in (good, bad)] == ["submitted", "pending"]


def test_orders_cut_off_by_the_deadline_end_together(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [rig.post() for _ in range(6)]
    ended = hang_quotes(monkeypatch, *orders[:5])
    monkeypatch.setattr(batch, "CANCEL_SECONDS", SECONDS)
    assert rig.invoke(*orders, seconds=batch.MARGIN_SECONDS + batch.LEAST_SECONDS + 0.5) == []
    assert sorted(ended) == orders[:5]
    # A deadline is no crash, however often it strikes.
    assert {(rig.row(order_id)["lease_until"], rig.row(order_id)["crashes"]) for order_id in orders} == {(None, 0)}
    assert [rig.show(order_id)["status"] for order_id in orders] == ["routing"] * 5 + ["submitted"]
    monkeypatch.undo()
    rig.advance(16)
    for order_id in orders:
        assert rig.settle(order_id)["status"] == "confirmed"


def test_an_order_that_waits_as_long_as_one_that_was_cut_off_is_not_given_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, given_back = bootstrap.engine().worker, []

    async def waiting(_: Claim) -> Disposition:
        return Disposition(Action.SEND_AGAIN, batch.OUTAGE_SECONDS)

    async def give_back(claims: Any) -> None:
        given_back.extend(claims)

    monkeypatch.setattr(worker, "_runner", waiting)
    monkeypatch.setattr(worker._claims, "give_back", give_back)
    assert rig.invoke(rig.post()) == []
    assert given_back == []


def test_a_retry_is_handed_back_and_comes_from_the_queue_again(rig: Rig) -> None:
    order_id = rig.post(tokenOut="FAIL")
    assert rig.work() == 1
    assert rig.show(order_id)["status"] == "submitted"
    rig.until(lambda: rig.show(order_id)["attempts"] == 1 and rig.show(order_id)["status"] == "pending")
    # In flight still, and not a new one: its receives count.
    counts = rig.sqs.get_queue_attributes(QueueUrl=rig.queues["orders"], AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "1"
    assert counts["ApproximateNumberOfMessages"] == "0"
    assert rig.row(order_id)["next_try_at"] is not None
    assert rig.finish(order_id)["status"] == "failed"
    assert rig.messages("orders") == 0


def test_a_message_that_comes_before_the_next_try_is_put_off(rig: Rig) -> None:
    order_id = rig.post(tokenOut="FAIL")
    rig.invoke(order_id)
    assert rig.invoke(order_id) == [order_id]
    before = rig.show(order_id)
    assert rig.invoke(order_id) == []
    assert rig.show(order_id) == before
    rig.advance(1)
    rig.invoke(order_id)
    assert rig.show(order_id)["attempts"] == 2


def test_a_send_that_the_queue_refuses_brings_the_message_back(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [rig.post() for _ in range(2)]
    sent = bootstrap.engine().orders_queue

    async def refuse(messages: Any) -> Any:
        return list(messages)

    monkeypatch.setattr(sent, "send", refuse)
    assert sorted(rig.invoke(*orders)) == sorted(orders)
    monkeypatch.undo()
    for order_id in orders:
        assert rig.settle(order_id)["status"] == "confirmed"


def test_a_post_whose_message_the_queue_refuses_is_found_by_the_sweep(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(messages: Any) -> Any:
        return list(messages)

    with monkeypatch.context() as patched:
        patched.setattr(bootstrap.engine().orders_queue, "send", refuse)
        order_id = rig.post()
    assert rig.messages("orders") == 0
    rig.advance(61)
    rig.sweep()
    assert rig.finish(order_id)["status"] == "confirmed"


def test_orders_of_a_batch_run_side_by_side(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [rig.post() for _ in range(10)]
    router = executor_of(bootstrap.engine())._router
    route, waiting = router.route, threading.Barrier(10)
    threads = ThreadPoolExecutor(10)

    async def together(attempt: Attempt) -> Any:
        await asyncio.get_running_loop().run_in_executor(threads, waiting.wait, SECONDS)
        return await route(attempt)

    monkeypatch.setattr(router, "route", together)
    assert rig.invoke(*orders) == []
    assert {rig.show(order_id)["status"] for order_id in orders} == {"submitted"}
    threads.shutdown()
