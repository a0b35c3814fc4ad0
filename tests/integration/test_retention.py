"""Old events: their partitions come and go, living orders keep theirs, and readers are told where they are gone."""

import json
import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import ClientCursor

from chalicelib.handlers import rest
from chalicelib.store.statements import load
from tests.integration.operators import Operator, fail
from tests.integration.rig import Request, Rig
from tests.integration.sessions import Session

ORDERS, STREAMS, OPERATIONS = load("orders"), load("streams"), load("operations")
DAY = 86_400
MAKE = "SELECT done, partition FROM engine_make_events('90 days')"
DROP = "SELECT done, partition FROM engine_drop_events('90 days')"
# The first partition ends 30 days after the migration, and its youngest order is 90 days old so much later.
ALL_OLD = 121 * DAY


def partitions(rig: Rig) -> list[str]:
    return [row[0] for row in rig.sql("SELECT partition FROM event_partitions ORDER BY past")]


def held_in(rig: Rig, order_id: str) -> set[str]:
    """The partitions that hold an order's events."""
    return {
        row[0] for row in rig.sql("SELECT tableoid::regclass::text FROM order_events WHERE order_id = %s", order_id)
    }


def roll(rig: Rig) -> None:
    """Whatever is due is done: the last partition stays until there is another."""
    for _ in range(2):
        rig.sweep()


def forget_events(rig: Rig, seconds: float = ALL_OLD) -> None:
    """Time passes until the events of what has ended are dropped."""
    rig.advance(seconds)
    roll(rig)
    assert "order_events_first" not in partitions(rig)


def test_the_next_partition_is_there_before_it_is_needed(rig: Rig) -> None:
    rig.sweep()
    assert partitions(rig) == ["order_events_first"]
    for months in range(1, 4):
        rig.advance(30 * DAY)
        roll(rig)
        assert len(partitions(rig)) == 1 + months
        ((ahead,),) = rig.sql("SELECT max(past) > engine_now() + interval '7 days' FROM event_partitions")
        assert ahead


def test_there_are_few_partitions_however_long_events_are_kept(rig: Rig) -> None:
    for days in (9, 90, 900):
        for _ in range(30):
            rig.advance(days * DAY / 6)
            rig.sql(f"SELECT engine_make_events('{days} days')")
            rig.sql(f"SELECT engine_drop_events('{days} days')")
        assert 4 <= len(partitions(rig)) <= 6


def test_events_are_dropped_when_they_are_old_and_not_before(rig: Rig) -> None:
    order_id = rig.post()
    rig.settle(order_id)
    rig.advance(118 * DAY)
    roll(rig)
    assert len(rig.check_log(order_id)) == 5
    rig.advance(3 * DAY)
    roll(rig)
    assert rig.sql("SELECT 1 FROM order_events") == []
    assert rig.row(order_id)["outcome"] == "confirmed"


def test_a_living_order_holds_the_partition_of_its_events(rig: Rig) -> None:
    ended, living = rig.post(), rig.post()
    rig.settle(ended)
    rig.advance(ALL_OLD)
    roll(rig)
    assert len(rig.show(ended)["events"]) == 5
    rig.settle(living)
    assert len(rig.check_log(living)) == 5
    roll(rig)
    assert rig.show(ended)["events"] == rig.show(living)["events"] == []


def test_the_last_partition_is_never_dropped_since_the_next_begins_where_it_ends(rig: Rig) -> None:
    rig.advance(ALL_OLD)
    assert rig.sql(DROP) == []
    assert [done for done, _ in rig.sql(MAKE)] == ["made"]
    assert rig.sql(DROP) == [("dropped", "order_events_first")]


def test_whoever_makes_or_drops_a_partition_waits_for_a_tenth_of_a_second_only(rig: Rig) -> None:
    # All statements on events wait behind it.
    functions = "proname IN ('engine_make_events', 'engine_drop_events')"
    found = rig.sql(f"SELECT 'lock_timeout=100ms' = ANY(proconfig) FROM pg_proc WHERE {functions}")
    assert found == [(True,)] * 2


def test_events_are_kept_for_ever_where_that_is_set(rig: Rig) -> None:
    order_id = rig.post()
    rig.settle(order_id)
    container = rig.container(event_retention_days=0)
    for _ in range(4):
        rig.advance(300 * DAY)
        container.run(container.sweeper.run())
    assert len(rig.check_log(order_id)) == 5
    assert 2 <= len(partitions(rig)) <= 5


def test_no_event_is_refused_for_lack_of_a_partition(rig: Rig) -> None:
    forget_events(rig)
    # Its id is older than all partitions by now, as that of a container whose clock is wrong.
    order_id = rig.post()
    rig.settle(order_id)
    assert len(rig.check_log(order_id)) == 5
    assert held_in(rig, order_id) == {"order_events_default"}


