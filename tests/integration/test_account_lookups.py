"""What an account asks does not read the orders of others, whatever the planner saw when it made its plans."""

import json

import psycopg
import pytest

from benchmarks.surroundings.database import PAYLOAD
from chalicelib import bootstrap
from chalicelib.handlers import rest
from tests.integration.rig import SOL_TO_USDC, Request, Rig, eventually

CROWD = 30_000
# Orders of somebody else: of each hundred one lives, ten failed, the rest is confirmed; all of them have names.
PLACE = """
INSERT INTO orders (id, payload, status, outcome, created_at, last_update, account, client_order_id, type, last_seq,
                    enqueued_at)
SELECT uuidv7(), %(payload)s, status, nullif(status, 'pending'), now(), now(), %(account)s, %(account)s || n, 'market',
       5, now()
FROM (SELECT n, CASE WHEN n %% 100 = 0 THEN 'pending' WHEN n %% 10 = 1 THEN 'failed' ELSE 'confirmed' END AS status
      FROM generate_series(1, %(orders)s) n) s
"""
ASKED = ({}, {"status": "confirmed"}, {"status": "failed"}, {"status": "pending"}, {"clientOrderId": "default7"})
READ = "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_user_tables WHERE relname = 'orders'"
PAGES = "SELECT sum(idx_blks_read + idx_blks_hit) FROM pg_statio_user_indexes WHERE relname = 'orders'"
# A page of twenty and one more, or less, and the order that a name leads to.
MOST_READ = 25
MOST_PAGES = 40


def place(rig: Rig, account: str, orders: int) -> None:
    with psycopg.connect(rig.database_url, autocommit=True) as connection:
        connection.execute(PLACE, {"account": account, "orders": orders, "payload": PAYLOAD})
        # What the statement itself read must not be counted later.
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT 1")


def ask(rig: Rig) -> int:
    """All that an account asks; returns how many questions that were."""
    newest = json.loads(rest.orders(Request(query={"limit": "1"})).body)["nextCursor"]
    queries = [*ASKED, *({**query, "cursor": newest} for query in ASKED)] if newest else list(ASKED)
    for query in queries:
        assert rest.orders(Request(query=query)).status == 200
    taken = json.dumps(SOL_TO_USDC | {"clientOrderId": "default7"}).encode()
    return len(queries) + 1 + (rest.execute(Request(taken)).status == 409)


@pytest.mark.parametrize("seen", [0, 1, 10, 200])
def test_an_account_is_asked_about_alone(rig: Rig, seen: int) -> None:
    rig.sql("ALTER TABLE orders SET (autovacuum_enabled = off)")
    place(rig, "default", seen)
    rig.sql("VACUUM ANALYZE orders")
    # The sixth time, a statement's plan is kept.
    for _ in range(8):
        ask(rig)
    place(rig, "crowd", CROWD)
    place(rig, "a crowd", CROWD)
    bootstrap.engine().run(bootstrap.engine().work.fetch("SELECT pg_stat_force_next_flush()"))
    before = rig.sql(READ)[0][0], rig.sql(PAGES)[0][0]
    asked = ask(rig)
    # A session writes its counters down at the latest when it has ended.
    bootstrap.close()
    eventually(rig.alone)
    assert rig.sql(READ)[0][0] - before[0] <= asked * MOST_READ
    assert rig.sql(PAGES)[0][0] - before[1] <= asked * MOST_PAGES
