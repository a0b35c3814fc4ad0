"""What the operator's command says of an order: each reason that one can wait for, in the sentence at the end."""

import pytest

from chalicelib.domain.retry import MAX_CRASHES, MAX_LAST_RESORTS
from chalicelib.handlers import queue, rest
from tests.integration.faults import die
from tests.integration.operators import Operator, fail, park
from tests.integration.rig import Request, Rig


def test_an_order_that_waits_for_the_queue(rig: Rig, operate: Operator) -> None:
    order_id = rig.post()
    said = operate.conclusion(order_id)
    assert "It waits for its message" in said
    assert "to be worked on: wait, messages waiting in the queue of orders: 1" in said
    assert said.endswith("sends it again.")


def test_the_moment_named_for_a_lost_message_is_the_one_of_the_sweep(rig: Rig, operate: Operator) -> None:
    order_id = rig.post()
    rig.bodies("orders")
    for _ in range(4):
        case = operate.json("explain", order_id)["case"]
        ((seconds,),) = rig.sql("SELECT extract(epoch FROM %s::timestamptz - engine_now())::float", case["resend_at"])
        rig.advance(seconds - 2)
        rig.sweep()
        assert rig.bodies("orders") == []
        rig.advance(3)
        rig.sweep()
        assert rig.bodies("orders") == [order_id]


def test_an_order_that_no_sweep_sent_again_blames_the_sweep(rig: Rig, operate: Operator) -> None:
    order_id = rig.post()
    assert "check that the sweep function runs" not in operate.conclusion(order_id)
    rig.advance(600)
    said = operate.conclusion(order_id)
    assert "the message is late" in said
    assert "check that the sweep function runs" in said
    rig.sweep()
    assert "check that the sweep function runs" not in operate.conclusion(order_id)


def test_an_order_under_a_live_lease(rig: Rig, operate: Operator) -> None:
    order_id = rig.post()
    rig.sql("UPDATE orders SET claim_token = 4, lease_until = engine_now() + interval '12 seconds'")
    said = operate.conclusion(order_id)
    assert said.startswith("A worker holds it under claim 4, until ")
    assert "(in 12 s)" in said or "(in 11 s)" in said
    assert said.endswith("look again then.")


def test_an_order_between_two_attempts(rig: Rig, operate: Operator) -> None:
    order_id = rig.post()
    rig.sql("UPDATE orders SET attempts = 1, next_try_at = engine_now() + interval '1 minute'")
    said = operate.conclusion(order_id)
    assert said.startswith("It waits until ")
    assert said.endswith("for attempt 2 of 3: nothing is to be done before.")


def test_an_order_whose_transaction_is_under_way_or_due(rig: Rig, operate: Operator) -> None:
    order_id = rig.post()
    rig.invoke(order_id)
    tx_id = rig.row(order_id)["open_tx"]
    rig.sql("UPDATE orders SET next_try_at = engine_now() + interval '3 seconds'")
    said = operate.conclusion(order_id)
    assert f"to ask the chain for transaction {tx_id}, valid until" in said
    assert said.startswith("It waits until ")
    rig.sql("UPDATE orders SET next_try_at = NULL")
    said = operate.conclusion(order_id)
    assert said.startswith("It waits for its message")
    assert f"to ask the chain for transaction {tx_id}, valid until" in said


def test_an_order_that_crashed_and_one_that_crashed_too_often(rig: Rig, operate: Operator) -> None:
    order_id, submitted = rig.post(), rig.post()
    rig.invoke(submitted)
    # Of a row of claims that crashed, the last is counted by whoever claims next.
    die(rig, order_id, MAX_CRASHES - 1)
    said = operate.conclusion(order_id)
    assert f"crash {MAX_CRASHES - 1} of the {MAX_CRASHES}" in said
    assert "log" in said
    for each in (order_id, submitted):
        die(rig, each, MAX_CRASHES)
    said = operate.conclusion(order_id)
    assert "times in a row, so it is left to the dead-letter function, which fails it" in said
    said = operate.conclusion(submitted)
    assert f"which asks for transaction {rig.row(submitted)['open_tx']}, valid until" in said
    assert f"parks the order at {MAX_LAST_RESORTS} crashes" in said
    assert "messages waiting in the queue of dead letters: 0" in said


