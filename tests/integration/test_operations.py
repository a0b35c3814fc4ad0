"""The operator's command on a real database and queue: lists, resumed orders, repeats, and what it refuses."""

import threading
from uuid import uuid4

import pytest

from chalicelib import bootstrap
from chalicelib.domain.retry import MAX_LAST_RESORTS
from chalicelib.handlers import queue
from chalicelib.venues.base import Answer, Outcome
from operations.__main__ import main
from tests.integration.faults import LEASE_OVER, Chain, die
from tests.integration.operators import Operator, fail, park
from tests.integration.rig import Rig

# list


def test_the_list_shows_what_needs_somebody_oldest_first(
    rig: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert operate("list") == (0, "no parked orders\n\nno failed orders\n")
    rig.settle(rig.post())
    failed = [fail(rig) for _ in range(3)]
    parked = [park(rig, monkeypatch) for _ in range(2)]
    rig.post()
    found = operate.json("list")
    assert [each["row"]["id"] for each in found["parked"]] == parked
    assert [each["row"]["id"] for each in found["failed"]] == failed
    status, text = operate("list")
    assert status == 0
    tx_id = rig.row(parked[0])["open_tx"]
    assert f"{parked[0]}  3 SOL → USDC  parked " in text
    assert f": the chain does not know transaction {tx_id}, which could land until " in text
    assert f"{failed[0]}  3 SOL → FAIL  failed " in text
    assert "the sandbox token FAIL fails every attempt" in text
    assert all(each not in operate("list", "--parked")[1] for each in failed)
    assert all(each not in operate("list", "--failed")[1] for each in parked)
    # Of parked orders the oldest are shown, of failed ones the latest.
    found = operate.json("list", "--limit", "1")
    assert [each["row"]["id"] for each in found["parked"] + found["failed"]] == [parked[0], failed[2]]
    assert found["more"] == ["parked", "failed"]
    assert "--limit shows more" in operate("list", "--limit", "1")[1]
    repeat = operate.json("repeat", failed[1])["order_id"]
    assert f"; repeated as {repeat}" in operate("list", "--failed")[1]


# resume


def test_a_resumed_order_whose_transaction_landed_is_confirmed(
    rig: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = park(rig, monkeypatch)
    tx_id = rig.row(order_id)["open_tx"]
    assert operate("resume", order_id) == (0, f"resumed {order_id}\n")
    assert rig.row(order_id)["parked_at"] is None
    assert rig.messages("orders") >= 1
    assert rig.finish(order_id)["txHash"] == tx_id
    assert rig.check_log(order_id)[-1] == "confirmed"


def test_a_resumed_order_whose_transaction_never_arrived_is_tried_anew(
    rig: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = park(rig, monkeypatch)
    tx_id = rig.row(order_id)["open_tx"]
    rig.sql("DELETE FROM simulated_swaps")
    assert operate("resume", order_id)[0] == 0
    shown = rig.finish(order_id)
    assert shown["status"] == "confirmed"
    assert shown["txHash"] != tx_id
    assert sorted(rig.swaps(order_id)) == ["dead", "succeeded"]
    assert rig.sql("SELECT outcome FROM simulated_swaps WHERE tx_id = %s", tx_id) == [("dead",)]
    rig.check_log(order_id)


def test_a_resumed_order_that_is_still_unknown_is_parked_again(
    rig: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = park(rig, monkeypatch)
    chain = Chain(monkeypatch)
    assert operate("resume", order_id)[0] == 0
    rig.until(lambda: rig.row(order_id)["parked_at"])
    assert len(chain.asked) == 1
    assert rig.row(order_id)["outcome"] is None


def test_a_resumed_order_that_was_parked_for_its_crashes_is_asked_for_again(rig: Rig, operate: Operator) -> None:
    order_id = rig.post()
    rig.invoke(order_id)
    die(rig, order_id, MAX_LAST_RESORTS)
    rig.invoke(order_id, handler=queue.dead_letters)
    assert operate("resume", order_id)[0] == 0
    assert rig.row(order_id)["crashes"] == 0
    assert rig.finish(order_id)["status"] == "confirmed"


def test_resuming_fences_off_who_held_the_order_before(
    rig: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = park(rig, monkeypatch)
    chain = Chain(monkeypatch)

    async def overtaken(tx_id: str) -> Answer:
        # A holder that stood still until its lease was over and an operator had come.
        rig.advance(LEASE_OVER)
        resume = threading.Thread(target=main, args=(["resume", order_id],))
        resume.start()
        resume.join()
        return Answer(outcome=Outcome.UNKNOWN)

    executor = bootstrap.engine().dead_letter_worker._runner.__self__
    monkeypatch.setattr(executor._chain, "ask", overtaken)
    rig.invoke(order_id, handler=queue.dead_letters)
    assert rig.row(order_id)["parked_at"] is None
    assert chain.asked == []


def test_a_message_that_the_queue_does_not_take_is_left_to_the_sweep(
    rig: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    parked, failed = park(rig, monkeypatch), fail(rig)
    # Long parked: a sweep would leave such an order alone for an hour after its last message.
    rig.advance(3 * 3600)
    rig.bodies("orders")
    with monkeypatch.context() as away:
        away.setenv("ORDERS_QUEUE", "http://127.0.0.1:9/queue/orders")
        away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        status, text = operate("resume", parked)
        assert (status, text.startswith(f"resumed {parked} (the queue took no message")) == (0, True)
        status, text = operate("repeat", failed)
        assert status == 0
        assert "(the queue took no message" in text
    rig.sweep()
    assert rig.bodies("orders") == [parked]
    # The rig moves the database's clock and not the command's, which makes the gap longer than its minute.
    rig.advance(3601)
    rig.sweep()
    assert operate.json("repeat", failed)["order_id"] in rig.bodies("orders")


def test_a_message_that_the_queue_took_is_not_sent_by_the_sweep_as_well(
    rig: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = park(rig, monkeypatch)
    rig.advance(600)
    assert operate("resume", order_id)[0] == 0
    assert rig.bodies("orders") == [order_id]
    rig.sweep()
    assert rig.bodies("orders") == []
    assert "check that the sweep function runs" not in operate.conclusion(order_id)


def test_only_parked_orders_are_resumed_and_each_refusal_says_why(
    rig: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirmed, waiting, unknown = rig.post(), rig.post(), str(uuid4())
    rig.settle(confirmed)
    parked = [park(rig, monkeypatch) for _ in range(2)]
    rig.sql("UPDATE orders SET lease_until = engine_now() + interval '9 seconds' WHERE id = %s", parked[1])
    before = rig.row(waiting), rig.row(parked[1])
    status, text = operate("resume", confirmed, waiting, unknown, *parked, parked[0])
    lines = text.splitlines()
    assert status == 1
    assert lines[0] == f"resumed {parked[0]}"
    assert lines[1].startswith(f"refused {confirmed}: it is not parked. It is confirmed by transaction ")
    assert lines[2].startswith(f"refused {waiting}: it is not parked. It waits for its message")
    assert lines[3] == f"refused {unknown}: no order has this id"
    assert lines[4].startswith(f"refused {parked[1]}: The dead-letter function asks for its transaction")
    assert len(lines) == 5
    assert (rig.row(waiting), rig.row(parked[1])) == before


# repeat


def test_a_repeat_is_a_new_order_on_the_old_terms(rig: Rig, operate: Operator) -> None:
    order_id = rig.post(tokenOut="FAIL", amount="1.25", slippageTolerance="0.03")
    before = rig.settle(order_id)
    rig.bodies("orders")
    rig.sql("UPDATE orders SET account = 'alice'")
    status, text = operate("repeat", order_id)
    repeat = text.split()[-1]
    assert (status, text) == (0, f"order {order_id} is repeated as {repeat}\n")
    assert rig.bodies("orders") == [repeat]
    assert rig.row(repeat)["account"] == "alice"
    rig.sql("UPDATE orders SET account = 'default'")
    shown = rig.show(repeat)
    assert shown["repeatOf"] == order_id
    terms = ("tokenIn", "tokenOut", "amount", "slippageTolerance")
    assert [shown[name] for name in terms] == [before[name] for name in terms] == ["SOL", "FAIL", "1.25", "0.03"]
    assert (shown["status"], shown["attempts"], shown["failureReason"]) == ("pending", 0, None)
    # The old order stays what it was.
    assert rig.show(order_id) == before
    assert before["repeatOf"] is None
    rig.sql("UPDATE orders SET payload = jsonb_set(payload, '{tokenOut,name}', '\"USDC\"') WHERE id = %s", repeat)
    assert rig.settle(repeat)["status"] == "confirmed"
    rig.check_log(repeat)


def test_repeating_twice_answers_with_the_first_repeat(rig: Rig, operate: Operator) -> None:
    order_id = fail(rig)
    first = operate.json("repeat", order_id)
    rig.bodies("orders")
    assert (first["created"], first["repeat_of"]) == (True, order_id)
    status, text = operate("repeat", order_id)
    assert (status, text) == (0, f"order {order_id} was repeated before, as {first['order_id']}\n")
    assert rig.bodies("orders") == []
    # A repeat that failed is an order like any other.
    rig.settle(first["order_id"])
    second = operate.json("repeat", first["order_id"])
    assert second["created"]
    assert rig.show(second["order_id"])["repeatOf"] == first["order_id"]


def test_repeating_at_the_same_time_makes_one_order(rig: Rig, operate: Operator) -> None:
    order_id = fail(rig)
    together = threading.Barrier(6)
    statuses: list[int] = []

    def repeat() -> None:
        together.wait()
        statuses.append(main(["repeat", order_id]))

    threads = [threading.Thread(target=repeat) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0] * 6
    ((repeated,),) = rig.sql("SELECT id::text FROM orders WHERE repeat_of = %s", order_id)
    assert rig.bodies("orders") == [repeated]
    assert rig.sql("SELECT count(*) FROM order_events WHERE order_id = %s", repeated) == [(1,)]


def test_what_was_or_may_be_executed_is_not_repeated(
    rig: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirmed, pending, parked = rig.post(), rig.post(), park(rig, monkeypatch)
    rig.settle(confirmed)
    status, text = operate("repeat", confirmed)
    assert (status, text) == (1, f"order {confirmed} is confirmed: what was executed is not executed again\n")
    for each, told in ((pending, "It waits for its message"), (parked, "It is parked, because")):
        status, text = operate("repeat", each)
        assert status == 1
        assert text.startswith(f"order {each} has not ended, and may be executed yet. {told}")
    unknown = str(uuid4())
    assert operate("repeat", unknown) == (1, f"no order has the id {unknown}\n")
    assert operate.json("repeat", unknown) == {"error": f"no order has the id {unknown}"}
    assert rig.sql("SELECT count(*) FROM orders") == [(3,)]


# the command line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["mend"],
        ["explain"],
        ["explain", "1"],
        *(["list", "--limit", limit] for limit in ("0", "1001", "٣", "9" * 5000)),
    ],
)
def test_a_command_line_that_is_none_ends_with_2(operate: Operator, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_settings_that_are_none_end_with_2(operate: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://elsewhere")
    with pytest.raises(SystemExit) as ended:
        main(["list"])
    assert ended.value.code == 2


@pytest.mark.parametrize("endpoint", ["localhost:4566", "http://localhost:port"])
def test_an_endpoint_that_is_none_ends_with_2_before_anything_is_changed(
    rig: Rig,
    operate: Operator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    endpoint: str,
) -> None:
    order_id = park(rig, monkeypatch)
    before = rig.row(order_id)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    for command in ("resume", "repeat", "explain"):
        with pytest.raises(SystemExit) as ended:
            main([command, order_id])
        assert ended.value.code == 2
        assert "error: AWS settings: " in capsys.readouterr().err.splitlines()[-1]
    assert rig.row(order_id) == before


def test_a_database_out_of_reach_ends_with_1(operate: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:9/none")
    for arguments in (["list"], ["resume", str(uuid4())], ["repeat", str(uuid4())]):
        status, text = operate(*arguments)
        assert status == 1
        assert text.startswith("database: ")
    assert operate("explain", str(uuid4()))[0] == 1


def test_an_order_that_nobody_has_ends_with_1(operate: Operator) -> None:
    unknown = str(uuid4())
    assert operate("explain", unknown) == (1, f"no order has the id {unknown}\n")
