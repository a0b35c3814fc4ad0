"""Orders that recur: their runs, what is skipped, and their end."""

import json
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from chalicelib.domain.runs import Run
from chalicelib.execution.recurring import RECURRING
from chalicelib.handlers import rest
from chalicelib.store.book import Book
from chalicelib.venues.simulated.venue import REFERENCE
from tests.integration.operators import Operator
from tests.integration.rig import Request, Rig


def placed(rig: Rig, **fields: Any) -> str:
    order_id = rig.post(orderType="recurring", every=60, **fields)
    rig.work()
    assert rig.show(order_id)["status"] == "open"
    return order_id


def children(rig: Rig, order_id: str) -> list[str]:
    return [str(row[0]) for row in rig.sql("SELECT id FROM orders WHERE parent_id = %s ORDER BY run", order_id)]


def metas(rig: Rig, order_id: str) -> list[dict[str, Any]]:
    return [event["meta"] for event in rig.show(order_id)["events"]]


def amend(rig: Rig, order_id: str, **fields: Any) -> None:
    reply = rest.amend(Request(json.dumps(fields).encode(), if_match=str(rig.show(order_id)["seq"])), order_id)
    assert reply.status == 200, reply.body


def test_each_run_is_an_order_and_the_last_one_ends_it(rig: Rig) -> None:
    order_id = placed(rig, count=3)
    socket = rig.bind(order_id)
    for number in (1, 2, 3):
        rig.watch()
        (*_, child) = children(rig, order_id)
        assert rig.frames(socket)[-1]["meta"] == {"run": number, "of": 3, "orderId": child}
        # Not due yet.
        rig.watch()
        assert len(children(rig, order_id)) == number
        rig.settle(child)
        assert rig.check_log(child)[-1] == "confirmed"
        rig.bodies("orders")
        rig.advance(61)
    rig.watch()
    assert rig.frames(socket)[-1]["status"] == "confirmed"
    assert rig.frames(socket)[-1]["meta"] == {"filled": 3, "failed": 0, "skipped": 0}
    assert rig.statuses(socket) == ["pending", "open", "open", "open", "open", "confirmed"]


def test_runs_do_not_overlap(rig: Rig) -> None:
    order_id = placed(rig, count=3)
    rig.watch()
    rig.advance(61)
    rig.watch()
    assert metas(rig, order_id)[-1] == {"run": 2, "of": 3, "skipped": "a run before is on its way"}
    rig.advance(61)
    for _ in range(2):
        rig.watch()
        assert metas(rig, order_id)[-1] == {"run": 3, "of": 3, "skipped": "a run before is on its way"}
    (child,) = children(rig, order_id)
    assert rig.show(order_id)["status"] == "open"
    rig.settle(child)
    rig.watch()
    assert metas(rig, order_id)[-1] == {"filled": 1, "failed": 0, "skipped": 2}


def test_missed_runs_are_skipped(rig: Rig) -> None:
    order_id = placed(rig, count=10)
    rig.advance(200)
    rig.watch()
    (child,) = children(rig, order_id)
    assert metas(rig, order_id)[-1] == {"run": 4, "of": 10, "missed": 3, "orderId": child}
    assert rig.row(order_id)["skipped"] == 3


def test_runs_out_of_bounds_are_skipped_and_counted(rig: Rig) -> None:
    order_id = placed(rig, count=1, maxPrice="0.0070", minPrice="0.006")
    with pytest.MonkeyPatch.context() as market:
        market.setitem(REFERENCE, "SOL", Decimal(120))
        rig.watch()
    assert "is above maxPrice 0.007" in metas(rig, order_id)[-1]["skipped"]
    rig.watch()
    assert metas(rig, order_id)[-1] == {"filled": 0, "failed": 0, "skipped": 1}
    assert children(rig, order_id) == []


def test_a_failed_run_is_counted(rig: Rig) -> None:
    order_id = placed(rig, count=1, tokenOut="FAIL")
    rig.watch()
    (child,) = children(rig, order_id)
    assert rig.settle(child)["status"] == "failed"
    rig.watch()
    assert metas(rig, order_id)[-1] == {"filled": 0, "failed": 1, "skipped": 0}


def test_two_watchers_place_a_run_once(rig: Rig) -> None:
    order_id = placed(rig, count=5)
    due = rig.container().run(rig.container().watcher.tick(5))
    assert due is None
    rig.watch()
    assert len(children(rig, order_id)) == 1


def test_a_cancelled_order_runs_no_more(rig: Rig) -> None:
    order_id = placed(rig, count=5)
    rig.watch()
    assert rest.cancel(Request(), order_id).status == 200
    rig.advance(61)
    rig.watch()
    assert len(children(rig, order_id)) == 1


def test_an_amended_order_runs_when_it_would_have(rig: Rig) -> None:
    order_id = placed(rig, count=5, maxPrice="1")
    rig.watch()
    rig.finish(children(rig, order_id)[0])
    amend(rig, order_id, maxPrice="0.001")
    rig.advance(30)
    rig.watch()
    assert rig.row(order_id)["runs"] == 1
    rig.advance(31)
    rig.watch()
    assert metas(rig, order_id)[-1]["run"] == 2
    assert "is above maxPrice 0.001" in metas(rig, order_id)[-1]["skipped"]


def test_a_run_does_not_go_by_terms_of_before(rig: Rig) -> None:
    order_id = placed(rig, count=5, maxPrice="1")
    other = rig.container()
    book = Book(other.work)
    (due,) = other.run(book.due_runs(1))
    amend(rig, order_id, maxPrice="0.001")
    late = Run(
        order_id=due.order_id,
        seq=due.seq,
        through=1,
        skipped=0,
        every=60,
        last=False,
        child=uuid4(),
        terms=RECURRING.run(due.terms),
        meta={},
    )
    assert other.run(book.run(late)) is False
    assert children(rig, order_id) == []
    rig.check_log(order_id)


def test_orders_whose_last_run_is_on_its_way_hold_up_no_others(rig: Rig, operate: Operator) -> None:
    order_id = placed(rig, count=1)
    rig.watch()
    book = Book(rig.container().work)
    assert rig.container().run(book.due_runs(1)) == []
    assert "its last run is on its way" in operate.conclusion(order_id)


def test_a_run_that_is_refused_holds_up_no_others(rig: Rig) -> None:
    refused, other = placed(rig, count=2), placed(rig, count=2)
    with psycopg.connect(rig.database_url) as holder:
        holder.execute("SELECT 1 FROM orders WHERE id = %s FOR UPDATE", (refused,))
        rig.watch()
        assert (len(children(rig, refused)), len(children(rig, other))) == (0, 1)
    rig.watch()
    assert len(children(rig, refused)) == 1
