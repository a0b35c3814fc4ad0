"""The client's own name for an order: one order a name, shown, searched for, and named when it is taken."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.handlers import rest
from chalicelib.store.statements import load
from tests.integration.faults import SECONDS, lose_reply
from tests.integration.rig import SOL_TO_USDC, Request, Rig
from tests.integration.sessions import Session
from tests.integration.test_idempotency import await_engine, code_of, id_of, rival, stored

ORDERS = load("orders")
NAME = "my-order-1"


def post(name: Any = NAME, key: str | None = None, **fields: Any) -> rest.Reply:
    return rest.execute(Request(json.dumps(SOL_TO_USDC | {"clientOrderId": name} | fields).encode(), key=key))


def named(name: str, **query: str) -> list[str]:
    reply = rest.orders(Request(query={"clientOrderId": name} | query))
    assert reply.status == 200, reply.body
    found = json.loads(reply.body)
    assert found["nextCursor"] is None
    return [order["orderId"] for order in found["orders"]]


@pytest.mark.parametrize("name", ["x", "~!\"'%s;--", "y" * 64])
def test_an_order_is_shown_and_found_by_its_name(rig: Rig, name: str) -> None:
    order_id, other = id_of(post(name)), rig.post()
    assert (rig.show(order_id)["clientOrderId"], rig.show(other)["clientOrderId"]) == (name, None)
    assert named(name) == [order_id]
    assert named(name[:-1] + "z") == []
    rig.settle(order_id)
    assert (named(name, status="confirmed"), named(name, status="pending")) == ([order_id], [])
    assert named(name, cursor=order_id) == []


@pytest.mark.parametrize("name", ["", "y" * 65, "a b", "é", "\n", 1, True, ["x"], {}], ids=str)
def test_any_other_name_is_refused(rig: Rig, name: Any) -> None:
    assert code_of(post(name)) == (400, "invalid_client_order_id")
    assert stored(rig) == []
    if isinstance(name, str):
        assert code_of(rest.orders(Request(query={"clientOrderId": name}))) == (400, "invalid_client_order_id")


def test_null_is_no_name(rig: Rig) -> None:
    assert id_of(post(None)) != id_of(post(None))


@pytest.mark.parametrize("key", [None, "k"])
def test_a_second_order_of_a_name_is_refused_and_the_first_one_named(rig: Rig, key: str | None) -> None:
    order_id = id_of(post())
    rig.settle(order_id)
    reply = post(key=key, amount=4)
    assert code_of(reply) == (409, "client_order_id_reused")
    assert json.loads(reply.body)["orderId"] == order_id
    assert order_id in json.loads(reply.body)["error"]
    assert stored(rig) == [order_id]
    # The key is free still.
    assert rig.sql("SELECT 1 FROM idempotency_keys") == []
    assert id_of(post("other", key=key)) != order_id


def test_a_post_repeated_under_a_key_is_the_same_only_with_the_same_name(rig: Rig) -> None:
    first = post(key="k")
    assert post(key="k") == first
    assert code_of(post("other", key="k")) == (409, "idempotency_key_reused")
    assert code_of(post(None, key="k")) == (409, "idempotency_key_reused")
    assert stored(rig) == [id_of(first)]


@pytest.mark.parametrize("commits", [True, False])
def test_who_comes_second_waits_for_the_first(rig: Rig, session: Callable[[], Session], *, commits: bool) -> None:
    winner = session()
    winner.run(ORDERS["accept"], taking := rival() | {"client_order_id": NAME})
    with ThreadPoolExecutor(1) as client:
        late = client.submit(post)
        await_engine(rig)
        winner.connection.commit() if commits else winner.connection.rollback()
        reply = late.result(SECONDS)
    if commits:
        assert code_of(reply) == (409, "client_order_id_reused")
        assert json.loads(reply.body)["orderId"] == str(taking["id"])
    assert stored(rig) == [str(taking["id"]) if commits else id_of(reply)]


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("after", [False, True], ids=["before it took effect", "after it took effect"])
def test_a_lost_reply_is_not_taken_for_a_second_order(rig: Rig, key: str | None, *, after: bool) -> None:
    rig.post()
    assert lose_reply(bootstrap.engine().work, 1, after=after) == []
    order_id = id_of(post(key=key))
    assert named(NAME) == [order_id]
    assert lose_reply(bootstrap.engine().work, 1, after=after) == []
    assert code_of(post(amount=4)) == (409, "client_order_id_reused")


def test_an_order_that_is_repeated_leaves_its_name_to_the_first(rig: Rig, operate: Any) -> None:
    order_id = id_of(post(tokenOut="FAIL"))
    rig.settle(order_id)
    repeated = operate.json("repeat", order_id)["order_id"]
    assert (rig.show(repeated)["clientOrderId"], named(NAME)) == (None, [order_id])


def test_a_quote_takes_the_same_body(rig: Rig) -> None:
    assert rest.quote(Request(json.dumps(SOL_TO_USDC | {"clientOrderId": NAME}).encode())).status == 200
    assert stored(rig) == []
