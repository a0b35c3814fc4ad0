"""What an account is held to: a bucket of tokens for its posts, and so many orders under way."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from chalicelib import bootstrap
from chalicelib.handlers import rest
from chalicelib.store.statements import load
from tests.integration.faults import SECONDS, break_statements, lose_reply
from tests.integration.keyed import Account, account
from tests.integration.operators import Operator
from tests.integration.rig import Rig
from tests.integration.sessions import Session
from tests.integration.test_idempotency import await_engine, code_of, rival, stored

ORDERS = load("orders")
RATE, BURST = 2, 3


@pytest.fixture
def limited(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """An engine that lets an account post two orders a second and three at once; its time stands still."""
    for name, value in {"AUTH": "required", "ACCOUNT_ORDERS_PER_SECOND": RATE, "ACCOUNT_BURST": BURST}.items():
        monkeypatch.setenv(name, str(value))
    rig.sql(
        "CREATE OR REPLACE FUNCTION engine_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE "
        "RETURN current_setting('rig.now', true)::timestamptz"
    )
    at(rig, 0)
    return rig


def at(rig: Rig, seconds: float) -> None:
    """The database's time."""
    rig.sql(
        "CREATE OR REPLACE FUNCTION engine_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE "
        f"RETURN timestamptz '2026-01-01Z' + interval '{seconds} seconds'"
    )


@pytest.fixture
def alice(limited: Rig, operate: Operator) -> Account:
    return account(limited, operate, "alice")


def refused(reply: rest.Reply, code: str) -> int:
    """After how many seconds a refused post may come again."""
    assert code_of(reply) == (429, code)
    return int(reply.headers["Retry-After"])


def test_an_account_may_post_its_burst_and_then_at_its_rate(limited: Rig, alice: Account, operate: Operator) -> None:
    bob = account(limited, operate, "bob")
    for _ in range(BURST):
        alice.post()
    for _ in range(5):
        assert refused(alice.execute(), "rate_limited") == 1
    # Another account is not held to it, nor are reads.
    bob.post()
    assert len(alice.list()) == BURST
    assert len(stored(limited)) == BURST + 1
    assert limited.messages("orders") == BURST + 1
    at(limited, 0.49)
    assert refused(alice.execute(), "rate_limited") == 1
    at(limited, 0.5)
    alice.post()
    assert refused(alice.execute(), "rate_limited") == 1
    # No more than the burst gathers, however long the pause.
    at(limited, 1000)
    for _ in range(BURST):
        alice.post()
    assert refused(alice.execute(), "rate_limited") == 1


