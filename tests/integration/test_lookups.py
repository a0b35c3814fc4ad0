"""What an order costs the database does not grow with what lies there: rows that others left are not read for it."""

import psycopg
import pytest

from benchmarks.surroundings.database import ACCEPT, PAYLOAD
from chalicelib import bootstrap
from chalicelib.handlers import rest
from tests.integration.rig import Request, Rig, eventually

LIVING = 30_000
BATCH = 10
TABLES = ("orders", "order_events_first", "connections", "subscriptions", "submissions", "simulated_swaps")
# An order is two invocations: they read its row about a dozen times, and each of its few events twice.
MOST_READ = 25
# Of an index, most pages for an order: one that is read whole has hundreds.
MOST_PAGES = 26
READ = f"""
SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname IN {TABLES}
"""
PAGES = f"""
SELECT indexrelname, idx_blks_read + idx_blks_hit FROM pg_statio_user_indexes WHERE relname IN {TABLES}
"""


def follow(rig: Rig, orders: int) -> list[str]:
    """Place orders, each followed by a socket of its own, in one statement."""
    with psycopg.connect(rig.database_url, autocommit=True) as connection:
        found = connection.execute(ACCEPT, {"orders": orders, "payload": PAYLOAD, "watched": True}).fetchall()
        # What the statement itself read must not be counted later.
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT 1")
    return [row[0] for row in found]


def work(rig: Rig, order_ids: list[str]) -> None:
    for start in range(0, len(order_ids), BATCH):
        batch = order_ids[start : start + BATCH]
        rig.invoke(*batch)
        rig.invoke(*batch)


@pytest.fixture(params=["never analyzed", "planned when small"])
def crowded(rig: Rig, request: pytest.FixtureRequest) -> tuple[Rig, list[str], int]:
    """A database with many living orders, two batches of them, and how many orders its container has worked on.

    Its tables have no statistics, or those of when they were nearly empty, which is when the container made its plans.
    """
    for table in TABLES:
        rig.sql(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    worked = 0
    if request.param == "planned when small":
        work(rig, follow(rig, BATCH))
        rig.sql("ANALYZE")
        # The sixth time, a statement's plan is kept.
        work(rig, follow(rig, 4 * BATCH))
        worked = 4 * BATCH
    return rig, follow(rig, LIVING)[: 2 * BATCH], worked


def reads(rig: Rig) -> dict[str, float]:
    """Rows of tables, and pages of indexes, as a multiple of what an order may read of them."""
    return {name: count / MOST_READ for name, count in rig.sql(READ)} | {
        name: count / MOST_PAGES for name, count in rig.sql(PAGES)
    }


def test_a_drain_reads_rows_of_its_own_orders_only(crowded: tuple[Rig, list[str], int]) -> None:
    rig, order_ids, worked = crowded
    before = reads(rig)
    work(rig, order_ids)
    assert {rig.show(order_id)["status"] for order_id in order_ids} == {"confirmed"}
    # Their first was out before.
    assert all(len(rig.frames(f"{order_id}=")) == 4 for order_id in order_ids)
    # A session writes its counters down at the latest when it has ended.
    bootstrap.close()
    eventually(rig.alone)
    after = reads(rig)
    orders = worked + len(order_ids)
    for name, read in after.items():
        assert read - before[name] <= orders, f"{name}: {(read - before[name]) / orders:.1f} times the bound"


def test_an_old_order_is_found_by_its_key(crowded: tuple[Rig, list[str], int]) -> None:
    rig, order_ids, worked = crowded
    before = reads(rig)
    for order_id in order_ids:
        rig.show(order_id)
        rig.bind(order_id)
    # Of the living, the status that all have here: for one that few have, all that live may be looked through.
    for query in ({}, {"status": "confirmed"}, {"status": "pending"}, {"cursor": order_ids[-1]}):
        assert rest.orders(Request(query=query)).status == 200
    bootstrap.close()
    eventually(rig.alone)
    after = reads(rig)
    for name, read in after.items():
        assert read - before[name] <= worked + len(order_ids), name
