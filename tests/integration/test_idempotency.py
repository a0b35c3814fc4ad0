"""Orders posted under an Idempotency-Key: one order for a key, whatever is repeated, raced or lost."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from app import app
from chalicelib import bootstrap
from chalicelib.domain.account import Caller
from chalicelib.domain.lifecycle import Status
from chalicelib.domain.token import ANY
from chalicelib.handlers import rest
from chalicelib.intake.validation import terms
from chalicelib.store.statements import load
from tests.integration.faults import SECONDS, Stop, break_statements, lose_reply
from tests.integration.rig import SOL_TO_USDC, Request, Rig, eventually
from tests.integration.sessions import Session, await_lock, waits_for_lock

ORDERS = load("orders")
DAY = 24 * 60 * 60
KEY = "2f1c7f0e-order-1"
BODY = json.dumps(SOL_TO_USDC).encode()
OTHER = json.dumps(SOL_TO_USDC | {"amount": 4}).encode()


def post(body: bytes = BODY, key: str | None = KEY) -> rest.Reply:
    return rest.execute(Request(body, key=key))


def id_of(reply: rest.Reply) -> str:
    assert reply.status == 200, reply.body
    return str(json.loads(reply.body)["orderId"])


def code_of(reply: rest.Reply) -> tuple[int, str]:
    return reply.status, json.loads(reply.body)["code"]


def stored(rig: Rig) -> list[str]:
    """The ids of all orders; each has its first event and no other."""
    ids = [row[0] for row in rig.sql("SELECT id::text FROM orders ORDER BY id")]
    assert [row[0] for row in rig.sql("SELECT order_id::text FROM order_events WHERE seq = 1 ORDER BY 1")] == ids
    return ids


def rival(body: bytes = BODY) -> dict[str, Any]:
    """What another container stores an order with."""
    wanted = terms(body, None, ANY, datetime.now(UTC))
    return {
        "id": uuid4(),
        "payload": msgspec.json.encode(wanted).decode(),
        "meta": '{"bound":true}',
        "ts": datetime.now(UTC),
        "account": "default",
        "client_order_id": None,
        "type": "market",
        "expires_at": None,
        "key": KEY,
        "digest": wanted.digest(),
        "lifetime": DAY,
    }


def await_engine(rig: Rig) -> None:
    """Wait until a statement of the engine waits for another's lock."""
    waits = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'order-engine work' AND wait_event_type = 'Lock'"
    )
    eventually(lambda: rig.sql(waits))


# Posting again.


def test_a_post_that_is_repeated_gets_the_same_answer_and_one_order(rig: Rig) -> None:
    first = post()
    assert post() == first
    assert stored(rig) == [id_of(first)]
    assert rig.finish(id_of(first))["status"] == "confirmed"


def test_other_keys_and_none_are_other_orders(rig: Rig) -> None:
    ids = [id_of(post(key=key)) for key in ("a", "A", "b", None, None)]
    assert sorted(ids) == stored(rig)
    assert len(set(ids)) == 5
    assert sorted(rig.sql("SELECT order_id::text, key FROM idempotency_keys")) == sorted(zip(ids, "aAb", strict=False))


@pytest.mark.parametrize(
    "body",
    [
        '{"tokenIn": "SOL", "tokenOut": "USDC", "amount": 3, "slippageTolerance": 0.01}',
        '{"tokenIn": "SOL", "tokenOut": "USDC", "amount": "3"}',
        '{"amount": 3e0, "slippageTolerance": null, "tokenOut": "usdc", "tokenIn": "sol"}',
        '{"tokenIn": "So11111111111111111111111111111111111111112", "tokenOut": "USDC", "amount": "3.000", '
        '"slippageTolerance": "0.010"}',
    ],
)
def test_the_same_order_in_another_spelling_is_the_same(rig: Rig, body: str) -> None:
    first = post(b'{"tokenIn": "SOL", "tokenOut": "USDC", "amount": 3.0}')
    assert post(body.encode()) == first
    assert stored(rig) == [id_of(first)]