def test_rows_of_the_default_partition_move_to_a_new_one(rig: Rig) -> None:
    ((late,),) = rig.sql(
        "INSERT INTO order_events SELECT past_id, seq, 'pending', '{}', now() "
        "FROM event_partitions, generate_series(1, 2) seq RETURNING order_id::text"
    )[:1]
    assert held_in(rig, late) == {"order_events_default"}
    rig.advance(29 * DAY)
    assert rig.sql("SELECT done FROM engine_make_events('90 days', 1)") == [("full",)]
    assert held_in(rig, late) == {"order_events_default"}
    rig.sweep()
    assert held_in(rig, late) == {partitions(rig)[-1]}
    assert rig.sql("SELECT count(*) FROM order_events") == [(2,)]


def test_a_default_partition_that_is_full_does_not_keep_old_events(rig: Rig) -> None:
    rig.settle(rig.post())
    rig.advance(25 * DAY)
    rig.sweep()
    rig.sql("INSERT INTO order_events SELECT gen_random_uuid(), 1, 'pending', '{}', now() FROM generate_series(1, 9)")
    rig.advance(96 * DAY)
    assert rig.sql("SELECT * FROM engine_make_events('90 days', 1)") == [("full", "order_events_default")]
    assert rig.sql(DROP) == [("dropped", "order_events_first")]


@pytest.mark.parametrize(("statement", "done"), [(MAKE, "made"), (DROP, "dropped")])
def test_of_two_at_once_one_does_it_and_the_other_does_not_wait(
    rig: Rig, session: Callable[[], Session], statement: str, done: str
) -> None:
    rig.advance(25 * DAY)
    rig.sweep()
    rig.advance(96 * DAY)
    before = len(partitions(rig))
    first = session()
    assert [found for found, _ in first.run(statement, {})] == [done]
    assert rig.sql(statement) == []
    first.connection.commit()
    assert rig.sql(statement) == []
    assert abs(len(partitions(rig)) - before) == 1


@pytest.mark.parametrize("hindrance", ["a lock", "a dependent object"])
def test_old_events_that_cannot_be_dropped_keep_no_room_from_coming_ones(
    rig: Rig, session: Callable[[], Session], capsys: pytest.CaptureFixture[str], hindrance: str
) -> None:
    rig.advance(25 * DAY)
    rig.sweep()
    rig.advance(96 * DAY)
    hindering = session()
    if hindrance == "a lock":
        hindering.run("SELECT * FROM order_events_first", {})
    else:
        rig.sql("CREATE VIEW somebodys AS SELECT * FROM order_events_first")
    before = partitions(rig)
    rig.sweep()
    assert partitions(rig)[:-1] == before
    told = "expired events left to the next sweep"
    failures = [line for line in capsys.readouterr().out.splitlines() if told in line]
    assert len(failures) == 1
    assert ("lock timeout" if hindrance == "a lock" else "depend on it") in failures[0]
    # And when nothing hinders any more, they are dropped.
    hindering.connection.commit()
    rig.sql("DROP VIEW IF EXISTS somebodys")
    rig.sweep()
    assert "order_events_first" not in partitions(rig)


def test_a_long_reader_only_puts_it_off(rig: Rig, session: Callable[[], Session]) -> None:
    rig.settle(rig.post())
    rig.bodies("orders")
    waiting = rig.post()
    rig.bodies("orders")
    reader = session()
    reader.run("SELECT * FROM order_events", {})
    rig.advance(25 * DAY)
    rig.sweep()
    # The other steps of the sweep were done.
    assert rig.bodies("orders") == [waiting]
    assert partitions(rig) == ["order_events_first"]
    reader.connection.commit()
    rig.sweep()
    assert len(partitions(rig)) == 2


def test_an_order_whose_events_are_gone_is_shown_without(rig: Rig) -> None:
    order_id = rig.post()
    assert rig.show(order_id)["eventsKept"] is True
    before = rig.settle(order_id)
    forget_events(rig)
    assert rig.show(order_id) == before | {"events": [], "eventsKept": False}
    (listed,) = json.loads(rest.orders(Request()).body)["orders"]
    assert "events" not in listed
    assert "eventsKept" not in listed


