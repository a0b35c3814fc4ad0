"""What a tick costs the database follows the orders that cross, not those that rest or have ended."""

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from chalicelib.store.statements import load
from tests.integration.rig import Rig
from tests.integration.test_resting import rested

SQL = load("book")
RESTING, ENDED = 10_000, 20_000
# Pages of tables and indexes that a statement may touch where nothing is to be done.
MOST_PAGES = 40
COPIES = """
INSERT INTO orders (id, payload, status, outcome, created_at, last_update, account, type, last_seq, enqueued_at,
    expires_at, watch_in, watch_out, watch_rising, watch_price)
SELECT gen_random_uuid(), payload, %(status)s, %(outcome)s, created_at, last_update, account, type, 1, enqueued_at,
    engine_now() + interval '1 day', watch_in, watch_out, watch_rising,
    CASE WHEN %(outcome)s::text IS NULL THEN watch_price + n * 0.000001 END
FROM orders, generate_series(1, %(many)s) AS n WHERE id = %(id)s
"""


@pytest.mark.parametrize("statement", ["pairs", "trigger", "expire", "due_runs"])
def test_a_tick_in_which_nothing_crosses_reads_next_to_nothing(rig: Rig, statement: str) -> None:
    order_id = rested(rig, orderType="stop", triggerPrice="0.008")
    row = rig.row(order_id)
    params: dict[str, Any] = {"most": 500, "status": "expired", "reason": "expired"}
    params |= {"mint_in": row["watch_in"], "mint_out": row["watch_out"], "reference": Decimal("0.007")}
    with psycopg.connect(rig.database_url, autocommit=True) as connection:
        copy = {"id": order_id, "many": RESTING, "status": "open", "outcome": None}
        connection.execute(COPIES, copy)
        connection.execute(COPIES, copy | {"many": ENDED, "status": "expired", "outcome": "expired"})
        connection.execute("VACUUM ANALYZE orders")
        explained = connection.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + SQL[statement], params).fetchone()
    assert explained
    plan = explained[0][0]["Plan"]
    assert plan["Actual Rows"] == (statement == "pairs")
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= MOST_PAGES
