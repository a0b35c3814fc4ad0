"""The REST side: reading orders, health, and bodies that no client should send."""

import json
from typing import Any

import pytest

from chalicelib.handlers import rest
from tests.hostile import BODIES
from tests.integration.rig import SOL_TO_USDC, Request, Rig

UNKNOWN = "0190f3c4-8a1e-7b2c-9d3e-4f5061728394"


def page(**query: str) -> dict[str, Any]:
    reply = rest.orders(Request(query=query))
    assert reply.status == 200, reply.body
    found: dict[str, Any] = json.loads(reply.body)
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [order["orderId"] for order in found["orders"]]


def test_each_hostile_body_is_refused_by_name_and_nothing_is_stored(rig: Rig) -> None:
    for hostile in BODIES:
        reply = rest.execute(Request(hostile.body, content_type=hostile.content_type))
        answer = json.loads(reply.body)
        assert (reply.status, answer["code"]) == (hostile.status, hostile.code), hostile.name
        assert set(answer) == {"error", "code"}, hostile.name
        assert answer["error"], hostile.name
        assert reply.headers["Content-Type"] == "application/json", hostile.name
    assert rig.sql("SELECT count(*) FROM orders") == [(0,)]
    assert rig.messages("orders") == 0
    assert rig.post()


def test_a_body_that_cannot_be_decoded_is_refused(rig: Rig) -> None:
    class Undecodable(Request):
        def __getattribute__(self, name: str) -> Any:
            if name == "raw_body":
                raise ValueError("Invalid base64-encoded string")
            return super().__getattribute__(name)

    reply = rest.execute(Undecodable())
    assert (reply.status, json.loads(reply.body)["code"]) == (400, "invalid_text")
    assert rig.sql("SELECT 1 FROM orders") == []


@pytest.mark.parametrize("content_type", [None, "", "application/json; charset=utf-8", "text/json", "Application/JSON"])
def test_an_order_is_taken_as_json_unless_it_says_otherwise(rig: Rig, content_type: str | None) -> None:
    assert rest.execute(Request(json.dumps(SOL_TO_USDC).encode(), content_type=content_type)).status == 200
    assert rig.sql("SELECT count(*) FROM orders") == [(1,)]


def test_the_answer_to_a_post_is_the_contracts(rig: Rig) -> None:
    reply = rest.execute(Request(json.dumps(SOL_TO_USDC).encode()))
    answer = json.loads(reply.body)
    assert set(answer) == {"orderId", "message"}
    assert answer["message"] == (
        'Open websocket to /api/orders/execute and send { "orderId": "<id>" } to bind for live updates'
    )
    assert rig.show(answer["orderId"])["status"] == "pending"


def test_an_order_is_shown_with_its_history(rig: Rig) -> None:
    order_id = rig.post(tokenOut="FLAKY")
    assert [event["meta"] for event in rig.show(order_id)["events"]] == [{"bound": True}]
    rig.settle(order_id)
    shown = rig.show(order_id)
    assert (shown["tokenIn"], shown["tokenOut"], shown["amount"], shown["slippageTolerance"]) == (
        "SOL",
        "FLAKY",
        "3",
        "0.02",
    )
    assert [event["seq"] for event in shown["events"]] == list(range(1, 14))
    assert shown["createdAt"] == shown["events"][0]["ts"]
    assert shown["lastUpdate"] == shown["events"][-1]["ts"]


@pytest.mark.parametrize(
    ("posted", "shown"),
    [
        ({"amount": "3.0", "minAmountOut": "1"}, {"amount": "3", "minAmountOut": "1"}),
        ({"amountOut": 450}, {"amount": None, "amountOut": "450"}),
        (
            {"amountOut": "450.5", "maxAmountIn": "9" * 20},
            {"amount": None, "amountOut": "450.5", "maxAmountIn": "9" * 20},
        ),
    ],
)
def test_an_order_shows_the_amounts_that_it_was_given(rig: Rig, posted: dict[str, Any], shown: dict[str, Any]) -> None:
    reply = rest.execute(Request(json.dumps({"tokenIn": "SOL", "tokenOut": "USDC"} | posted).encode()))
    order_id = json.loads(reply.body)["orderId"]
    names = {"amount", "amountOut", "minAmountOut", "maxAmountIn"}
    assert {name: value for name, value in rig.show(order_id).items() if name in names} == shown
    assert {name: value for name, value in page()["orders"][0].items() if name in names} == shown
    assert rig.settle(order_id)["status"] == "confirmed"


@pytest.mark.parametrize(
    ("order_id", "status", "code"),
    [
        (UNKNOWN, 404, "unknown_order"),
        ("nonsense", 400, "invalid_order_id"),
        ("\0", 400, "invalid_order_id"),
        ("%00", 400, "invalid_order_id"),
        ("1" * 5000, 400, "invalid_order_id"),
        ("", 400, "invalid_order_id"),
    ],
    ids=["unknown", "nonsense", "NUL", "escaped NUL", "long", "empty"],
)
def test_an_order_that_is_not_there_is_refused(rig: Rig, order_id: str, status: int, code: str) -> None:
    assert rig.messages("orders") == 0
    reply = rest.order(Request(), order_id)
    assert (reply.status, json.loads(reply.body)["code"]) == (status, code)


