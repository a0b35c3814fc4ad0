"""Keys that are required: what is an account's is found by nobody else, and who has no valid key is told nothing."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.domain.errors import Unauthorized
from chalicelib.handlers import rest
from chalicelib.intake.authentication import KNOWN_SECONDS
from chalicelib.store.accounts import TICKET_SECONDS
from chalicelib.store.statements import load
from tests.integration.asked import install
from tests.integration.faults import SECONDS, break_statements
from tests.integration.keyed import Account, account
from tests.integration.operators import Operator
from tests.integration.rig import SOL_TO_USDC, Request, Rig
from tests.integration.sessions import Session, await_lock

UNKNOWN = "0190f3c4-8a1e-7b2c-9d3e-4f5061728394"
STREAMS = load("streams")
PREFIX, SECRET = "1" * 12, "2" * 44
ASKS: dict[str, Callable[[Request], rest.Reply]] = {
    "execute": rest.execute,
    "quote": rest.quote,
    "ticket": rest.ticket,
    "order": lambda request: rest.order(request, UNKNOWN),
    "orders": rest.orders,
    "tokens": rest.tokens,
    "pools": rest.pools,
}


@pytest.fixture
def keyed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """An engine that requires keys."""
    monkeypatch.setenv("AUTH", "required")
    return rig


@pytest.fixture
def alice(keyed: Rig, operate: Operator) -> Account:
    return account(keyed, operate, "alice")


@pytest.fixture
def bob(keyed: Rig, operate: Operator) -> Account:
    return account(keyed, operate, "bob")


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


class Later:
    """A clock that can be put forward."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.ahead = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)

    def monotonic(self) -> float:
        passed: float = self._clock.monotonic()
        return passed + self.ahead


@pytest.fixture
def later(keyed: Rig, monkeypatch: pytest.MonkeyPatch) -> Later:
    """Time passes for what is known of keys."""
    parts = bootstrap.engine()
    clock = Later(parts.authentication._clock)
    monkeypatch.setattr(parts.authentication, "_clock", clock)
    monkeypatch.setattr(parts.sockets._authentication, "_clock", clock)
    return clock


def test_a_revoked_key_is_refused_by_the_time_that_is_promised(
    keyed: Rig, alice: Account, operate: Operator, later: Later
) -> None:
    assert alice.list() == []
    assert alice.connect("before=") == 200
    ticket = alice.ticket()
    status, text = operate("keys", "revoke", alice.key)
    assert (status, text.startswith(f"revoked {alice.prefix}")) == (0, True)
    # What stays is not opened by what was known a moment ago, and what was open gets nothing any more.
    assert alice.connect("after=") == 401
    assert keyed.connecting("ticket=", {}, {"ticket": ticket}) == 401
    assert rest.ticket(Request(authorization=alice.bearer)).status == 401
    assert keyed.sql("SELECT id FROM connections") == []
    later.ahead = KNOWN_SECONDS
    assert rest.orders(Request(authorization=alice.bearer)) == rest.orders(Request())
    # A container that starts knows it at once.
    bootstrap.close()
    assert alice.show(UNKNOWN).status == 401


def test_a_key_that_comes_later_is_let_in_by_then(keyed: Rig, alice: Account, later: Later) -> None:
    keyed.sql("UPDATE api_keys SET prefix = %s", PREFIX)
    assert alice.show(UNKNOWN).status == 401
    keyed.sql("UPDATE api_keys SET prefix = %s", alice.prefix)
    assert alice.show(UNKNOWN).status == 401
    later.ahead = KNOWN_SECONDS
    assert alice.show(UNKNOWN).status == 404


# Tickets.


def test_a_ticket_opens_one_socket_of_its_account(keyed: Rig, alice: Account, bob: Account) -> None:
    mine, others = alice.post(), bob.post()
    ticket = alice.ticket()
    assert keyed.connecting("t=", {}, {"ticket": ticket, "orderId": mine}) == 200
    keyed.send("t=", {"orderId": others})
    assert {frame.get("code", frame.get("status")) for frame in keyed.frames("t=")} == {"pending", "unknown_order"}
    assert keyed.connecting("again=", {}, {"ticket": ticket}) == 401
    assert keyed.sql("SELECT id, account, key_prefix FROM connections") == [("t=", "alice", alice.prefix)]


def test_a_ticket_is_spent_once_by_two_at_once(keyed: Rig, alice: Account, session: Callable[[], Session]) -> None:
    ticket = alice.ticket()
    ((digest,),) = keyed.sql("SELECT digest FROM stream_tickets")
    params = {"digest": digest, "first_frame": None, "lifetime": 60, "most": 10}
    first, second = session(), session()
    assert first.run(STREAMS["connect_with_ticket"], params | {"id": "1="}) == [("alice", True)]
    waiting = second.start(STREAMS["connect_with_ticket"], params | {"id": "2="})
    await_lock(keyed, second)
    first.connection.commit()
    assert waiting.result(SECONDS) == [(None, False)]
    second.connection.commit()
    assert keyed.sql("SELECT id FROM connections") == [("1=",)]
    assert keyed.connecting("3=", {}, {"ticket": ticket}) == 401