@pytest.mark.parametrize(
    "fields", [{"amount": 3.1}, {"slippageTolerance": 0.021}, {"tokenOut": "USDT"}, {"tokenIn": "MSOL"}], ids=str
)
def test_another_order_under_a_key_is_refused_by_name(rig: Rig, fields: dict[str, Any]) -> None:
    first = post()
    reply = post(json.dumps(SOL_TO_USDC | fields).encode())
    assert code_of(reply) == (409, "idempotency_key_reused")
    assert "Idempotency-Key" in json.loads(reply.body)["error"]
    assert stored(rig) == [id_of(first)]
    assert rig.bodies("orders") == [id_of(first)]
    assert post() == first


@pytest.mark.parametrize("key", ["!", "~" * 255, "\"'%s;--", "K=:1"], ids=["shortest", "longest", "quotes", "signs"])
def test_a_key_may_be_any_visible_ascii(rig: Rig, key: str) -> None:
    assert post(key=key) == post(key=key)
    assert rig.sql("SELECT key FROM idempotency_keys") == [(key,)]


@pytest.mark.parametrize(
    "key", ["", "x" * 256, "a b", "tab\t", "line\n", "\x7f", "\0", "é", "\udcff", "1\u0661"], ids=ascii
)
def test_any_other_key_is_refused_by_name(rig: Rig, key: str) -> None:
    reply = post(key=key)
    assert code_of(reply) == (400, "invalid_idempotency_key")
    assert "Idempotency-Key" in json.loads(reply.body)["error"]
    assert stored(rig) == []


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
def test_the_gateway_may_spell_the_header_as_it_likes(rig: Rig, name: str) -> None:
    event: dict[str, Any] = {
        "requestContext": {"resourcePath": "/api/orders/execute", "httpMethod": "POST"},
        "headers": {"Content-Type": "application/json", name: KEY},
        "body": BODY.decode(),
        "isBase64Encoded": False,
    } | dict.fromkeys(("multiValueQueryStringParameters", "pathParameters", "stageVariables"))
    assert app(event, None)["body"] == post().body
    assert len(stored(rig)) == 1


def test_each_post_is_one_statement_and_the_order_is_counted_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = break_statements(monkeypatch)
    counted: list[UUID] = []
    monkeypatch.setattr(bootstrap.engine().telemetry, "accepted", counted.append)
    assert post() == post()
    assert sent == [ORDERS["accept_keyed"]] * 2
    assert counted == [UUID(stored(rig)[0])]


# The order's message.


def test_a_repeated_post_sends_the_message_again_while_nobody_has_claimed_the_order(rig: Rig) -> None:
    order_id = id_of(post())
    assert rig.bodies("orders") == [order_id]
    post()
    assert rig.bodies("orders") == [order_id]
    assert rig.finish(id_of(post()))["status"] == "confirmed"
    assert rig.check_log(order_id)


@pytest.mark.parametrize("status", [Status.SUBMITTED, Status.PENDING, Status.CONFIRMED, Status.FAILED])
def test_a_repeated_post_sends_nothing_once_the_order_was_claimed(rig: Rig, status: Status) -> None:
    token = {Status.PENDING: "FLAKY", Status.FAILED: "FAIL"}.get(status, "USDC")
    body = json.dumps(SOL_TO_USDC | {"tokenOut": token}).encode()
    first = post(body)
    order_id = id_of(first)
    rig.invoke(order_id)
    if status is not Status.SUBMITTED:
        rig.advance(5)
        rig.invoke(order_id)
    if status is Status.FAILED:
        rig.settle(order_id)
    assert rig.row(order_id)["status"] == status
    before = rig.messages("orders")
    assert post(body) == first
    assert rig.messages("orders") == before


def test_a_re_send_that_the_queue_refuses_does_not_put_off_the_sweep(rig: Rig) -> None:
    order_id = id_of(post())
    rig.bodies("orders")
    rig.advance(59)
    post()
    rig.bodies("orders")
    rig.advance(2)
    rig.sweep()
    assert rig.bodies("orders") == [order_id]