def test_a_bind_to_an_order_whose_events_are_gone_is_answered_once(rig: Rig) -> None:
    order_id = rig.post()
    rig.settle(order_id)
    forget_events(rig)
    socket = rig.bind(order_id)
    (frame,) = rig.frames(socket)
    assert frame["code"] == "history_gone"
    assert order_id in frame["error"]
    rig.deliver_to(socket)
    rig.sweep()
    while rig.deliver():
        pass
    assert len(rig.frames(socket)) == 1
    rig.send(socket, {"orderId": order_id, "afterSeq": 2})
    assert [each["code"] for each in rig.frames(socket)] == ["history_gone"] * 2
    # Nothing is owed at the end of the log.
    rig.send(socket, {"orderId": order_id, "afterSeq": 5})
    assert len(rig.frames(socket)) == 2


def test_a_connect_that_binds_an_order_whose_events_are_gone_is_answered_once(rig: Rig) -> None:
    order_id = rig.post()
    rig.settle(order_id)
    forget_events(rig)
    socket = rig.connect(order_id)
    rig.deliver_to(socket)
    rig.deliver_to(socket)
    assert [frame["code"] for frame in rig.frames(socket)] == ["history_gone"]


def test_a_socket_that_lacks_frames_when_they_are_dropped_is_told(rig: Rig) -> None:
    order_id = rig.post()
    rig.settle(order_id)
    rig.advance(ALL_OLD)
    socket, other = rig.connect(), rig.bind(order_id)
    rig.gateway.answers[socket] = [429]
    rig.send(socket, {"orderId": order_id})
    forget_events(rig, seconds=0)
    rig.advance(60)
    rig.deliver_to(socket)
    assert [frame["code"] for frame in rig.frames(socket)] == ["history_gone"]
    assert len(rig.frames(other)) == 5


def test_explain_says_that_the_events_are_gone(rig: Rig, operate: Operator) -> None:
    confirmed, failed = rig.post(), fail(rig)
    tx_id = rig.settle(confirmed)["txHash"]
    forget_events(rig)
    gone = ", and its events are not kept any more: "
    assert operate.conclusion(confirmed) == f"It is confirmed by transaction {tx_id}{gone}nothing is left to do."
    assert gone in operate.conclusion(failed)
    repeated = operate.json("repeat", failed)["order_id"]
    assert len(rig.show(repeated)["events"]) == 1


@pytest.mark.parametrize("function", ["engine_make_events(interval, int)", "engine_drop_events(interval)"])
def test_only_the_owner_may_make_and_drop_partitions(rig: Rig, function: str) -> None:
    assert rig.sql("SELECT has_function_privilege('pg_monitor', %s, 'EXECUTE')", function) == [(False,)]


# What statements read.


def as_prepared(statement: str, params: dict[str, Any]) -> tuple[str, list[Any]]:
    """A statement with numbered parameters, and their values."""
    names = list(params)
    return re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement), list(params.values())


def read(plan: dict[str, Any]) -> set[str]:
    """The relations that a plan that was run has read."""
    own = {plan["Relation Name"]} if plan.get("Relation Name") and plan["Actual Loops"] else set()
    return own.union(*(read(inner) for inner in plan.get("Plans", ())))


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_statements_read_the_partition_of_their_order_and_no_other(rig: Rig, mode: str) -> None:
    order_id = rig.post()
    # Of a new order a claim reads no events.
    rig.invoke(order_id)
    for _ in range(3):
        rig.advance(365 * DAY)
        rig.sql("SELECT engine_make_events(NULL)")
    assert len(partitions(rig)) == 4
    socket = rig.connect()
    rig.sql("UPDATE connections SET open = true")
    rig.sql("INSERT INTO subscriptions (connection_id, order_id, last_seq) VALUES (%s, %s, 0)", socket, order_id)
    ids, holder = [order_id], "00000000-0000-0000-0000-000000000001"
    cases: dict[str, tuple[str, dict[str, Any]]] = {
        "show": (ORDERS["show"], {"id": order_id, "account": "default"}),
        "case": (OPERATIONS["case"], {"id": order_id, "gap": 60, "most": 10}),
        "claim": (
            ORDERS["claim"],
            {"ids": ids, "lease": 15, "max_crashes": 3, "alone": False, "last_resort": False, "claimant": holder},
        ),
        "lease": (STREAMS["lease"], {"order_ids": ids, "holder": holder, "lease": 15, "most": 9, "passed_over": []}),
    }
    with psycopg.connect(rig.database_url, cursor_factory=ClientCursor) as connection:
        connection.execute(f"SET plan_cache_mode = {mode}")
        for name, (statement, params) in cases.items():
            text, values = as_prepared(statement, params)
            connection.execute(f'PREPARE "{name}" AS {text}')
            places = ", ".join(["%s"] * len(values))
            found = connection.execute(f'EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE "{name}" ({places})', values).fetchone()
            assert found
            events = {table for table in read(found[0][0]["Plan"]) if table.startswith("order_events")}
            assert events == {"order_events_first"}, name
