"""How many blocks of the database the statements behind an answer touch, whatever the machine is doing meanwhile."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec

from benchmarks.surroundings.database import Database
from chalicelib.domain.account import DEFAULT_ACCOUNT
from chalicelib.store.statements import load
from chalicelib.store.streams import CONNECTION_SECONDS, MOST_LEASED, MOST_SUBSCRIPTIONS, SUBSCRIPTION_LEASE_SECONDS

STATEMENTS = load("orders") | load("streams")
PAGE = 21
NEWEST = str(UUID(int=2**128 - 1))
# The socket comes before its bind and goes after it.
UNCOUNTED = ("connect", "forget")

# The last of a confirmed order.
LAST_SEQ = 5
# The number of a socket's first bind to an order.
FIRST_BIND = 1

Statements = list[tuple[str, dict[str, Any]]]


def _bind(order_id: str) -> Statements:
    """All of a bind to an order of which no frame is kept back: it is served, and looked at once more."""
    socket, holder = f"blocks-{order_id}=", uuid4()
    lease = {
        "order_ids": [UUID(order_id)],
        "holder": holder,
        "passed_over": list[str](),
        "lease": SUBSCRIPTION_LEASE_SECONDS,
        "most": MOST_LEASED,
    }
    release = {
        "connection_ids": [socket],
        "order_ids": [UUID(order_id)],
        "last_seqs": [LAST_SEQ],
        "bind_nos": [FIRST_BIND],
        "holder": holder,
    }
    return [
        ("connect", {"id": socket, "first_frame": None, "lifetime": CONNECTION_SECONDS}),
        ("open", {"id": socket}),
        ("log_length", {"id": order_id, "account": DEFAULT_ACCOUNT}),
        ("bind", {"id": socket, "order_id": order_id, "after_seq": 0, "most": MOST_SUBSCRIPTIONS}),
        ("lease", lease),
        ("release", release),
        ("lease", lease),
        ("forget", {"id": socket}),
    ]


LIST: dict[str, Any] = {"account": DEFAULT_ACCOUNT, "before": NEWEST, "limit": PAGE}
# The statements behind each answer, of which some are about an old order.
READS: dict[str, Callable[[str], Statements]] = {
    "list": lambda _: [("newest", LIST)],
    "list, confirmed": lambda _: [("newest_ended", LIST | {"status": "confirmed"})],
    "list, pending": lambda _: [("newest_living", LIST | {"status": "pending"})],
    "list, from an old order on": lambda order_id: [
        ("newest_ended", LIST | {"before": order_id, "status": "confirmed"})
    ],
    "GET an old order": lambda order_id: [("show", {"id": order_id, "account": DEFAULT_ACCOUNT})],
    "bind an old order": _bind,
}


# How many statements a bind is.
BINDING = sum(statement not in UNCOUNTED for statement, _ in _bind(NEWEST))


class Blocks(msgspec.Struct, frozen=True):
    """Blocks of 8 KB that were touched, and those of them that were not in the server's memory."""

    touched: float
    read: float


def blocks(database: Database, what: str, old: Sequence[str]) -> Blocks:
    """The medians over some old orders."""
    found = [_counted(database, READS[what](order_id)) for order_id in old]
    return Blocks(statistics.median(each.touched for each in found), statistics.median(each.read for each in found))


def _counted(database: Database, asked: Statements) -> Blocks:
    hit = read = 0
    for statement, params in asked:
        plan = database.explain(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {STATEMENTS[statement]}", params)
        if statement not in UNCOUNTED:
            hit, read = hit + plan["Shared Hit Blocks"], read + plan["Shared Read Blocks"]
    return Blocks(hit + read, read)
