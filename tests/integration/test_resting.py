"""Orders that rest: what fires them, fills them, and ends them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from chalicelib.handlers import rest
from chalicelib.venues.simulated.venue import REFERENCE
from tests.integration.rig import SOL_TO_USDC, Request, Rig

# The simulated market asks about 0.0067 SOL for one USDC; a percent more or less from look to look.
REACHED, OUT_OF_REACH = "0.0070", "0.0060"
FILLED = ["routing", "building", "submitted", "confirmed"]


def metas(rig: Rig, order_id: str) -> list[dict[str, Any]]:
    return [event["meta"] for event in rig.show(order_id)["events"]]


def refused(**fields: Any) -> dict[str, str]:
    reply = rest.execute(Request(json.dumps(SOL_TO_USDC | fields).encode()))
    assert reply.status == 400, reply.body
    return dict(json.loads(reply.body))


def amend(order_id: str, seq: int | str | None, **fields: Any) -> tuple[int, dict[str, Any]]:
    reply = rest.amend(Request(json.dumps(fields).encode(), if_match=None if seq is None else f'"{seq}"'), order_id)
    return reply.status, json.loads(reply.body)


def cancel(order_id: str) -> tuple[int, dict[str, Any]]:
    reply = rest.cancel(Request(), order_id)
    return reply.status, json.loads(reply.body)


def rested(rig: Rig, **fields: Any) -> str:
    order_id = rig.post(**fields)
    rig.work()
    assert rig.show(order_id)["status"] == "open"
    return order_id


@contextmanager
def dearer(sol: int = 120) -> Iterator[None]:
    """A time in which one USDC costs 0.0083 SOL, or what it does with another price of SOL in dollars."""
    with pytest.MonkeyPatch.context() as market:
        market.setitem(REFERENCE, "SOL", Decimal(sol))
        yield


def test_a_limit_that_the_market_meets_fills_at_once(rig: Rig) -> None:
    order_id = rig.post(orderType="limit", limitPrice=REACHED)
    rig.finish(order_id)
    assert rig.check_log(order_id) == ["pending", *FILLED]
    confirmed = metas(rig, order_id)[-1]
    # 3 SOL at 0.007 SOL for one USDC.
    assert int(confirmed["amountOut"]) >= 428_571_429
    assert metas(rig, order_id)[2]["route"]["minAmountOut"] == "428571429"


def test_a_limit_out_of_reach_rests_until_the_price_comes(rig: Rig) -> None:
    with dearer():
        order_id = rested(rig, orderType="limit", limitPrice=REACHED)
        socket = rig.bind(order_id)
        assert rig.statuses(socket) == ["pending", "routing", "open"]
        opened = rig.frames(socket)[-1]["meta"]
        assert opened["waitingFor"] == {"atMost": "0.007"}
        assert "less than the minimum of 428571429 base units" in opened["reason"]
        rig.advance(2)
        rig.watch()
        assert rig.messages("orders") == 0
    rig.watch()
    triggered = rig.frames(socket)[-1]["meta"]
    assert triggered["triggered"] is True
    assert triggered["atMost"] == "0.007"
    assert Decimal(triggered["referencePrice"]) < Decimal("0.007")
    rig.finish(order_id)
    assert rig.check_log(order_id) == ["pending", "routing", "open", "pending", *FILLED]
    assert rig.show(order_id)["attempts"] == 0
    assert rig.row(order_id)["watch_price"] is None


def test_a_price_that_leaves_no_base_unit_to_pay_fills_nothing(rig: Rig) -> None:
    wanted = {"amount": None, "amountOut": "1", "orderType": "limit", "limitPrice": "0.0000000000001"}
    order_id = rested(rig, **wanted)
    assert "more than the maximum of 0 base units" in metas(rig, order_id)[-1]["reason"]
    reply = rest.quote(Request(json.dumps(SOL_TO_USDC | wanted).encode()))
    assert reply.status == 422


def test_a_stop_waits_for_its_trigger_without_a_look_at_the_market(rig: Rig) -> None:
    order_id = rested(rig, orderType="stop", triggerPrice="0.008")
    assert metas(rig, order_id) == [{"bound": True}, {"waitingFor": {"atLeast": "0.008"}}]
    rig.watch()
    assert rig.show(order_id)["status"] == "open"
    with dearer():
        rig.watch()
        rig.finish(order_id)
    assert rig.check_log(order_id) == ["pending", "open", "pending", *FILLED]
    assert metas(rig, order_id)[2]["atLeast"] == "0.008"


def test_a_stop_past_its_trigger_is_refused(rig: Rig) -> None:
    answer = refused(orderType="stop", triggerPrice=OUT_OF_REACH)
    assert answer["code"] == "already_triggered"
    assert "triggerPrice 0.006 is reached already: the reference price is 0.006" in answer["error"]
    assert rig.sql("SELECT count(*) FROM orders") == [(0,)]


def test_a_stop_repeated_under_its_key_is_answered_wherever_the_price_has_gone(rig: Rig) -> None:
    def post(key: str, price: str = "0.008") -> tuple[int, dict[str, str]]:
        body = json.dumps(SOL_TO_USDC | {"orderType": "stop", "triggerPrice": price}).encode()
        reply = rest.execute(Request(body, key=key))
        return reply.status, json.loads(reply.body)

    first = post("k")
    assert first[0] == 200
    with dearer():
        assert post("k") == first
        assert post("k", "0.0081")[1]["code"] == "idempotency_key_reused"
        assert post("other")[1]["code"] == "already_triggered"
        rig.advance(25 * 3600)
        assert post("k")[1]["code"] == "already_triggered"
    assert rig.sql("SELECT count(*) FROM orders") == [(1,)]


def test_a_take_profit_fires_when_the_price_has_come_down(rig: Rig) -> None:
    with dearer():
        order_id = rested(rig, orderType="takeProfit", triggerPrice=REACHED)
        rig.watch()
        assert rig.show(order_id)["status"] == "open"
    rig.watch()
    rig.finish(order_id)
    assert rig.check_log(order_id) == ["pending", "open", "pending", *FILLED]


def test_a_stop_beyond_its_limit_opens_again(rig: Rig) -> None:
    order_id = rested(rig, orderType="stop", triggerPrice="0.0075", limitPrice="0.0078")
    with dearer():
        rig.watch()
        rig.work()
        assert rig.check_log(order_id)[-2:] == ["routing", "open"]
        assert metas(rig, order_id)[-1]["waitingFor"] == {"atLeast": "0.0075"}
        # It would only fail again: it is left alone for a while.
        rig.watch()
        assert rig.messages("orders") == 0
    with dearer(131):
        rig.advance(60)
        rig.watch()
        assert rig.finish(order_id)["status"] == "confirmed"


def test_a_submission_that_reverts_opens_the_order_again(rig: Rig) -> None:
    order_id = rig.post(orderType="limit", limitPrice="100", tokenOut="FAIL")
    rig.work()
    rig.until(lambda: rig.show(order_id)["status"] == "open")
    assert rig.check_log(order_id) == ["pending", "routing", "building", "submitted", "open"]
    assert metas(rig, order_id)[-1]["reason"] == "the sandbox token FAIL fails every attempt"
    assert (rig.show(order_id)["attempts"], rig.swaps(order_id)) == (0, ["reverted"])


@pytest.mark.parametrize("policy", ["IOC", "FOK"])
def test_an_order_for_one_evaluation_fills_or_expires(rig: Rig, policy: str) -> None:
    filled = rig.post(orderType="limit", limitPrice=REACHED, timeInForce=policy)
    expired = rig.post(orderType="limit", limitPrice=OUT_OF_REACH, timeInForce=policy)
    reverted = rig.post(orderType="limit", limitPrice="100", tokenOut="FAIL", timeInForce=policy)
    for order_id in (filled, expired, reverted):
        rig.finish(order_id)
    assert rig.check_log(filled)[-1] == "confirmed"
    assert rig.check_log(expired) == ["pending", "routing", "expired"]
    assert rig.check_log(reverted) == ["pending", "routing", "building", "submitted", "expired"]
    assert "less than the minimum" in rig.show(expired)["failureReason"]


def test_an_open_order_expires(rig: Rig) -> None:
    expires_at = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    order_id = rested(rig, orderType="limit", limitPrice=OUT_OF_REACH, timeInForce="GTD", expiresAt=expires_at)
    socket = rig.bind(order_id)
    rig.watch()
    assert rig.show(order_id)["status"] == "open"
    rig.advance(301)
    rig.watch()
    assert rig.check_log(order_id)[-1] == "expired"
    assert rig.frames(socket)[-1]["meta"] == {"reason": "expired"}
    # Its message, late.
    assert rig.invoke(order_id) == []


def test_the_last_moment_there_is(rig: Rig) -> None:
    last = "9999-12-31T23:59:59.999Z"
    order_id = rested(rig, orderType="limit", limitPrice=OUT_OF_REACH, timeInForce="GTD", expiresAt=last)
    assert rig.show(order_id)["expiresAt"] == last
    assert amend(order_id, 3, limitPrice=REACHED)[0] == 200
    rig.watch()
    assert rig.finish(order_id)["status"] == "confirmed"


def test_a_transaction_is_not_valid_beyond_the_orders_expiry(rig: Rig) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=5)
    order_id = rig.post(orderType="limit", limitPrice=REACHED, timeInForce="GTD", expiresAt=expires_at.isoformat())
    rig.work()
    ((valid_until,),) = rig.sql("SELECT valid_until FROM submissions WHERE order_id = %s", order_id)
    assert abs(valid_until - expires_at) < timedelta(milliseconds=1)


def test_two_watchers_fire_an_order_once(rig: Rig) -> None:
    with dearer():
        order_id = rested(rig, orderType="limit", limitPrice=REACHED)
    rig.advance(60)
    others = [rig.container() for _ in range(2)]
    for container in others:
        container.run(container.watcher.tick(5))
    assert rig.messages("orders") == 1
    assert rig.check_log(order_id) == ["pending", "routing", "open", "pending"]


def test_an_order_that_fired_and_lost_its_message_is_swept(rig: Rig) -> None:
    with dearer():
        order_id = rested(rig, orderType="takeProfit", triggerPrice=REACHED)
    rig.watch()
    assert rig.bodies("orders") == [order_id]
    rig.advance(120)
    rig.sweep()
    assert rig.finish(order_id)["status"] == "confirmed"


def test_the_sweep_leaves_open_orders_alone(rig: Rig) -> None:
    rested(rig, orderType="limit", limitPrice=OUT_OF_REACH)
    rig.advance(7200)
    rig.sweep()
    assert rig.messages("orders") == 0


def test_cancelling(rig: Rig) -> None:
    order_id = rested(rig, orderType="limit", limitPrice=OUT_OF_REACH)
    socket = rig.bind(order_id)
    assert cancel(order_id) == (200, {"orderId": order_id, "status": "cancelled"})
    assert rig.frames(socket)[-1]["meta"] == {"reason": "cancelled by its client"}
    assert rig.check_log(order_id) == ["pending", "routing", "open", "cancelled"]
    status, answer = cancel(order_id)
    assert (status, answer["code"]) == (409, "already_terminal")
    assert "cancelled already" in answer["error"]
    rig.advance(60)
    rig.watch()
    assert rig.messages("orders") == 0


def test_a_market_order_can_be_cancelled_before_it_is_submitted(rig: Rig) -> None:
    order_id = rig.post()
    assert cancel(order_id)[0] == 200
    rig.work()
    assert rig.check_log(order_id) == ["pending", "cancelled"]


def test_a_cancel_does_not_beat_a_transaction_on_its_way(rig: Rig) -> None:
    filled, reverted = rig.post(), rig.post(tokenOut="FAIL")
    rig.work()
    for order_id in (filled, reverted):
        for _ in range(2):
            assert cancel(order_id) == (202, {"orderId": order_id, "status": "cancel_requested"})
    for order_id in (filled, reverted):
        rig.finish(order_id)
    assert rig.check_log(filled)[-1] == "confirmed"
    assert rig.check_log(reverted) == ["pending", "routing", "building", "submitted", "cancelled"]
    assert rig.swaps(reverted) == ["reverted"]


def test_cancelling_what_is_not_there(rig: Rig) -> None:
    status, answer = cancel("01890000-0000-7000-8000-000000000000")
    assert (status, answer["code"]) == (404, "unknown_order")
    assert cancel("x")[1]["code"] == "invalid_order_id"


def test_amending(rig: Rig) -> None:
    order_id = rested(rig, orderType="limit", limitPrice=OUT_OF_REACH)
    socket = rig.bind(order_id)
    seq = rig.show(order_id)["seq"]
    assert amend(order_id, seq, limitPrice="0.0061", minAmountOut="490000000") == (
        200,
        {"orderId": order_id, "status": "open", "seq": seq + 1},
    )
    assert rig.frames(socket)[-1]["meta"] == {
        "waitingFor": {"atMost": "0.0061"},
        "amended": {"limitPrice": "0.0061", "minAmountOut": "490000000"},
    }
    shown = rig.show(order_id)
    assert (shown["limitPrice"], shown["minAmountOut"]) == ("0.0061", "490000000")
    assert amend(order_id, seq, limitPrice=REACHED)[1]["code"] == "changed"
    assert amend(order_id, seq + 1, limitPrice=REACHED)[0] == 200
    rig.watch()
    # The bound that the client gave is stricter than its price.
    rig.until(lambda: rig.show(order_id)["status"] == "open")
    assert "less than the minimum of 490000000" in metas(rig, order_id)[-1]["reason"]


def test_what_cannot_be_amended(rig: Rig) -> None:
    order_id = rested(rig, orderType="stop", triggerPrice="0.008")
    assert amend(order_id, None, triggerPrice="0.009")[1]["code"] == "if_match_required"
    assert amend(order_id, "x", triggerPrice="0.009")[0] == 409
    assert amend(order_id, 2)[1]["code"] == "nothing_to_change"
    assert amend(order_id, 2, amount="4")[1]["code"] == "unknown_field"
    assert amend(order_id, 2, triggerPrice="-1")[1]["code"] == "invalid_trigger_price"
    assert amend(order_id, 2, triggerPrice=OUT_OF_REACH)[1]["code"] == "already_triggered"
    market = rig.post()
    assert amend(market, 1, minAmountOut="5")[1]["code"] == "not_open"
    assert rig.check_log(order_id) == ["pending", "open"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"orderType": "limits"}, "invalid_order_type"),
        ({"orderType": 3}, "invalid_order_type"),
        ({"orderType": "limit"}, "missing_fields"),
        ({"orderType": "limit", "limitPrice": "0"}, "invalid_limit_price"),
        ({"orderType": "limit", "limitPrice": "1e5"}, "invalid_limit_price"),
        ({"orderType": "limit", "limitPrice": 1e300}, "invalid_limit_price"),
        ({"orderType": "limit", "limitPrice": True}, "invalid_limit_price"),
        ({"orderType": "limit", "limitPrice": "1", "timeInForce": "GTX"}, "invalid_time_in_force"),
        ({"orderType": "limit", "limitPrice": "1", "timeInForce": "GTD"}, "invalid_expires_at"),
        ({"orderType": "limit", "limitPrice": "1", "expiresAt": "2099-01-01T00:00:00Z"}, "invalid_expires_at"),
        (
            {"orderType": "limit", "limitPrice": "1", "timeInForce": "GTD", "expiresAt": "2020-01-01T00:00:00Z"},
            "invalid_expires_at",
        ),
        (
            {"orderType": "limit", "limitPrice": "1", "timeInForce": "GTD", "expiresAt": "2099-01-01"},
            "invalid_expires_at",
        ),
        (
            {"orderType": "limit", "limitPrice": "1", "timeInForce": "GTD", "expiresAt": "9999-12-31T23:59:59-00:01"},
            "invalid_expires_at",
        ),
        ({"orderType": "stop", "triggerPrice": "1", "timeInForce": "IOC"}, "invalid_time_in_force"),
        ({"orderType": "market", "limitPrice": "1"}, "unknown_field"),
        ({"orderType": "limit", "limitPrice": "1", "triggerPrice": "1"}, "unknown_field"),
    ],
)
def test_fields_of_types_are_checked(rig: Rig, fields: dict[str, Any], code: str) -> None:
    assert refused(**fields)["code"] == code


def cancel_several(**query: str) -> tuple[int, dict[str, Any]]:
    reply = rest.cancel_several(Request(query=query))
    return reply.status, json.loads(reply.body)


def test_cancelling_what_a_filter_names(rig: Rig) -> None:
    kept = [
        rested(rig, orderType="stop", triggerPrice="0.5"),
        rested(rig, orderType="limit", limitPrice=OUT_OF_REACH, tokenOut="USDT"),
        rig.settle(rig.post())["orderId"],
    ]
    chosen = [rested(rig, orderType="limit", limitPrice=OUT_OF_REACH) for _ in range(3)]
    wanted = {"orderType": "limit", "tokenIn": "sol", "tokenOut": "USDC", "status": "open"}
    assert cancel_several(dryRun="true", **wanted)[1] == {
        "orders": [{"orderId": order_id, "status": "open"} for order_id in reversed(chosen)],
        "nextCursor": None,
        "dryRun": True,
    }
    assert {rig.show(order_id)["status"] for order_id in chosen} == {"open"}
    status, first = cancel_several(limit="2", **wanted)
    assert (status, first["nextCursor"]) == (200, chosen[1])
    _, second = cancel_several(limit="2", cursor=first["nextCursor"], **wanted)
    assert first["orders"] + second["orders"] == [
        {"orderId": order_id, "status": "cancelled"} for order_id in reversed(chosen)
    ]
    assert [rig.show(order_id)["status"] for order_id in kept] == ["open", "open", "confirmed"]
    assert all(rig.check_log(order_id)[-1] == "cancelled" for order_id in chosen)


def test_cancelling_all_says_what_is_still_on_its_way(rig: Rig) -> None:
    waiting, submitted = rig.post(), rig.post(clientOrderId="mine")
    rig.invoke(submitted)
    _, told = cancel_several(clientOrderId="mine")
    assert told["orders"] == [{"orderId": submitted, "status": "cancel_requested"}]
    _, told = cancel_several(all="true")
    assert told["orders"] == [
        {"orderId": submitted, "status": "cancel_requested"},
        {"orderId": waiting, "status": "cancelled"},
    ]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "invalid_filter"),
        ({"all": "false"}, "invalid_filter"),
        ({"all": "yes"}, "invalid_filter"),
        ({"all": "true", "status": "open"}, "invalid_filter"),
        ({"all": "true", "dryRun": "1"}, "invalid_filter"),
        ({"dryRun": "true"}, "invalid_filter"),
        ({"orderType": "x"}, "invalid_order_type"),
        ({"status": "x"}, "invalid_status"),
        ({"all": "true", "cursor": "x"}, "invalid_cursor"),
        ({"all": "true", "limit": "0"}, "invalid_limit"),
        ({"every": "true"}, "unknown_parameter"),
    ],
)
def test_several_are_cancelled_by_no_accident(rig: Rig, query: dict[str, str], code: str) -> None:
    order_id = rig.post()
    status, answer = cancel_several(**query)
    assert (status, answer["code"]) == (400, code)
    assert rig.show(order_id)["status"] == "pending"
