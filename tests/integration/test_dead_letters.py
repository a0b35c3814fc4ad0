"""Orders whose messages ended among the dead letters: each is settled, sent on its way, or parked for an operator."""

import itertools
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.domain.retry import MAX_LAST_RESORTS
from chalicelib.execution import executor as module
from chalicelib.handlers import queue
from chalicelib.venues.base import Answer, Outcome
from tests.integration.faults import LEASE_OVER, Chain, die, executor_of
from tests.integration.rig import Rig


async def dies(*_: Any) -> Any:
    raise RuntimeError("the worker dies here")


def test_a_message_that_keeps_crashing_its_function_is_redriven_and_its_order_confirmed(rig: Rig) -> None:
    order_id = rig.post()
    url = rig.queues["orders"]
    for _ in range(6):
        # Received by a container that dies at once.
        assert rig.sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"][0]["Body"] == order_id
    assert "Messages" not in rig.sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)
    assert rig.messages("dead-letters") == 1
    assert rig.bury() == 1
    assert (rig.messages("dead-letters"), rig.messages("orders")) == (0, 1)
    assert rig.finish(order_id)["status"] == "confirmed"


def test_a_terminal_order_is_published_and_acknowledged(rig: Rig) -> None:
    order_id = rig.post()
    rig.settle(order_id)
    socket = rig.bind(order_id)
    rig.sql("UPDATE subscriptions SET last_seq = 3")
    for handler in (queue.dead_letters, queue.orders):
        rig.gateway.frames[socket].clear()
        rig.sql("UPDATE subscriptions SET last_seq = 3")
        assert rig.invoke(order_id, handler=handler) == []
        assert rig.statuses(socket) == ["submitted", "confirmed"]
    assert rig.messages("dead-letters") == 0


@pytest.mark.parametrize("status", ["pending", "routing", "building"])
def test_an_order_with_tries_left_is_sent_on_its_way(rig: Rig, status: str) -> None:
    order_id = rig.post()
    rig.bodies("orders")
    die(rig, order_id, 1, status=status)
    assert rig.invoke(order_id, handler=queue.dead_letters) == []
    assert rig.messages("orders") == 1
    assert rig.messages("dead-letters") == 0
    assert rig.finish(order_id)["status"] == "confirmed"


@pytest.mark.parametrize("status", ["pending", "routing", "building"])
def test_an_order_that_crashed_too_often_is_buried_by_workers_and_failed_by_the_dead_letters(
    rig: Rig, status: str
) -> None:
    order_id, neighbour = rig.post(), rig.post()
    rig.bodies("orders")
    die(rig, order_id, 3, status=status)
    assert rig.invoke(order_id, neighbour) == []
    assert rig.show(neighbour)["status"] == "submitted"
    assert rig.show(order_id)["status"] == status
    assert rig.row(order_id)["crashes"] == 3
    assert rig.bury() == 1
    shown = rig.show(order_id)
    assert (shown["status"], shown["failureReason"]) == (
        "failed",
        "the worker crashed 3 times while it held the order",
    )
    assert rig.swaps(order_id) == []