# Expiry.


def test_a_key_is_free_for_another_order_after_a_day(rig: Rig) -> None:
    first = post()
    rig.advance(DAY - 60)
    assert post() == first
    assert code_of(post(OTHER))[0] == 409
    # The day counts from the first post, not from the last.
    rig.advance(60)
    second = post(OTHER)
    assert stored(rig) == [id_of(first), id_of(second)]
    assert post(OTHER) == second
    assert code_of(post())[0] == 409
    rig.advance(DAY - 60)
    assert post(OTHER) == second


def test_the_sweep_forgets_expired_keys_some_at_a_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in "abc":
        post(key=key)
    rig.advance(DAY)
    kept = post(key="d")
    monkeypatch.setattr("chalicelib.execution.recovery.MOST_EXPIRED_KEYS", 2)
    counts = []
    for _ in range(3):
        rig.sweep()
        counts += rig.sql("SELECT count(*) FROM idempotency_keys")[0]
    assert counts == [2, 1, 1]
    assert post(key="d") == kept
    assert len(stored(rig)) == 4


def test_a_key_that_is_being_forgotten_is_free(rig: Rig, session: Callable[[], Session]) -> None:
    first = post()
    rig.advance(DAY)
    sweep = session()
    sweep.run(ORDERS["expire_keys"], {"most": 10})
    with ThreadPoolExecutor(1) as client:
        late = client.submit(post)
        await_engine(rig)
        sweep.connection.commit()
        second = late.result(SECONDS)
    assert stored(rig) == [id_of(first), id_of(second)]
    assert post() == second


def test_a_key_that_was_taken_over_is_not_forgotten(rig: Rig, session: Callable[[], Session]) -> None:
    post()
    rig.advance(DAY)
    winner, sweep = session(), session()
    winner.run(ORDERS["accept_keyed"], taking := rival())
    swept = sweep.start(ORDERS["expire_keys"], {"most": 10})
    # Passes the row over; one that waited for it would delete it as it was.
    eventually(lambda: swept.done() or waits_for_lock(rig, sweep))
    winner.connection.commit()
    swept.result(SECONDS)
    sweep.connection.commit()
    assert id_of(post()) == str(taking["id"])


# Two at once.


@pytest.mark.parametrize("expired", [False, True], ids=["new key", "expired key"])
@pytest.mark.parametrize("body", [BODY, OTHER], ids=["same order", "other order"])
def test_who_comes_second_waits_for_the_first_and_learns_its_order(
    rig: Rig, session: Callable[[], Session], *, expired: bool, body: bytes
) -> None:
    old = []
    if expired:
        old = [id_of(post())]
        rig.advance(DAY)
    winner = session()
    assert winner.run(ORDERS["accept_keyed"], taking := rival()) == [(taking["id"], True, True)]
    with ThreadPoolExecutor(1) as client:
        loser = client.submit(post, body)
        await_engine(rig)
        winner.connection.commit()
        reply = loser.result(SECONDS)
    if body == BODY:
        assert id_of(reply) == str(taking["id"])
        # The winner may have died before it sent the message.
        assert rig.bodies("orders")[len(old) :] == [str(taking["id"])]
    else:
        assert code_of(reply) == (409, "idempotency_key_reused")
    assert stored(rig) == sorted([*old, str(taking["id"])])


@pytest.mark.parametrize("expired", [False, True], ids=["new key", "expired key"])
def test_who_comes_second_wins_where_the_first_gives_up(
    rig: Rig, session: Callable[[], Session], *, expired: bool
) -> None:
    old = []
    if expired:
        old = [id_of(post())]
        rig.advance(DAY)
    first = session()
    first.run(ORDERS["accept_keyed"], rival(OTHER))
    with ThreadPoolExecutor(1) as client:
        second = client.submit(post)
        await_engine(rig)
        first.connection.rollback()
        reply = second.result(SECONDS)
    assert stored(rig) == [*old, id_of(reply)]
    assert post() == reply


