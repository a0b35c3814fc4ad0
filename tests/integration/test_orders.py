"""An order's way through the handlers: real Postgres, SQS, and a gateway over HTTP."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from chalicelib import bootstrap
from chalicelib.store.orders import RESEND_SECONDS
from chalicelib.venues.simulated.venue import REFERENCE
from tests.integration.rig import Rig

HAPPY = ["pending", "routing", "building", "submitted", "confirmed"]
TX = re.compile(r"MOCKTX_[0-9a-f]{24}")
TS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def metas(rig: Rig, order_id: str) -> list[dict[str, Any]]:
    return [event["meta"] for event in rig.show(order_id)["events"]]


def test_an_order_is_confirmed_and_every_step_streamed(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.bind(order_id)
    shown = rig.finish(order_id)
    assert shown["status"] == "confirmed"
    frames = rig.frames(socket)
    assert rig.statuses(socket) == HAPPY
    assert [set(frame) for frame in frames] == [{"orderId", "status", "meta", "ts", "seq"}] * 5
    assert [frame["seq"] for frame in frames] == [1, 2, 3, 4, 5]
    assert {frame["orderId"] for frame in frames} == {order_id}
    assert all(TS.fullmatch(frame["ts"]) for frame in frames)
    pending, routing, building, submitted, confirmed = (frame["meta"] for frame in frames)
    assert pending == {"bound": True}
    assert routing == {"step": "fetching quotes"}
    route = building["route"]
    chosen, other = route["chosen"], route["other"]
    assert {chosen["dex"], other["dex"]} == {"Raydium", "Meteora"}
    assert {"dex", "price", "fee", "liquidity"} <= set(chosen)
    assert set(chosen) == set(other)
    assert chosen["price"] <= other["price"]
    assert {quote["dex"]: quote["fee"] for quote in (chosen, other)} == {"Raydium": 0.0025, "Meteora": 0.002}
    assert route["decision"].startswith(chosen["dex"])
    assert submitted == {"dex": chosen["dex"]}
    assert TX.fullmatch(confirmed["txHash"])
    assert confirmed["dex"] == chosen["dex"]
    # 3 SOL for about 450 USDC: what one unit of tokenOut cost in tokenIn.
    assert 0.0063 < confirmed["executedPrice"] < 0.0070
    assert abs(confirmed["executedPrice"] / chosen["price"] - 1) < 0.0041
    assert confirmed["executedPrice"] == pytest.approx(3 / (int(confirmed["amountOut"]) / 1e6))
    assert (shown["txHash"], shown["attempts"], shown["failureReason"]) == (confirmed["txHash"], 1, None)
    rig.check_log(order_id)


def test_flaky_is_confirmed_at_the_third_attempt(rig: Rig) -> None:
    order_id = rig.post(tokenOut="FLAKY")
    socket = rig.bind(order_id)
    shown = rig.finish(order_id)
    assert (shown["status"], shown["attempts"]) == ("confirmed", 3)
    attempt = HAPPY[1:4]
    assert rig.statuses(socket) == ["pending", *attempt, "pending", *attempt, "pending", *attempt, "confirmed"]
    retries = [frame["meta"] for frame in rig.frames(socket)[1:] if frame["status"] == "pending"]
    assert [(meta["retryAttempt"], meta["nextTryInMs"]) for meta in retries] == [(1, 500), (2, 1000)]
    assert all("FLAKY" in meta["reason"] for meta in retries)
    assert sorted(rig.swaps(order_id)) == ["reverted", "reverted", "succeeded"]
    rig.check_log(order_id)


def test_fail_ends_in_failed_with_its_reason_after_three_attempts(rig: Rig) -> None:
    order_id = rig.post(tokenOut="FAIL")
    socket = rig.bind(order_id)
    shown = rig.settle(order_id)
    assert (shown["status"], shown["attempts"], shown["txHash"]) == ("failed", 3, None)
    assert shown["failureReason"] == "the sandbox token FAIL fails every attempt"
    assert rig.statuses(socket).count("pending") == 3
    assert rig.frames(socket)[-1]["meta"] == {"reason": shown["failureReason"]}
    assert rig.swaps(order_id) == ["reverted"] * 3
    rig.check_log(order_id)


def test_a_price_that_moved_too_far_says_so_with_both_numbers(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.venues.simulated.chain.DRIFT", 0.0)
    orders = [rig.post(slippageTolerance=0) for _ in range(3)]
    # Without a drift the quote itself is paid, and that is enough.
    assert [rig.settle(order_id)["status"] for order_id in orders] == ["confirmed"] * 3
    monkeypatch.setattr("chalicelib.venues.simulated.chain.DRIFT", 0.004)
    for _ in range(20):
        order_id = rig.post(slippageTolerance=0)
        rig.settle(order_id)
        if reasons := [meta["reason"] for meta in metas(rig, order_id) if "reason" in meta]:
            break
    found = re.fullmatch(r"slippage exceeded: (\d+) is less than the minimum of (\d+) base units", reasons[0])
    assert found
    assert int(found[1]) < int(found[2])
    minimums = [meta["route"]["minAmountOut"] for meta in metas(rig, order_id) if "route" in meta]
    assert found[2] == minimums[0]
    rig.check_log(order_id)


def first_attempt(rig: Rig) -> tuple[str, dict[str, Any]]:
    """A flaky order whose first transaction is on its way, and its route."""
    order_id = rig.post(tokenOut="FLAKY")
    rig.invoke(order_id)
    (route,) = [meta["route"] for meta in metas(rig, order_id) if "route" in meta]
    amount_out, least = int(route["amountOut"]), int(route["minAmountOut"])
    assert least == -(-amount_out * 98 // 100)
    return order_id, route


@pytest.mark.parametrize("dollars", ["149", "151"], ids=["worse", "better"])
def test_every_attempt_is_held_to_the_first_ones_minimum(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, dollars: str
) -> None:
    order_id, first = first_attempt(rig)
    monkeypatch.setitem(REFERENCE, "SOL", Decimal(dollars))
    assert rig.settle(order_id)["status"] == "confirmed"
    _, second, third = [meta["route"] for meta in metas(rig, order_id) if "route" in meta]
    assert (int(second["amountOut"]) > int(first["amountOut"])) == (dollars == "151")
    assert first["minAmountOut"] == second["minAmountOut"] == third["minAmountOut"]
    assert rig.sql("SELECT bound::text FROM orders WHERE id = %s", order_id) == [(first["minAmountOut"],)]
    minimums = "SELECT DISTINCT min_amount_out::text FROM submissions WHERE order_id = %s"
    assert rig.sql(minimums, order_id) == [(first["minAmountOut"],)]
    rig.check_log(order_id)


def test_an_order_whose_price_has_left_its_minimum_fails_with_both_numbers(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id, first = first_attempt(rig)
    monkeypatch.setitem(REFERENCE, "SOL", Decimal(140))
    shown = rig.settle(order_id)
    assert (shown["status"], shown["attempts"]) == ("failed", 3)
    found = re.fullmatch(
        r"slippage exceeded: (\d+) is less than the minimum of (\d+) base units", shown["failureReason"]
    )
    assert found
    assert int(found[1]) < int(found[2]) == int(first["minAmountOut"])
    # Only the first attempt had a quote to submit.
    assert rig.swaps(order_id) == ["reverted"]
    rig.check_log(order_id)


@pytest.mark.parametrize(
    ("fields", "amount"),
    [
        ({"amount": "0.000000001"}, "0.000000001"),
        ({"amount": 18446744073}, "18446744073"),
        ({"tokenIn": "BONK", "tokenOut": "SOL", "amount": "12345.67891"}, "12345.67891"),
        ({"tokenIn": "So11111111111111111111111111111111111111112", "amount": 1e-3}, "0.001"),
        ({"tokenIn": "sol", "tokenOut": "SomeThing-New", "amount": "7"}, "7"),
    ],
    ids=["one unit", "large", "five decimals", "mint", "unknown"],
)
def test_amounts_are_kept_to_the_last_unit(rig: Rig, fields: Mapping[str, Any], amount: str) -> None:
    order_id = rig.post(**fields)
    assert rig.show(order_id)["amount"] == amount
    # A single unit of SOL buys less than a unit of USDC: nobody quotes that, and the order says why.
    expected = "failed" if amount == "0.000000001" else "confirmed"
    shown = rig.settle(order_id)
    assert shown["status"] == expected, shown
    if expected == "failed":
        assert "round to zero" in shown["failureReason"]
        assert shown["attempts"] == 3
    assert "slippageTolerance" in shown
    rig.check_log(order_id)


def test_a_seed_makes_the_same_draws_for_the_same_order(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENUE_SEED", "a seed")
    order_id = rig.post(tokenOut="FLAKY")
    rig.settle(order_id)
    first = metas(rig, order_id)
    for table in ("orders", "order_events", "submissions", "simulated_swaps"):
        rig.sql(f"DELETE FROM {table}")
    # The same order once more, in another container.
    bootstrap.close()
    monkeypatch.setattr("chalicelib.intake.accept.uuid7", lambda *_: UUID(order_id))
    assert rig.post(tokenOut="FLAKY") == order_id
    rig.settle(order_id)
    assert metas(rig, order_id) == first
    routes = [str(meta["route"]) for meta in first if "route" in meta]
    assert len(set(routes)) == 3
    monkeypatch.undo()


def test_a_message_holds_the_id_and_nothing_else(rig: Rig) -> None:
    order_id = rig.post()
    assert rig.bodies("orders") == [order_id]
    rig.invoke(order_id)
    assert rig.bodies("orders") == [order_id]


def test_nobody_waits_for_a_swap_to_land(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # A swap lands two to three thousand seconds after it was sent, and quotes come at once.
    monkeypatch.setenv("VENUE_TIME_SCALE", "1000")
    monkeypatch.setattr("chalicelib.venues.simulated.venue.QUOTE_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("chalicelib.venues.simulated.chain.VALID_MS", 10**9)
    order_id = rig.post()
    rig.invoke(order_id)
    row = rig.row(order_id)
    assert (row["status"], row["lease_until"]) == ("submitted", None)
    waits = "SELECT next_try_at - engine_now() BETWEEN interval '1990 seconds' AND interval '3001 seconds' FROM orders"
    assert rig.sql(waits) == [(True,)]
    assert rig.messages("orders") == 2


def test_a_transaction_that_is_under_way_is_asked_for_when_it_should_land(rig: Rig) -> None:
    order_id = rig.post()
    rig.invoke(order_id)
    rig.sql("UPDATE simulated_swaps SET lands_at = engine_now() + interval '2 seconds'")
    assert rig.invoke(order_id) == []
    assert rig.show(order_id)["status"] == "submitted"
    rig.advance(2)
    rig.invoke(order_id)
    assert rig.show(order_id)["status"] == "confirmed"


def test_many_orders_at_once_all_confirm(rig: Rig) -> None:
    orders = [rig.post() for _ in range(40)]
    socket = rig.connect()
    for order_id in orders[::10]:
        rig.send(socket, {"orderId": order_id})
    while rig.sql("SELECT 1 FROM orders WHERE outcome IS NULL LIMIT 1"):
        rig.work()
    for order_id in orders[::10]:
        assert [frame["status"] for frame in rig.frames(socket) if frame["orderId"] == order_id] == HAPPY
    assert rig.sql("SELECT outcome, count(*) FROM orders GROUP BY 1") == [("confirmed", 40)]
    assert rig.sql("SELECT outcome, count(*) FROM simulated_swaps GROUP BY 1") == [("succeeded", 40)]


def test_an_order_that_was_released_just_now_is_not_taken_for_lost(rig: Rig) -> None:
    order_id = rig.post()
    rig.sql("UPDATE orders SET enqueued_at = enqueued_at - interval '1 hour'")
    assert rig.invoke(order_id) == []
    row = rig.row(order_id)
    assert (row["status"], row["lease_until"]) == ("submitted", None)
    engine = bootstrap.engine()
    # Past its pause, which would keep it from the sweep by itself.
    rig.advance(5)
    assert rig.sql("SELECT coalesce(next_try_at <= engine_now(), true) FROM orders") == [(True,)]
    assert engine.run(engine.orders.due(10)) == []
    rig.advance(RESEND_SECONDS)
    assert engine.run(engine.orders.due(10)) == [UUID(order_id)]
