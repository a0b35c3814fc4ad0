"""Keys that are required: what is an account's is found by nobody else, and who has no valid key is told nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.handlers import rest
from tests.integration.asked import install
from tests.integration.faults import break_statements
from tests.integration.keyed import Account, account
from tests.integration.operators import Operator
from tests.integration.rig import SOL_TO_USDC, Request, Rig

UNKNOWN = "0190f3c4-8a1e-7b2c-9d3e-4f5061728394"
PREFIX, SECRET = "1" * 12, "2" * 44
ASKS: dict[str, Callable[[Request], rest.Reply]] = {
    "execute": rest.execute,
    "quote": rest.quote,
    "ticket": rest.ticket,
    "order": lambda request: rest.order(request, UNKNOWN),
    "orders": rest.orders,
    "cancel": lambda request: rest.cancel(request, UNKNOWN),
    "cancel_several": rest.cancel_several,
    "amend": lambda request: rest.amend(request, UNKNOWN),
    "tokens": rest.tokens,
    "pools": rest.pools,
}


def told(rig: Rig, who: Account, connection_id: str, frame: Any) -> dict[str, Any]:
    """The one frame that a socket of an account's gets for one of its own."""
    assert who.connect(connection_id) == 200
    rig.send(connection_id, frame)
    (answer,) = rig.frames(connection_id)
    return answer


# What is another's.


def test_an_order_is_its_accounts_alone(keyed: Rig, alice: Account, bob: Account) -> None:
    order_id = alice.post(clientOrderId="mine")
    assert json.loads(alice.show(order_id).body)["orderId"] == order_id
    unknown = bob.show(UNKNOWN)
    assert unknown.status == 404
    reply = bob.show(order_id)
    assert (reply.status, reply.body.replace(order_id, UNKNOWN)) == (404, unknown.body)
    keyed.invoke(order_id)
    for query in ({}, {"status": "submitted"}, {"clientOrderId": "mine"}):
        assert (alice.list(**query), bob.list(**query)) == ([order_id], [])
    keyed.advance(16)
    keyed.invoke(order_id)
    assert (alice.list(status="confirmed"), bob.list(status="confirmed")) == ([order_id], [])
    # Not by its id as a cursor either.
    mine = bob.post()
    assert bob.list(cursor=order_id) == []
    assert alice.list(cursor=mine) == [order_id]


def test_an_order_is_changed_by_its_account_alone(keyed: Rig, alice: Account, bob: Account) -> None:
    order_id = alice.post(orderType="limit", limitPrice="0.000001")
    keyed.work()
    assert json.loads(alice.show(order_id).body)["status"] == "open"
    amendment = json.dumps({"limitPrice": "0.000002"}).encode()
    for change in (
        lambda at: rest.cancel(Request(authorization=bob.bearer), at),
        lambda at: rest.amend(Request(amendment, authorization=bob.bearer, if_match="3"), at),
    ):
        others, unknown = change(order_id), change(UNKNOWN)
        assert (others.status, others.body.replace(order_id, UNKNOWN)) == (404, unknown.body)
    several = rest.cancel_several(Request(query={"all": "true"}, authorization=bob.bearer))
    assert json.loads(several.body)["orders"] == []
    assert keyed.row(order_id)["status"] == "open"
    assert rest.cancel(Request(authorization=alice.bearer), order_id).status == 200


def test_a_socket_follows_its_accounts_orders_alone(keyed: Rig, alice: Account, bob: Account) -> None:
    order_id = alice.post()
    assert told(keyed, alice, "a=", {"orderId": order_id})["status"] == "pending"
    for at, after in enumerate((0, 1, 9)):
        refused = told(keyed, bob, f"b{at}=", {"orderId": order_id, "afterSeq": after})
        unknown = told(keyed, bob, f"c{at}=", {"orderId": UNKNOWN, "afterSeq": after})
        assert (refused["error"].replace(order_id, UNKNOWN), refused["code"]) == (unknown["error"], "unknown_order")
    # Nor by the bind that comes with the connect.
    assert bob.connect("q=", orderId=order_id) == 200
    keyed.deliver_to("q=")
    assert [frame["code"] for frame in keyed.frames("q=")] == ["unknown_order"]
    assert keyed.sql("SELECT connection_id FROM subscriptions") == [("a=",)]
    # A socket that is not known any more learns nothing of either.
    keyed.socket_event("DISCONNECT", "a=")
    keyed.send("a=", {"orderId": order_id})
    keyed.send("a=", {"orderId": UNKNOWN})
    assert keyed.frames("a=")[-1] == keyed.frames("a=")[-2]


def test_keys_and_names_of_two_accounts_are_apart(keyed: Rig, alice: Account, bob: Account) -> None:
    given = {"key": "k", "clientOrderId": "n"}
    first, second = alice.post(**given), bob.post(**given)
    assert first != second
    assert (alice.post(**given), bob.post(**given)) == (first, second)
    assert (alice.list(clientOrderId="n"), bob.list(clientOrderId="n")) == ([first], [second])
    assert first in alice.execute(clientOrderId="n").body
    assert bob.execute(key="k", amount=9).status == 409