def test_who_waits_too_long_for_the_first_stores_nothing_and_may_try_again(
    rig: Rig, session: Callable[[], Session]
) -> None:
    winner = session()
    winner.run(ORDERS["accept_keyed"], taking := rival())
    assert code_of(post()) == (503, "unavailable")
    winner.connection.commit()
    assert id_of(post()) == str(taking["id"])
    assert stored(rig) == [str(taking["id"])]


def test_of_many_at_once_one_stores_the_order(rig: Rig) -> None:
    containers = [rig.container() for _ in range(4)]
    for at in range(10):
        works: list[Future[UUID]] = [
            asyncio.run_coroutine_threadsafe(each.intake.accept(Caller(), BODY, None, f"key-{at}"), each.loop.loop)
            for each in containers
        ]
        assert len({work.result(SECONDS) for work in works}) == 1
    assert len(stored(rig)) == 10


# Lost replies.


@pytest.mark.parametrize("after", [False, True], ids=["before it took effect", "after it took effect"])
@pytest.mark.parametrize("repeated", [False, True], ids=["first post", "repeated post"])
def test_a_lost_reply_is_asked_for_by_the_same_statement(rig: Rig, *, after: bool, repeated: bool) -> None:
    first = post() if repeated else None
    lost = lose_reply(bootstrap.engine().work, 1, after=after)
    reply = post()
    assert lost == [ORDERS["accept_keyed"]]
    assert stored(rig) == [id_of(reply)]
    assert first in (None, reply)
    assert post() == reply
    assert rig.finish(id_of(reply))["status"] == "confirmed"


@pytest.mark.parametrize("after", [False, True], ids=["before it took effect", "after it took effect"])
def test_a_lost_reply_to_another_order_is_still_a_conflict(rig: Rig, *, after: bool) -> None:
    first = post()
    assert lose_reply(bootstrap.engine().work, 1, after=after) == []
    assert code_of(post(OTHER)) == (409, "idempotency_key_reused")
    assert stored(rig) == [id_of(first)]


def test_who_asks_after_a_lost_reply_may_find_that_another_has_won(rig: Rig) -> None:
    container = rig.container()
    stop = Stop(container, container.work, 1, after=False)
    # The first run never arrives, and the second one stands still before it is sent.
    lost = lose_reply(container.work, 1, after=False)
    work = asyncio.run_coroutine_threadsafe(container.intake.accept(Caller(), BODY, None, KEY), container.loop.loop)
    assert stop.wait(work)
    winner = post()
    stop.release()
    assert str(work.result(SECONDS)) == id_of(winner)
    assert lost
    assert stored(rig) == [id_of(winner)]


@pytest.mark.parametrize("first", ["lost before", "lost after"])
@pytest.mark.parametrize("second", ["lost before", "lost after", "unreachable"])
def test_a_post_in_doubt_says_so_and_is_settled_by_posting_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    with monkeypatch.context() as patched:
        sent = break_statements(patched, first, second)
        reply = post()
        assert sent == [ORDERS["accept_keyed"]] * 2
    assert code_of(reply) == (503, "outcome_unknown")
    # The key may be held by another post, so no id can be named.
    assert set(json.loads(reply.body)) == {"error", "code"}
    assert "Idempotency-Key" in json.loads(reply.body)["error"]
    assert reply.headers["Retry-After"]
    assert rig.bodies("orders") == []
    settled = id_of(post())
    assert stored(rig) == [settled]
    assert rig.bodies("orders") == [settled]


def test_a_first_run_that_goes_on_after_its_reply_was_lost_is_waited_for(
    rig: Rig, session: Callable[[], Session]
) -> None:
    still_running, asking = session(), session()
    still_running.run(ORDERS["accept_keyed"], params := rival())
    answer = asking.start(ORDERS["accept_keyed"], params)
    await_lock(rig, asking)
    still_running.connection.commit()
    assert answer.result(SECONDS) == [(params["id"], True, True)]
    asking.connection.commit()
    assert stored(rig) == [str(params["id"])]