def test_orders_are_listed_newest_first_in_pages_by_status(rig: Rig) -> None:
    confirmed = [rig.post() for _ in range(3)]
    failed = [rig.post(tokenOut="FAIL")]
    for order_id in (*confirmed, *failed):
        rig.settle(order_id)
    waiting = [rig.post() for _ in range(2)]
    submitted = [rig.post()]
    rig.invoke(*submitted)
    everything = [*confirmed, *failed, *waiting, *submitted][::-1]
    assert ids(page()) == everything
    assert "events" not in page()["orders"][0]
    by_status = {"confirmed": confirmed, "failed": failed, "pending": waiting, "submitted": submitted}
    for status in ("pending", "routing", "building", "submitted", "confirmed", "failed"):
        assert ids(page(status=status)) == by_status.get(status, [])[::-1]
    for limit in range(1, 9):
        for query, expected in (({}, everything), ({"status": "confirmed"}, confirmed[::-1])):
            seen: list[str] = []
            cursor: dict[str, str] = {}
            for _ in range(20):
                found = page(limit=str(limit), **query, **cursor)
                seen += ids(found)
                if found["nextCursor"] is None:
                    break
                cursor = {"cursor": found["nextCursor"]}
            assert seen == expected
    # What is placed between two pages does not move the second.
    first = page(limit="2")
    rig.post()
    assert ids(page(limit="2", cursor=first["nextCursor"])) == everything[2:4]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"status": "nonsense"}, "invalid_status"),
        ({"status": "Pending"}, "invalid_status"),
        ({"status": ""}, "invalid_status"),
        ({"cursor": "nonsense"}, "invalid_cursor"),
        ({"limit": "0"}, "invalid_limit"),
        ({"limit": "101"}, "invalid_limit"),
        ({"limit": "-1"}, "invalid_limit"),
        ({"limit": "1.0"}, "invalid_limit"),
        ({"limit": "٣"}, "invalid_limit"),
        ({"limit": "9" * 5000}, "invalid_limit"),
        ({"offset": "1"}, "unknown_parameter"),
        ({"\0": "\0"}, "unknown_parameter"),
    ],
)
def test_a_bad_query_is_refused_by_name(rig: Rig, query: dict[str, str], code: str) -> None:
    assert rig.messages("orders") == 0
    reply = rest.orders(Request(query=query))
    assert (reply.status, json.loads(reply.body)["code"]) == (400, code)


def test_the_simulated_market_has_the_files_tokens_and_no_pools(rig: Rig) -> None:
    rig.post(tokenOut="FOO")
    tokens = json.loads(rest.tokens(Request()).body)["tokens"]
    assert tokens[0] == {"symbol": "SOL", "mint": "So11111111111111111111111111111111111111112", "decimals": 9}
    assert len({token["mint"] for token in tokens}) == len(tokens)
    assert "FOO" not in {token["symbol"] for token in tokens}
    for query in ({}, {"limit": "1", "cursor": tokens[0]["mint"]}):
        reply = rest.pools(Request(query=query))
        assert (reply.status, json.loads(reply.body)) == (200, {"pools": [], "nextCursor": None})


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"cursor": "nonsense"}, "invalid_cursor"),
        ({"cursor": UNKNOWN}, "invalid_cursor"),
        ({"cursor": "2" * 43 + "\0"}, "invalid_cursor"),
        ({"limit": "0"}, "invalid_limit"),
        ({"limit": "101"}, "invalid_limit"),
        ({"status": "confirmed"}, "unknown_parameter"),
    ],
)
def test_a_bad_query_for_pools_is_refused_by_name(rig: Rig, query: dict[str, str], code: str) -> None:
    assert rig.messages("orders") == 0
    reply = rest.pools(Request(query=query))
    assert (reply.status, json.loads(reply.body)["code"]) == (400, code)


def test_health_tells_what_is_reached(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.post()
    reply = rest.health()
    health = json.loads(reply.body)
    assert (reply.status, health["status"]) == (200, "ok")
    assert health["version"]
    assert health["database"]["reached"] is True
    assert health["database"]["migration"].startswith("0")
    assert health["queue"] == {"reached": True, "messages": 1}
    assert health["market"] == {"ready": True}
    rig.sqs.delete_queue(QueueUrl=rig.queues["orders"])
    reply = rest.health()
    assert (reply.status, json.loads(reply.body)["queue"]["reached"]) == (503, False)
    # The order is safe without its message.
    assert rig.row(rig.post())["status"] == "pending"


def test_the_page_is_served_without_a_database(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    assert rig.queues
    reply = rest.page()
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/html")
