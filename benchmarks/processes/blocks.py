"""How many blocks of the database a statement touches, whatever the machine is doing meanwhile."""

import statistics
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from benchmarks.surroundings.database import Database
from chalicelib.store.statements import load

STATEMENTS = load("orders") | load("streams")
PAGE = 21
NEWEST = str(UUID(int=2**128 - 1))
# The statement behind each answer, with what it is asked for other than an old order.
READS: dict[str, tuple[str, dict[str, Any]]] = {
    "list": ("newest", {"before": NEWEST}),
    "list, confirmed": ("newest_ended", {"before": NEWEST, "status": "confirmed"}),
    "list, pending": ("newest_living", {"before": NEWEST, "status": "pending"}),
    "list, from an old order on": ("newest_ended", {"status": "confirmed"}),
    "GET an old order": ("show", {}),
    # What it binds to; the rest of a bind is the socket's own.
    "bind an old order": ("log_length", {}),
}


def blocks(database: Database, what: str, old: Sequence[str]) -> float:
    """The median over some old orders, in blocks of 8 KB."""
    statement, given = READS[what]
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {STATEMENTS[statement]}"
    touched: list[int] = []
    for order_id in old:
        params = {"id": order_id, "before": order_id, "limit": PAGE} | given
        plan = database.explain(explain, params)
        touched.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    return statistics.median(touched)