def test_a_parked_order_says_why(rig: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = park(rig, monkeypatch)
    tx_id = rig.row(order_id)["open_tx"]
    said = operate.conclusion(order_id)
    assert said.startswith(
        f"It is parked, because the chain does not know transaction {tx_id}, which could land until "
    )
    assert "it is asked for again at" in said
    assert f'make operate ARGS="resume {order_id}"' in said
    rig.advance(2 * 3600)
    assert "check that the sweep and dead-letter functions run" in operate.conclusion(order_id)
    rig.sql("UPDATE orders SET lease_until = engine_now() + interval '9 seconds'")
    assert operate.conclusion(order_id).startswith("The dead-letter function asks for its transaction under claim ")


def test_an_order_parked_for_its_crashes_says_so(rig: Rig, operate: Operator) -> None:
    order_id = rig.post()
    rig.invoke(order_id)
    die(rig, order_id, MAX_LAST_RESORTS)
    rig.invoke(order_id, handler=queue.dead_letters)
    assert rig.row(order_id)["parked_at"]
    said = operate.conclusion(order_id)
    assert said.startswith(f"It is parked, because its claims crashed {MAX_LAST_RESORTS} times")
    assert f'find the crash in the log of the dead-letter function, then make operate ARGS="resume {order_id}"' in said
    assert f"its claims crashed {MAX_LAST_RESORTS} times" in operate("list")[1]


def test_an_order_that_has_ended(rig: Rig, operate: Operator) -> None:
    confirmed, failed = rig.post(), fail(rig)
    tx_id = rig.settle(confirmed)["txHash"]
    assert operate.conclusion(confirmed) == f"It is confirmed by transaction {tx_id}: nothing is left to do."
    reason = "the sandbox token FAIL fails every attempt"
    assert (
        operate.conclusion(failed)
        == f'It failed at attempt 3 ({reason}): make operate ARGS="repeat {failed}" places it anew.'
    )
    repeat = operate.json("repeat", failed)["order_id"]
    assert operate.conclusion(failed).endswith(f"and was repeated: go on with `explain {repeat}`.")


def test_an_order_that_this_release_cannot_read(rig: Rig, operate: Operator) -> None:
    order_id = rig.post()
    rig.sql("""UPDATE orders SET payload = '{"legs": 2}'""")
    assert "a form that this release cannot read" in operate.conclusion(order_id)
    assert 'unreadable {"legs": 2}' in operate("explain", order_id)[1]


def test_an_order_in_a_status_that_this_release_does_not_have(rig: Rig, operate: Operator) -> None:
    order_id = rig.post()
    rig.sql("ALTER TABLE orders DROP CONSTRAINT status_is_known")
    rig.sql("UPDATE orders SET status = 'frozen'")
    rig.sql("UPDATE order_events SET status = 'frozen'")
    assert "a form that this release cannot read (status frozen)" in operate.conclusion(order_id)


@pytest.mark.parametrize(
    ("table", "state", "told"),
    [
        ("connections", "open = false", "1 not open yet"),
        ("connections", "not_before = engine_now() + interval '1 minute'", "1 held back after failed pushes"),
        ("subscriptions", "lease_until = engine_now() + interval '9 seconds'", "1 being pushed to"),
        ("connections", "open = true", "1 left to the next sweep"),
    ],
)
def test_sockets_that_lag(rig: Rig, operate: Operator, table: str, state: str, told: str) -> None:
    order_id = rig.post()
    socket, other = rig.bind(order_id), rig.bind(order_id)
    rig.settle(order_id)
    assert "lack frames" not in operate.conclusion(order_id)
    rig.sql("UPDATE subscriptions SET last_seq = 3 WHERE connection_id = %s", socket)
    where = "id" if table == "connections" else "connection_id"
    rig.sql(f"UPDATE {table} SET {state} WHERE {where} = %s", socket)
    said = operate.conclusion(order_id)
    assert said.startswith("It is confirmed by transaction ")
    assert "of its 2 sockets 1 lack frames: nothing is left to do; of the sockets " + told in said
    text = operate("explain", order_id)[1]
    assert f"{socket} has 3 of 5" in text
    assert other not in text


def test_the_timeline_tells_all_of_it_in_order(rig: Rig, operate: Operator) -> None:
    order_id = rig.post(tokenOut="FLAKY")
    rig.invoke(order_id)
    rig.advance(1)
    rig.invoke(order_id)
    rig.advance(2)
    rig.invoke(order_id)
    rig.sql("UPDATE orders SET next_try_at = engine_now() + interval '3 seconds'")
    status, text = operate("explain", order_id)
    assert status == 0
    lines = text.splitlines()
    assert lines[0] == f"order {order_id}: 3 SOL → FLAKY"
    assert lines[1].startswith("  submitted, attempt 2 of 3, claim 3, crashes 0 of 3")
    moments = [line[2:26] for line in lines[3 : lines.index("", 3)]]
    assert moments == sorted(moments)
    for word in ("1  bound True", "reverted", "unresolved", "valid until", "sent", "now", "next try", "retryAttempt 1"):
        assert word in text


def test_a_queue_out_of_reach_is_named(rig: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = rig.post()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ORDERS_QUEUE", "http://127.0.0.1:9/queue/orders")
    assert "but the queue of orders cannot be reached from here" in operate.conclusion(order_id)


def test_orders_that_rest(rig: Rig, operate: Operator) -> None:
    stop = rig.post(orderType="stop", triggerPrice="0.5")
    limit = rig.post(orderType="limit", limitPrice="0.001", timeInForce="GTD", expiresAt="2999-01-01T00:00:00Z")
    recurring = rig.post(orderType="recurring", every=60, count=3)
    rig.work()
    assert "the reference price, tokenIn for one tokenOut, is at least 0.5" in operate.conclusion(stop)
    assert "is at most 0.001, and expires 2999-01-01" in operate.conclusion(limit)
    assert "its next run is due" in operate.conclusion(recurring)
    assert rest.cancel(Request(), stop).status == 200
    assert "It is cancelled, before anything filled it" in operate.conclusion(stop)
