"""Statements on resting orders that meet on one row: whoever waited decides on what it finds then."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from chalicelib.domain.retry import MAX_CRASHES
from chalicelib.handlers import queue
from chalicelib.store.statements import load
from tests.integration.faults import SECONDS, die
from tests.integration.rig import Rig
from tests.integration.sessions import Session, await_lock
from tests.integration.test_fencing import claim, entry, submission
from tests.integration.test_resting import OUT_OF_REACH, amend, cancel, dearer, rested

SQL = load("orders") | load("book")
ENDINGS = {"cancelled": "cancelled by its client", "expired": "expired"}
FIRED = Decimal("0.009")


def cancelling(order_id: str) -> dict[str, Any]:
    return {"id": UUID(order_id), "account": "default", "status": "cancelled", "reason": ENDINGS["cancelled"]}


def expiring() -> dict[str, Any]:
    return {"most": 10, "status": "expired", "reason": ENDINGS["expired"]}


def triggering(rig: Rig, order_id: str) -> dict[str, Any]:
    row = rig.row(order_id)
    return {"mint_in": row["watch_in"], "mint_out": row["watch_out"], "reference": FIRED, "most": 10}


def amending(rig: Rig, order_id: str, price: str) -> dict[str, Any]:
    row = rig.row(order_id)
    payload = row["payload"] | {"details": {"triggerPrice": price}}
    given = {"id": UUID(order_id), "payload": json.dumps(payload), "expires_at": None, "rising": True, "price": price}
    return given | {"seq": row["last_seq"], "meta": "{}"}


def stop(rig: Rig) -> str:
    return rested(rig, orderType="stop", triggerPrice="0.008")


def test_a_cancel_that_waited_for_a_write_ahead_only_asks(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = rig.post()
    holder, client = session(), session()
    holder.run(SQL["claim"], claim(order_id))
    holder.run(SQL["write_transitions"], entry(order_id, 1, 1, "submitted", **submission("MOCKTX_1")))
    waiting = client.start(SQL["cancel"], cancelling(order_id))
    await_lock(rig, client)
    holder.connection.commit()
    assert waiting.result(SECONDS) == [("requested", "submitted", True)]
    client.connection.commit()
    row = rig.row(order_id)
    assert (row["status"], row["outcome"], row["claim_token"]) == ("submitted", None, 2)
    assert row["cancel_requested_at"]


def test_a_write_ahead_that_waited_for_a_cancel_is_none(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = rig.post()
    holder, client = session(), session()
    holder.run(SQL["claim"], claim(order_id))
    holder.connection.commit()
    assert client.run(SQL["cancel"], cancelling(order_id)) == [("cancelled", "cancelled", False)]
    write_ahead = entry(order_id, 1, 1, "submitted", **submission("MOCKTX_1"))
    waiting = holder.start(SQL["write_transitions"], write_ahead)
    await_lock(rig, holder)
    client.connection.commit()
    assert waiting.result(SECONDS) == []
    holder.connection.commit()
    assert rig.sql("SELECT 1 FROM submissions") == []
    assert rig.check_log(order_id) == ["pending", "cancelled"]


def test_a_cancel_request_fences_whoever_asks_without_knowing(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = rig.post(tokenOut="FAIL")
    rig.work()
    asker = session()
    rig.advance(30)
    token = asker.run(SQL["claim"], claim(order_id))[0][5]
    asker.connection.commit()
    assert cancel(order_id)[0] == 202
    retry = entry(order_id, token, rig.row(order_id)["last_seq"], "pending", open_tx=None)
    assert asker.run(SQL["write_transitions"], retry) == []
    asker.connection.commit()
    assert rig.settle(order_id)["status"] == "cancelled"


def test_a_trigger_that_waited_for_a_cancel_fires_nothing(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = stop(rig)
    client, watcher = session(), session()
    client.run(SQL["cancel"], cancelling(order_id))
    waiting = watcher.start(SQL["trigger"], triggering(rig, order_id))
    await_lock(rig, watcher)
    client.connection.commit()
    assert waiting.result(SECONDS) == []
    watcher.connection.commit()
    assert rig.check_log(order_id) == ["pending", "open", "cancelled"]


def test_a_trigger_that_waited_for_an_amendment_goes_by_the_new_price(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = stop(rig)
    client, watcher = session(), session()
    assert client.run(SQL["amend"], amending(rig, order_id, "0.5"))
    waiting = watcher.start(SQL["trigger"], triggering(rig, order_id))
    await_lock(rig, watcher)
    client.connection.commit()
    assert waiting.result(SECONDS) == []
    watcher.connection.commit()
    assert rig.check_log(order_id) == ["pending", "open", "open"]


def test_an_amendment_that_waited_for_a_trigger_changes_nothing(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = stop(rig)
    client, watcher = session(), session()
    assert watcher.run(SQL["trigger"], triggering(rig, order_id)) == [(UUID(order_id),)]
    waiting = client.start(SQL["amend"], amending(rig, order_id, "0.5"))
    await_lock(rig, client)
    watcher.connection.commit()
    assert waiting.result(SECONDS) == []
    client.connection.commit()
    assert rig.check_log(order_id) == ["pending", "open", "pending"]
    assert rig.show(order_id)["triggerPrice"] == "0.008"


def test_two_triggers_that_meet_fire_once(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = stop(rig)
    one, other = session(), session()
    assert one.run(SQL["trigger"], triggering(rig, order_id)) == [(UUID(order_id),)]
    waiting = other.start(SQL["trigger"], triggering(rig, order_id))
    await_lock(rig, other)
    one.connection.commit()
    assert waiting.result(SECONDS) == []
    other.connection.commit()
    assert rig.check_log(order_id) == ["pending", "open", "pending"]


def timed(rig: Rig, seconds: float = 60, **fields: Any) -> str:
    expires_at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    return rig.post(**{"orderType": "limit", "limitPrice": "1", "timeInForce": "GTD", "expiresAt": expires_at} | fields)


def test_expiry_leaves_what_is_locked_and_what_is_unresolved(rig: Rig, session: Callable[[], Session]) -> None:
    unresolved, locked, free = timed(rig), timed(rig), timed(rig)
    holder, watcher = session(), session()
    holder.run(SQL["claim"], claim(unresolved))
    holder.run(SQL["write_transitions"], entry(unresolved, 1, 1, "submitted", **submission("MOCKTX_1")))
    holder.connection.commit()
    rig.advance(61)
    holder.run("SELECT 1 FROM orders WHERE id = %(id)s FOR UPDATE", {"id": UUID(locked)})
    assert watcher.run(SQL["expire"], expiring()) == [(UUID(free),)]
    watcher.connection.commit()
    holder.connection.commit()
    assert watcher.run(SQL["expire"], expiring()) == [(UUID(locked),)]
    watcher.connection.commit()
    assert rig.settle(unresolved)["status"] == "expired"


def test_what_is_written_ahead_after_the_expiry_is_never_valid(rig: Rig, session: Callable[[], Session]) -> None:
    order_id = timed(rig)
    holder = session()
    holder.run(SQL["claim"], claim(order_id))
    holder.connection.commit()
    rig.advance(61)
    ((_, valid_until),) = holder.run(
        SQL["write_transitions"], entry(order_id, 1, 1, "submitted", **submission("MOCKTX_1"))
    )
    assert valid_until == datetime.fromisoformat(rig.row(order_id)["expires_at"])
    holder.connection.commit()
    assert rig.settle(order_id)["status"] == "expired"


def test_an_expired_order_is_neither_fired_nor_amended_nor_worked_on(rig: Rig) -> None:
    order_id, pending = timed(rig, limitPrice=OUT_OF_REACH), timed(rig)
    rig.invoke(order_id)
    assert rig.show(order_id)["status"] == "open"
    rig.advance(61)
    assert amend(order_id, 3, limitPrice="1")[1]["code"] == "changed"
    with psycopg.connect(rig.database_url) as watcher:
        assert watcher.execute(SQL["trigger"], triggering(rig, order_id) | {"reference": 0}).fetchall() == []
    rig.invoke(pending)
    assert rig.check_log(pending) == ["pending", "expired"]


@pytest.mark.parametrize("expired", [False, True])
def test_an_order_that_crashed_too_often_ends_as_what_it_is(rig: Rig, expired: bool) -> None:
    order_id = timed(rig)
    die(rig, order_id, MAX_CRASHES)
    rig.advance(61 if expired else 1)
    rig.invoke(order_id, handler=queue.dead_letters)
    shown = rig.show(order_id)
    assert shown["status"] == ("expired" if expired else "failed")
    assert ("crashed" in shown["failureReason"]) is not expired


def test_a_fired_order_whose_worker_died_is_evaluated_anew(rig: Rig) -> None:
    order_id = stop(rig)
    with dearer():
        rig.watch()
        die(rig, order_id, 1, status="pending")
        assert rig.settle(order_id)["status"] == "confirmed"
    assert rig.show(order_id)["attempts"] == 0


def test_a_pair_whose_orders_are_locked_holds_up_no_other(rig: Rig) -> None:
    held, free = stop(rig), rested(rig, tokenOut="USDT", orderType="stop", triggerPrice="0.008")
    with dearer(), psycopg.connect(rig.database_url) as holder:
        for order_id, other in ((held, free), (free, held)):
            holder.execute("SELECT 1 FROM orders WHERE id = %s FOR UPDATE", (order_id,))
            rig.watch()
            assert rig.show(other)["status"] == "pending"
            holder.rollback()
            rig.sql("UPDATE orders SET status = 'open' WHERE id = %s", other)