def test_of_many_connects_with_a_ticket_one_is_let_in(keyed: Rig, alice: Account) -> None:
    containers = [keyed.container() for _ in range(4)]
    for at in range(5):
        ticket = alice.ticket()

        def connect(number: int, ticket: str = ticket, at: int = at) -> int:
            try:
                containers[number].run(
                    containers[number].sockets.connected(f"{at}-{number}=", None, None, ticket=ticket)
                )
            except Unauthorized:
                return 401
            return 200

        with ThreadPoolExecutor(4) as clients:
            assert sorted(clients.map(connect, range(4))) == [200, 401, 401, 401]


def test_a_ticket_is_good_for_a_minute_and_expired_ones_go(keyed: Rig, alice: Account) -> None:
    late, in_time = alice.ticket(), alice.ticket()
    keyed.advance(TICKET_SECONDS - 1)
    assert keyed.connecting("t=", {}, {"ticket": in_time}) == 200
    keyed.advance(1)
    assert keyed.connecting("l=", {}, {"ticket": late}) == 401
    alice.ticket()
    assert keyed.sql("SELECT count(*) FROM stream_tickets") == [(1,)]


@pytest.mark.parametrize("ticket", ["", "x", "é" * 44, "1" * 44, "1" * 100_000, "\0", "\udcff"], ids=ascii)
def test_a_hostile_ticket_is_refused(keyed: Rig, ticket: str) -> None:
    assert keyed.connecting("t=", {}, {"ticket": ticket}) == 401


def test_a_ticket_is_not_stored_as_it_is(keyed: Rig, alice: Account) -> None:
    ticket = alice.ticket()
    assert all(ticket not in row for (row,) in keyed.sql("SELECT t::text FROM stream_tickets t"))


def test_an_accounts_sockets_are_bounded(
    keyed: Rig, alice: Account, bob: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCOUNT_MOST_SOCKETS", "2")
    assert [alice.connect(f"a{at}=") for at in range(3)] == [200, 200, 429]
    assert alice.connect("t=", ticket=alice.ticket()) == 429
    assert bob.connect("b=") == 200
    keyed.socket_event("DISCONNECT", "a0=")
    assert alice.connect("a3=") == 200


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


# Who used a key.


def test_an_operator_sees_who_used_a_key_and_what_was_refused(
    keyed: Rig, alice: Account, operate: Operator, later: Later
) -> None:
    assert operate("keys", "audit", alice.prefix)[1].rstrip().endswith("never given")
    alice.list()
    day = operate.json("keys", "audit", alice.prefix)["days"][0]
    assert (day["uses"], day["refusals"], day["last_refusal"]) == (1, 0, None)
    for _ in range(3):
        alice.list()
        assert rest.orders(Request(authorization=f"Bearer oe_{alice.prefix}_{SECRET}")).status == 401
    # The first refusal is there at once, with what came before it; the others with the next look.
    day = operate.json("keys", "audit", alice.prefix)["days"][0]
    assert (day["uses"], day["refusals"], day["last_refusal"]) == (2, 1, "wrong secret")
    later.ahead += KNOWN_SECONDS
    alice.list()
    day = operate.json("keys", "audit", alice.prefix)["days"][0]
    assert (day["uses"], day["refusals"]) == (5, 3)
    operate("keys", "revoke", alice.prefix)
    later.ahead += KNOWN_SECONDS
    assert alice.show(UNKNOWN).status == 401
    status, text = operate("keys", "audit", alice.prefix)
    assert status == 0
    assert "revoked" in text.splitlines()[0]
    assert "4 refusals (last revoked, " in text
    assert keyed.sql("SELECT count(*) FROM key_uses") == [(1,)]


def test_keys_are_listed_by_account(keyed: Rig, alice: Account, bob: Account, operate: Operator) -> None:
    operate("keys", "create", "bob", "--label", "for the market maker")
    assert [key["account"] for key in operate.json("keys", "list")["keys"]] == ["alice", "bob", "bob"]
    bobs = operate.json("keys", "list", "bob")["keys"]
    assert [(key["prefix"] == bob.prefix, key["label"]) for key in bobs] == [
        (True, ""),
        (False, "for the market maker"),
    ]
    assert operate("keys", "list", "nobody") == (0, "no keys\n")


def test_a_key_that_is_not_there_is_refused_by_name(keyed: Rig, operate: Operator) -> None:
    for command in ("revoke", "audit"):
        assert operate("keys", command, PREFIX) == (1, f"no key has the prefix {PREFIX}\n")


@pytest.mark.parametrize(
    "arguments", [("create", "a b"), ("create", ""), ("create", "x" * 65), ("revoke", "short"), ("audit", "0" * 12), ()]
)
def test_a_bad_command_line_is_refused(rig: Rig, operate: Operator, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as refused:
        operate("keys", *arguments)
    assert refused.value.code == 2