def test_an_order_that_crashed_is_worked_on_when_no_neighbour_is_in_hand(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [rig.post() for _ in range(3)]
    die(rig, orders[0], 1)
    die(rig, orders[1], 2)
    executor = executor_of(bootstrap.engine())
    run, running, together = executor._attempt, set(), []

    async def watched(hold: Any) -> Any:
        running.add(str(hold.order_id))
        together.append(set(running))
        try:
            return await run(hold)
        finally:
            running.discard(str(hold.order_id))

    monkeypatch.setattr(executor, "_attempt", watched)
    assert rig.invoke(*orders) == []
    assert together == [{orders[2]}, {orders[0]}, {orders[1]}]
    # They count in a row: a claim that was given back ends the row.
    assert [rig.row(order_id)["crashes"] for order_id in orders] == [0, 0, 0]


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.REVERTED, Outcome.DEAD])
def test_an_unresolved_transaction_is_asked_for_whatever_the_counters_say(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    order_id = rig.post()
    rig.invoke(order_id)
    tx_id = rig.row(order_id)["open_tx"]
    chain = Chain(monkeypatch)
    # Known to the chain and not landed yet: nothing may be decided.
    chain.answer = Answer(outcome=Outcome.UNKNOWN, ask_again=2)
    die(rig, order_id, 3)
    rig.invoke(order_id, handler=queue.dead_letters)
    assert rig.row(order_id)["open_tx"] == tx_id
    rig.advance(LEASE_OVER)
    die(rig, order_id, 4)
    chain.answer = Answer(outcome=outcome, amount_in=1, amount_out=1, reason="the price moved")
    rig.invoke(order_id)
    assert rig.row(order_id)["open_tx"] == tx_id
    rig.invoke(order_id, handler=queue.dead_letters)
    shown = rig.show(order_id)
    assert shown["status"] == ("confirmed" if outcome == Outcome.SUCCEEDED else "failed")
    assert shown["attempts"] == 1
    assert rig.sql("SELECT outcome FROM submissions") == [(str(outcome),)]


@pytest.fixture
def parked(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Chain]:
    """An order whose transaction the chain does not know long after its validity."""
    order_id = rig.post()
    rig.invoke(order_id)
    chain = Chain(monkeypatch)
    rig.advance(LEASE_OVER + module.PARK_SECONDS - 60)
    assert rig.invoke(order_id) == []
    assert rig.row(order_id)["parked_at"] is None
    rig.advance(120)
    rig.bodies("orders")
    assert rig.invoke(order_id) == []
    row = rig.row(order_id)
    assert row["parked_at"] is not None
    assert (row["status"], row["lease_until"]) == ("submitted", None)
    rig.bodies("orders")
    return order_id, chain


def test_a_parked_order_is_left_alone_by_workers_and_asked_hourly(rig: Rig, parked: tuple[str, Chain]) -> None:
    order_id, chain = parked
    chain.asked.clear()
    # Some that ask again are delayed still.
    delayed = rig.messages("orders")
    assert rig.invoke(order_id, order_id) == []
    assert chain.asked == []
    rig.advance(3000)
    rig.sweep()
    assert (rig.messages("dead-letters"), rig.messages("orders")) == (0, delayed)
    for hour in range(1, 4):
        rig.advance(3601)
        rig.sweep()
        rig.sweep()
        assert (rig.messages("dead-letters"), rig.messages("orders")) == (1, delayed)
        assert rig.bury() == 1
        assert len(chain.asked) == hour
        assert rig.row(order_id)["parked_at"] is not None


def test_an_operator_is_told_of_a_parked_order_once(
    rig: Rig, parked: tuple[str, Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id, _ = parked
    told: list[str] = []
    monkeypatch.setattr(bootstrap.engine().telemetry, "failure", lambda what, *_, **__: told.append(what))
    rig.invoke(order_id, handler=queue.dead_letters)
    assert rig.row(order_id)["parked_at"] is not None
    assert told == []
    rig.sql("UPDATE orders SET crashes = %s", MAX_LAST_RESORTS)
    rig.invoke(order_id, handler=queue.dead_letters)
    assert told == ["order parked for an operator"]
    rig.sql("UPDATE orders SET parked_at = NULL, crashes = 0")
    rig.invoke(order_id)
    assert told == ["order parked for an operator"] * 2


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.DEAD])
def test_a_parked_order_goes_on_once_its_transaction_is_known(
    rig: Rig, parked: tuple[str, Chain], monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    order_id, chain = parked
    chain.answer = Answer(outcome=outcome, amount_in=3, amount_out=450)
    rig.advance(3601)
    rig.sweep()
    rig.bury()
    assert rig.row(order_id)["parked_at"] is None
    if outcome == Outcome.DEAD:
        assert rig.show(order_id)["events"][-1]["meta"]["reason"] == "the transaction never landed"
        monkeypatch.undo()
        rig.settle(order_id)
    assert rig.show(order_id)["status"] == "confirmed"


def test_crashes_up_to_the_bound_with_an_unknown_transaction_park_and_never_fail(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = rig.post()
    rig.invoke(order_id)
    rig.bodies("orders")
    Chain(monkeypatch)
    die(rig, order_id, 3)
    rig.advance(LEASE_OVER)
    assert rig.invoke(order_id) == []
    assert rig.messages("dead-letters") == 1
    assert rig.bury() == 1
    row = rig.row(order_id)
    assert row["parked_at"] is not None
    assert row["outcome"] is None


def test_an_order_that_crashes_whoever_asks_for_it_is_parked_and_asked_for_no_more(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = rig.post()
    rig.invoke(order_id)
    rig.bodies("orders")
    chain = Chain(monkeypatch)
    monkeypatch.setattr(executor_of(bootstrap.engine())._submissions, "submission", dies)
    for _ in range(MAX_LAST_RESORTS):
        assert rig.row(order_id)["parked_at"] is None
        # The bound of workers sends it to the dead letters, a crash of their function back to the workers.
        rig.invoke(order_id)
        rig.bury()
        rig.advance(LEASE_OVER)
    rig.invoke(order_id)
    rig.bury()
    row = rig.row(order_id)
    assert row["parked_at"] is not None
    assert (row["status"], row["outcome"], row["crashes"]) == ("submitted", None, MAX_LAST_RESORTS)
    assert len(chain.asked) == MAX_LAST_RESORTS
    for _ in range(3):
        rig.advance(3601)
        rig.sweep()
        assert rig.bury() == 0
    assert len(chain.asked) == MAX_LAST_RESORTS
    assert (rig.row(order_id)["parked_at"], rig.row(order_id)["crashes"]) == (row["parked_at"], MAX_LAST_RESORTS)


def test_no_path_ends_an_order_with_an_unresolved_transaction(rig: Rig) -> None:
    order_id = rig.post()
    rig.invoke(order_id)
    assert rig.row(order_id)["open_tx"]
    for status in ("failed", "confirmed", "pending", "routing", "building"):
        with pytest.raises(Exception, match="unresolved_means_submitted"):
            rig.sql("UPDATE orders SET status = %s WHERE id = %s", status, order_id)
    with pytest.raises(Exception, match="outcome_is_terminal"):
        rig.sql("UPDATE orders SET outcome = 'failed' WHERE id = %s", order_id)


@pytest.mark.parametrize("backlog", [0, 5])
def test_the_sweep_sends_what_lost_its_message_and_never_stops(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, backlog: int
) -> None:
    sweeper = bootstrap.engine().sweeper
    monkeypatch.setattr(sweeper, "_backlog_limit", 3)
    monkeypatch.setattr("chalicelib.execution.recovery.MOST_WHILE_BEHIND", 2)
    orders = [rig.post() for _ in range(4)]
    rig.bodies("orders")
    for number in range(backlog):
        rig.sqs.send_message(QueueUrl=rig.queues["orders"], MessageBody=f"backlog {number}")
    rig.sweep()
    assert rig.messages("orders") == backlog
    rig.advance(100)
    rig.sweep()
    assert rig.messages("orders") - backlog == (2 if backlog else 4)
    # Oldest first, and what was sent is not sent again at once.
    rig.sweep()
    assert rig.messages("orders") - backlog == 4
    rig.bodies("orders")
    # The gap doubles: as long as from the last transition to the last send.
    rig.advance(61)
    rig.sweep()
    assert rig.messages("orders") <= backlog
    for order_id in orders:
        rig.settle(order_id)


@pytest.mark.parametrize(
    ("state", "swept"),
    [
        ({"lease_until": "1 minute"}, False),
        ({"lease_until": "-1 minute"}, True),
        ({"next_try_at": "1 minute"}, False),
        ({"next_try_at": "-1 minute"}, True),
        ({}, True),
    ],
    ids=str,
)
def test_the_sweep_leaves_alone_what_somebody_has_in_hand(rig: Rig, state: dict[str, str], *, swept: bool) -> None:
    rig.post()
    rig.bodies("orders")
    rig.advance(61)
    for column, distance in state.items():
        rig.sql(f"UPDATE orders SET {column} = engine_now() + %s::interval", distance)
    rig.sweep()
    assert rig.messages("orders") == swept


def test_a_queue_that_takes_no_message_does_not_make_the_gap_longer(
    rig: Rig, parked: tuple[str, Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(messages: Any) -> Any:
        return list(messages)

    order_id = rig.post()
    rig.bodies("orders")
    rig.advance(3700)
    sweeper = bootstrap.engine().sweeper
    with monkeypatch.context() as away:
        for queue_ in (sweeper._orders_queue, sweeper._dead_letters):
            away.setattr(queue_, "send", refuse)
        rig.sweep()
    rig.advance(60)
    rig.sweep()
    assert order_id in rig.bodies("orders")
    assert rig.bodies("dead-letters") == [parked[0]]


def test_the_gap_between_sends_grows(rig: Rig) -> None:
    rig.post()
    sends = []
    for minute in range(1, 40):
        rig.bodies("orders")
        rig.advance(61)
        rig.sweep()
        if rig.messages("orders"):
            sends.append(minute)
    gaps = [later - earlier for earlier, later in itertools.pairwise(sends)]
    assert sends[0] == 1
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 8
