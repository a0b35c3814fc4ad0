"""Statements that meet on one row: whoever waited for it decides on what it finds then, never on what it saw before."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from chalicelib.domain.claim import LEASE_SECONDS
from chalicelib.domain.clock import SystemClock
from chalicelib.domain.errors import ClaimLost
from chalicelib.store.statements import load
from chalicelib.venues.simulated.chain import SimulatedChain
from tests.integration.faults import SECONDS, executor_of
from tests.integration.rig import Rig
from tests.integration.sessions import Session, await_lock

ORDERS, LEDGER, STREAMS = load("orders"), load("ledger"), load("streams")
LEASE_OVER = LEASE_SECONDS + 1


def claim(order_id: str, *, last_resort: bool = False) -> dict[str, Any]:
    return {
        "ids": [UUID(order_id)],
        "lease": 15,
        "max_crashes": 3,
        "alone": True,
        "last_resort": last_resort,
        "claimant": uuid4(),
    }


def entry(order_id: str, token: int, base_seq: int, status: str, **more: Any) -> dict[str, Any]:
    """A write of one event under a claim."""
    event = {"seq": base_seq + 1, "status": status, "meta": {}, "ts": "2026-01-01T00:00:00Z"}
    given = {"order_id": order_id, "claim_token": token, "base_seq": base_seq, "last_seq": base_seq + 1}
    given |= {"status": status, "last_update": event["ts"], "attempts": 1, "released": False, "parked": False}
    return {"entries": json.dumps([given | {"events": [event]} | more])}


def submission(tx_id: str) -> dict[str, Any]:
    given = {"tx_id": tx_id, "attempt": 1, "venue": "Raydium", "amount_in": "1", "min_amount_out": "1"}
    return {"open_tx": tx_id, "submission": given | {"valid_ms": 15_000}}


def test_a_claim_that_waited_for_a_write_ahead_finds_it(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = rig.post()
    holder, other = session(), session()
    assert holder.run(ORDERS["claim"], claim(order_id))[0][1] == "claimed"
    holder.connection.commit()
    rig.advance(LEASE_OVER)
    write_ahead = entry(order_id, 1, 1, "submitted", **submission("MOCKTX_1"))
    assert holder.run(ORDERS["write_transitions"], write_ahead)
    waiting = other.start(ORDERS["claim"], claim(order_id))
    await_lock(rig, other)
    holder.connection.commit()
    row = waiting.result(SECONDS)[0]
    other.connection.commit()
    assert row[1:4] == ("claimed", 1, "MOCKTX_1")
    # The seq and status of the row as it is, so that the new holder's writes follow the write-ahead.
    assert "submitted" in row
    assert rig.row(order_id)["claim_token"] == 2


def test_a_write_that_waited_for_a_claim_changes_nothing(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = rig.post()
    holder, other = session(), session()
    holder.run(ORDERS["claim"], claim(order_id))
    holder.connection.commit()
    rig.advance(LEASE_OVER)
    assert other.run(ORDERS["claim"], claim(order_id))[0][1] == "claimed"
    write_ahead = entry(order_id, 1, 1, "submitted", **submission("MOCKTX_1"))
    waiting = holder.start(ORDERS["write_transitions"], write_ahead)
    await_lock(rig, holder)
    other.connection.commit()
    assert waiting.result(SECONDS) == []
    holder.connection.commit()
    assert rig.sql("SELECT 1 FROM submissions") == []
    assert rig.sql("SELECT count(*) FROM order_events") == [(1,)]
    assert rig.row(order_id)["open_tx"] is None


def test_of_two_claims_at_once_one_gets_the_order(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = rig.post()
    first, second = session(), session()
    assert first.run(ORDERS["claim"], claim(order_id))[0][1] == "claimed"
    waiting = second.start(ORDERS["claim"], claim(order_id))
    await_lock(rig, second)
    first.connection.commit()
    assert waiting.result(SECONDS)[0][1] == "leased"


def test_a_claim_that_waited_for_the_end_finds_the_end(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = rig.post()
    holder, other = session(), session()
    holder.run(ORDERS["claim"], claim(order_id))
    holder.connection.commit()
    rig.advance(LEASE_OVER)
    holder.run(ORDERS["write_transitions"], entry(order_id, 1, 1, "failed", outcome="failed", released=True))
    waiting = other.start(ORDERS["claim"], claim(order_id, last_resort=True))
    await_lock(rig, other)
    holder.connection.commit()
    assert waiting.result(SECONDS)[0][1] == "terminal"


@pytest.mark.parametrize(
    "wrong",
    [{"token": 0}, {"token": 2}, {"base_seq": 0}, {"base_seq": 2}],
    ids=str,
)
def test_a_write_without_the_claim_and_the_seq_changes_nothing(
    rig: Rig, session: Callable[[], Session], wrong: dict[str, int]
) -> None:
    order_id = rig.post()
    holder = session()
    holder.run(ORDERS["claim"], claim(order_id))
    holder.connection.commit()
    before = rig.row(order_id)
    given = {"token": 1, "base_seq": 1} | wrong
    write = entry(order_id, given["token"], given["base_seq"], "submitted", **submission("MOCKTX_1"))
    assert holder.run(ORDERS["write_transitions"], write) == []
    holder.connection.commit()
    assert rig.row(order_id) == before
    assert rig.sql("SELECT 1 FROM submissions") == []
    assert rig.sql("SELECT count(*) FROM order_events") == [(1,)]


def test_terminal_is_terminal_even_for_the_holder(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = rig.post()
    holder = session()
    holder.run(ORDERS["claim"], claim(order_id))
    assert holder.run(ORDERS["write_transitions"], entry(order_id, 1, 1, "failed", outcome="failed"))
    assert holder.run(ORDERS["write_transitions"], entry(order_id, 1, 2, "pending")) == []


def swap(tx_id: str, valid: str, delay: float = 0) -> dict[str, Any]:
    given = {"tx_id": tx_id, "order_id": str(uuid4()), "outcome": "succeeded", "venue": "Raydium", "amount_in": 1}
    return {"swaps": json.dumps([given | {"amount_out": 1, "delay": delay, "valid_until": valid}])}


@pytest.mark.parametrize("tombstone_first", [True, False])
def test_of_a_tombstone_and_a_late_transaction_the_first_wins(
    rig: Rig, session: Callable[[], Session], *, tombstone_first: bool
) -> None:
    # The transaction's statement began while it was valid, the tombstone's when it was not any more.
    valid = rig.sql("SELECT (engine_now() + interval '5 seconds')::text")[0][0]
    late, burying = session(), session()
    tombstone = {"tx_id": "MOCKTX_1", "order_id": uuid4(), "valid_until": valid}
    if tombstone_first:
        rig.advance(6)
        burying.run(LEDGER["tombstone"], tombstone)
        rig.advance(-6)
        waiting, waits, commits = late.start(LEDGER["land"], swap("MOCKTX_1", valid)), late, burying
    else:
        late.run(LEDGER["land"], swap("MOCKTX_1", valid))
        rig.advance(6)
        waiting, waits, commits = burying.start(LEDGER["tombstone"], tombstone), burying, late
    await_lock(rig, waits)
    commits.connection.commit()
    waiting.result(SECONDS)
    waits.connection.commit()
    assert rig.sql("SELECT outcome FROM simulated_swaps") == [("dead" if tombstone_first else "succeeded",)]


def test_nothing_is_buried_before_its_time_or_lands_after_it(rig: Rig, session: Callable[[], Session]) -> None:
    chain = session()
    valid = rig.sql("SELECT (engine_now() + interval '5 seconds')::text")[0][0]
    chain.run(LEDGER["tombstone"], {"tx_id": "early", "order_id": uuid4(), "valid_until": valid})
    chain.run(LEDGER["land"], swap("slow", valid, delay=6))
    chain.connection.commit()
    assert rig.sql("SELECT 1 FROM simulated_swaps") == []


def test_a_transaction_that_was_never_sent_is_buried_and_the_order_tried_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = rig.post()
    sent: list[tuple[Any, ...]] = []

    async def lost(self: Any, *given: Any) -> int:
        sent.append(given)
        raise RuntimeError("died between the write-ahead and the send")

    container = rig.container()
    chain = executor_of(container)._chain
    with monkeypatch.context() as patched:
        patched.setattr(SimulatedChain, "send", lost)
        rig.invoke(order_id)
    tx_id = rig.row(order_id)["open_tx"]
    assert tx_id
    # While it may still be sent by whoever made it, nothing is decided.
    rig.sql("UPDATE orders SET lease_until = engine_now() - interval '1 second'")
    rig.invoke(order_id)
    assert rig.row(order_id)["open_tx"] == tx_id
    rig.advance(LEASE_OVER)
    rig.invoke(order_id)
    assert rig.swaps(order_id) == ["dead"]
    shown = rig.show(order_id)
    assert shown["status"] == "pending"
    assert shown["events"][-1]["meta"] == {
        "retryAttempt": 1,
        "nextTryInMs": 500,
        "reason": "the transaction never landed",
    }
    # The first holder wakes up and sends: its transaction moves nothing.
    transaction, valid_until = sent[0]
    container.run(chain.send(transaction, valid_until))
    assert rig.swaps(order_id) == ["dead"]
    assert rig.settle(order_id)["status"] == "confirmed"
    assert sorted(rig.swaps(order_id)) == ["dead", "succeeded"]
    assert rig.sql("SELECT outcome FROM submissions ORDER BY attempt") == [("dead",), ("succeeded",)]
    rig.check_log(order_id)


def test_sending_one_transaction_twice_moves_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    send = SimulatedChain.send

    async def twice(self: SimulatedChain, *given: Any) -> None:
        await send(self, *given)
        await send(self, *given)

    monkeypatch.setattr(SimulatedChain, "send", twice)
    order_id = rig.post()
    assert rig.settle(order_id)["status"] == "confirmed"
    assert rig.swaps(order_id) == ["succeeded"]


def test_a_holder_that_lost_its_claim_is_told_and_publishes_nothing(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.bind(order_id)
    container = rig.container()
    found = container.run(container.orders.claim([UUID(order_id)]))[0].claim
    assert found is not None
    rig.advance(LEASE_OVER)
    ended = rig.settle(order_id)
    frames = list(rig.frames(socket))
    with pytest.raises(ClaimLost):
        container.run(executor_of(container).run(found))
    assert rig.show(order_id) == ended
    assert rig.frames(socket) == frames
    assert rig.swaps(order_id).count("succeeded") == 1


def test_an_old_holder_that_is_cut_off_late_frees_nothing_of_the_present_ones(rig: Rig) -> None:
    order_id = rig.post()
    container = rig.container()
    old = container.run(container.orders.claim([UUID(order_id)]))[0].claim
    rig.advance(LEASE_OVER)
    present = container.run(container.orders.claim([UUID(order_id)], alone=True))[0].claim
    assert old and present
    held = rig.row(order_id)
    container.run(container.orders.give_back([old]))
    assert rig.row(order_id) == held
    container.run(container.orders.give_back([present]))
    assert rig.row(order_id)["lease_until"] is None


def test_a_lease_that_meets_a_bind_waits_and_pushes_from_there(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = rig.post()
    rig.settle(order_id)
    socket = rig.bind(order_id)
    rig.sql("UPDATE subscriptions SET last_seq = 3")
    binding, leasing = session(), session()
    binding.run(STREAMS["bind"], {"id": socket, "order_id": order_id, "after_seq": 1, "most": 1})
    lease = {"order_ids": [UUID(order_id)], "holder": uuid4(), "lease": 15, "most": 100, "passed_over": []}
    waiting = leasing.start(STREAMS["lease"], lease)
    # Passed over, the socket would get its frames from nobody: who binds leaves them to whoever leases.
    await_lock(rig, leasing)
    binding.connection.commit()
    assert [row[7] for row in waiting.result(SECONDS)] == [2, 3, 4, 5]


def test_an_event_is_never_before_the_one_it_follows(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = rig.post()
    now = SystemClock.now
    monkeypatch.setattr(SystemClock, "now", lambda self: now(self).replace(year=2020))
    assert rig.settle(order_id)["status"] == "confirmed"
    rig.check_log(order_id)
