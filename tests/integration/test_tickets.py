"""Tickets for sockets: each opens one, of its account, for a minute; and how many sockets an account may have."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.domain.errors import Unauthorized
from chalicelib.store.accounts import TICKET_SECONDS
from chalicelib.store.statements import load
from tests.integration.faults import SECONDS
from tests.integration.keyed import Account
from tests.integration.rig import Rig
from tests.integration.sessions import Session, await_lock

STREAMS = load("streams")


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