def test_who_must_wait_longer_is_told_how_long(
    limited: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCOUNT_ORDERS_PER_SECOND", "1")
    monkeypatch.setenv("ACCOUNT_BURST", "1")
    alice = account(limited, operate, "alice")
    alice.post()
    limited.sql("UPDATE account_limits SET full_at = full_at + interval '5.5 seconds'")
    assert refused(alice.execute(), "rate_limited") == 7
    at(limited, 6.4)
    assert refused(alice.execute(), "rate_limited") == 1


@pytest.mark.parametrize("key", [None, "k"])
def test_a_refused_post_stores_nothing(limited: Rig, alice: Account, key: str | None) -> None:
    for _ in range(BURST):
        alice.post()
    before = stored(limited)
    assert refused(alice.execute(key=key, clientOrderId="n"), "rate_limited") == 1
    assert (stored(limited), alice.list(clientOrderId="n")) == (before, [])
    assert limited.sql("SELECT 1 FROM idempotency_keys") == []
    at(limited, 1)
    assert alice.list(clientOrderId="n", status="pending") == []
    alice.post(key=key, clientOrderId="n")


def test_a_repeated_post_takes_no_token_and_is_answered_without_one(limited: Rig, alice: Account) -> None:
    first = alice.execute(key="k")
    for _ in range(5):
        assert alice.execute(key="k") == first
    alice.post()
    alice.post()
    assert refused(alice.execute(), "rate_limited") == 1
    assert alice.execute(key="k") == first
    assert code_of(alice.execute(key="k", amount=9)) == (409, "idempotency_key_reused")
    assert len(stored(limited)) == BURST


def test_a_name_that_is_taken_takes_no_token(limited: Rig, alice: Account) -> None:
    alice.post(clientOrderId="n")
    for _ in range(5):
        assert code_of(alice.execute(clientOrderId="n")) == (409, "client_order_id_reused")
    alice.post()
    alice.post()


@pytest.mark.parametrize("key", [None, "k"])
def test_two_at_once_do_not_share_the_last_token(
    limited: Rig, alice: Account, session: Callable[[], Session], key: str | None
) -> None:
    for _ in range(BURST - 1):
        alice.post()
    winner = session()
    parts = bootstrap.engine().orders._limits
    assert parts
    taking = rival() | {"account": "alice", "gap": parts.gap, "slack": parts.slack, "most_open": parts.most_open}
    winner.run(ORDERS["accept_limited"], taking)
    with ThreadPoolExecutor(1) as client:
        loser = client.submit(alice.execute, key=key)
        await_engine(limited)
        winner.connection.commit()
        assert refused(loser.result(SECONDS), "rate_limited") == 1
    assert len(stored(limited)) == BURST


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("after", [False, True], ids=["before it took effect", "after it took effect"])
def test_a_lost_reply_is_made_up_for(limited: Rig, alice: Account, key: str | None, *, after: bool) -> None:
    alice.list()
    assert lose_reply(bootstrap.engine().work, 1, after=after) == []
    assert [alice.post(key=key)] == stored(limited)


def test_a_refusal_after_a_lost_reply_is_no_refusal(
    limited: Rig, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(BURST - 1):
        alice.post()
    with monkeypatch.context() as patched:
        # It took effect, with the last token.
        sent = break_statements(patched, "lost after")
        reply = alice.execute()
        assert sent == [ORDERS["accept_limited"]] * 2
    assert code_of(reply) == (503, "outcome_unknown")
    assert alice.show(json.loads(reply.body)["orderId"]).status == 200


def test_orders_under_way_are_bounded(limited: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCOUNT_BURST", "100")
    monkeypatch.setenv("ACCOUNT_MOST_OPEN", "3")
    alice, bob = account(limited, operate, "alice"), account(limited, operate, "bob")
    orders = [alice.post(key="k"), alice.post(), alice.post()]
    for key in (None, "l"):
        refused(alice.execute(key=key), "too_many_open")
    assert alice.post(key="k") == orders[0]
    assert limited.sql("SELECT key FROM idempotency_keys") == [("k",)]
    bob.post()
    limited.sql("UPDATE orders SET status = 'failed', outcome = 'failed' WHERE id = ANY(%s::uuid[])", orders[:2])
    # Where there was no room, it is looked for once a second.
    assert refused(alice.execute(), "too_many_open") == 1
    at(limited, 1)
    orders += [alice.post(), alice.post()]
    refused(alice.execute(), "too_many_open")
    assert sorted(alice.list()) == sorted(orders)


def test_a_lower_bound_holds_at_once(limited: Rig, operate: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCOUNT_BURST", "100")
    alice = account(limited, operate, "alice")
    alice.post()
    alice.post()
    bootstrap.close()
    monkeypatch.setenv("ACCOUNT_MOST_OPEN", "4")
    assert [alice.execute().status for _ in range(5)] == [200, 200, 200, 200, 429]


def test_refusals_for_limits_are_noted(limited: Rig, alice: Account, operate: Operator) -> None:
    for _ in range(BURST + 2):
        alice.execute()
    bootstrap.engine().authentication._known[alice.prefix].looked_at = datetime(2026, 1, 1, tzinfo=UTC)
    alice.list()
    (day,) = operate.json("keys", "audit", alice.prefix)["days"]
    assert (day["uses"], day["refusals"], day["last_refusal"]) == (BURST + 3, 2, "rate_limited")


def test_nothing_limits_anybody_where_no_key_is_required(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCOUNT_ORDERS_PER_SECOND", "ACCOUNT_BURST", "ACCOUNT_MOST_OPEN", "ACCOUNT_MOST_SOCKETS"):
        monkeypatch.setenv(name, "1")
    for _ in range(5):
        rig.post()
        rig.connect()
    assert rig.sql("SELECT 1 FROM account_limits") == []