def test_without_required_keys_everybody_is_one_account(
    rig: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    carol, default = account(rig, operate, "carol"), account(rig, operate, "default")
    order_id = carol.post()
    assert rest.order(Request(authorization="nonsense"), order_id).status == 200
    assert rig.connecting("c=", {"Authorization": "nonsense"}, {"ticket": "nonsense"}) == 200
    assert rig.row(order_id)["account"] == "default"
    bootstrap.close()
    monkeypatch.setenv("AUTH", "required")
    assert (default.show(order_id).status, carol.show(order_id).status) == (200, 404)


# Keys.


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_everything_but_health_and_the_page_asks_for_a_key(keyed: Rig, ask: Callable[[Request], rest.Reply]) -> None:
    reply = ask(Request(json.dumps(SOL_TO_USDC).encode()))
    assert (reply.status, json.loads(reply.body)["code"]) == (401, "unauthorized")
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert (rest.health().status, rest.page().status) == (200, 200)
    assert keyed.connecting("c=", {}, {}) == 401
    assert keyed.sql("SELECT 1 FROM orders UNION ALL SELECT 1 FROM connections") == []


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        f"oe_{PREFIX}_{SECRET}",
        f"Basic oe_{PREFIX}_{SECRET}",
        f"Bearer oe_{PREFIX}_{SECRET}",
        f"Bearer oe_{PREFIX}_{SECRET}x",
        f"Bearer oe_{PREFIX}_{SECRET}\n",
        f"Bearer oe_{PREFIX}_{SECRET}, Bearer oe_{PREFIX}_{SECRET}",
        f"Bearer oe_{PREFIX}_" + "0" * 44,
        f"Bearer oe_{PREFIX}_" + "é" * 44,
        f"Bearer oe_{PREFIX}_" + "２" * 44,
        f"Bearer oe_{PREFIX}_\0",
        "Bearer \udcff",
        "Bearer " + "x" * 100_000,
        "Bearer" + " " * 100_000,
    ],
    ids=lambda header: ascii(header[:60]),
)
def test_a_hostile_header_is_refused_like_any_other(keyed: Rig, alice: Account, header: str) -> None:
    absent = rest.orders(Request())
    assert rest.orders(Request(authorization=header)) == absent
    assert keyed.connecting("c=", {"authorization": header}, {}) == 401


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_a_key_is_taken_however_its_scheme_is_spelt(keyed: Rig, alice: Account, scheme: str) -> None:
    assert rest.orders(Request(authorization=scheme + alice.key)).status == 200
    assert keyed.connecting("c=", {"AUTHORIZATION": scheme + alice.key}, {}) == 200


def test_several_headers_in_one_are_no_key(keyed: Rig, alice: Account, bob: Account) -> None:
    assert rest.orders(Request(authorization=f"{alice.bearer}, {bob.bearer}")).status == 401
    assert keyed.connecting("c=", {"Authorization": f"{alice.bearer},{bob.bearer}"}, {}) == 401


def test_a_wrong_secret_is_refused_like_an_unknown_prefix(keyed: Rig, alice: Account) -> None:
    unknown = rest.orders(Request(authorization=f"Bearer oe_{PREFIX}_{SECRET}"))
    wrong = rest.orders(Request(authorization=f"Bearer oe_{alice.prefix}_{SECRET}"))
    assert unknown == wrong == rest.orders(Request())
    # The right one is let in all the same, and the wrong one is not because of that.
    assert alice.list() == []
    assert rest.orders(Request(authorization=f"Bearer oe_{alice.prefix}_{SECRET}")) == unknown


def test_a_database_that_cannot_be_reached_is_no_refusal(
    keyed: Rig, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert break_statements(monkeypatch, "unreachable") == []
    reply = alice.show(UNKNOWN)
    assert (reply.status, json.loads(reply.body)["code"]) == (503, "unavailable")
    assert alice.show(UNKNOWN).status == 404


def test_a_secret_is_shown_once_and_not_stored(keyed: Rig, alice: Account, operate: Operator) -> None:
    secret = alice.key.rpartition("_")[2]
    assert alice.list() == []
    assert secret not in operate("keys", "list")[1] + operate("keys", "audit", alice.prefix)[1]
    stored = keyed.sql("SELECT k::text FROM api_keys k UNION ALL SELECT u::text FROM key_uses u")
    assert all(secret not in row for (row,) in stored)


# What it costs.


def test_a_warm_post_is_one_statement_still(keyed: Rig, alice: Account) -> None:
    asked = install()
    alice.post()
    assert asked.taken() == (["key", "accept_limited"], [])
    for key, statement in ((None, "accept_limited"), ("k", "accept_keyed_limited"), ("k", "accept_keyed_limited")):
        alice.post(key=key)
        assert asked.taken() == ([statement], [])
    assert alice.connect("c=") == 200
    assert alice.connect("d=") == 200
    assert asked.taken() == ([], ["key", "connect_with_key", "connect_with_key"])
    assert keyed.connecting("e=", {}, {"ticket": "1" * 44}) == 401
    assert asked.taken() == ([], ["connect_with_ticket"])


def test_guesses_are_asked_for_once(keyed: Rig, alice: Account) -> None:
    asked = install()
    for header in (f"Bearer oe_{PREFIX}_{SECRET}", f"Bearer oe_{alice.prefix}_{SECRET}"):
        for _ in range(3):
            assert rest.orders(Request(authorization=header)).status == 401
        assert asked.taken() == (["key"], [])
    assert rest.orders(Request(authorization="Bearer nonsense")).status == 401
    assert asked.taken() == ([], [])
