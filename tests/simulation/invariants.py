"""What must hold, whatever happened."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from chalicelib.domain.claim import Verdict
from chalicelib.domain.lifecycle import TERMINAL, Status, is_legal
from chalicelib.domain.message import delivery_body
from chalicelib.domain.order import DEFAULT_TYPE
from chalicelib.domain.order_types.recurring import Recurring
from chalicelib.venues.ledger_chain import UNTRIED
from tests.simulation import papers
from tests.simulation.backends import Backends
from tests.simulation.clockwork import Host
from tests.simulation.resting import Resting

if TYPE_CHECKING:
    from tests.simulation.world import World

LIVING = """
SELECT id::text, parked_at IS NOT NULL FROM orders WHERE outcome IS NULL
"""
ORDERS = """
SELECT o.id::text, o.type, o.parent_id IS NULL AS posted, o.status, o.outcome, o.open_tx, o.last_seq, o.attempts,
       o.tx_hash, o.failure_reason,
       o.lease_until > %(now)s AS leased, o.parked_at IS NOT NULL AS parked,
       coalesce((SELECT json_agg(json_build_array(e.seq, e.status, extract(epoch FROM e.ts)) ORDER BY e.seq)
                 FROM order_events e WHERE e.order_id = o.id), '[]') AS events,
       coalesce((SELECT json_agg(json_build_array(s.tx_id, s.outcome))
                 FROM simulated_swaps s WHERE s.order_id = o.id), '[]') AS swaps,
       coalesce((SELECT json_agg(json_build_array(s.tx_id, s.outcome))
                 FROM submissions s WHERE s.order_id = o.id), '[]') AS submissions
FROM orders o ORDER BY o.id
"""
SUBSCRIPTIONS = """
SELECT s.connection_id, s.order_id::text, s.last_seq, o.last_seq, s.lease_until > %(now)s
FROM subscriptions s JOIN orders o ON o.id = s.order_id ORDER BY 1, 2
"""
# Nobody pushes, and nothing says that somebody will.
LAGGING = """
SELECT s.connection_id, s.order_id::text
FROM subscriptions s
JOIN orders o ON o.id = s.order_id AND o.last_seq > s.last_seq
JOIN connections c ON c.id = s.connection_id AND c.open AND (c.not_before IS NULL OR c.not_before <= %(now)s)
WHERE s.lease_until IS NULL OR s.lease_until <= %(now)s
"""
# Whoever had claimed an order is fenced off.
NOBODYS = -1


class _Order(NamedTuple):
    """A row of ORDERS."""

    order_id: str
    type: str
    # Not placed by another that recurs.
    posted: bool
    status: str
    outcome: str | None
    open_tx: str | None
    last_seq: int
    attempts: int
    tx_hash: str | None
    failure_reason: str | None
    leased: bool | None
    parked: bool
    events: list[tuple[int, str, float]]
    swaps: list[tuple[str, str]]
    submissions: list[tuple[str, str | None]]


class Invariants:
    """The promises, checked against the database, the queues and what clients saw."""

    def __init__(self, world: World, backends: Backends, *, on_pools: bool) -> None:
        self.statuses: Counter[str] = Counter()
        self.transactions: Counter[str] = Counter()
        self._on_pools = on_pools
        self._world = world
        self._backends = backends
        # The newest claim of each order.
        self._tokens: dict[str, int] = {}
        # When each order may be tried again.
        self._not_before: dict[str, float] = {}
        self._keys: dict[str, UUID] = {}
        self._resting = Resting(world, backends)
        self._at_rest: set[str] = set()
        world.server.observers += [self._observe, self._resting.observe]

    def settled(self) -> bool:
        """Whether everything has come to its end."""
        world = self._world
        if (
            world.machine.under_way
            or not world.server.idle()
            or world.sim.loop.time() < world.sim.faults.disturbed_until
        ):
            return False
        if any(queue.messages for queue in world.queues.values()):
            return False
        # Parked orders that the chain will know again are asked for within the hour.
        forgotten = {str(order_id) for order_id in world.moods.forgotten}
        waiting = self._resting.at_rest()
        if any(order_id not in (forgotten if parked else waiting) for order_id, parked in self._rows(LIVING)):
            return False
        return not any(
            sent < last for socket, _, sent, last, _ in self._rows(SUBSCRIPTIONS) if socket in world.gateway.open
        )

    def check(self) -> None:
        """Everything that must hold at the end."""
        world, stored = self._world, [_Order(*row) for row in self._rows(ORDERS)]
        self._at_rest = self._resting.at_rest()
        for order in stored:
            self._check_order(order)
        statuses = {order.order_id: order.status for order in stored}
        for order_id in world.clients.accepted:
            if order_id not in statuses:
                world.sim.violation(f"order {order_id} was accepted and is lost")
        clients, operator = world.clients, world.operator
        posted = sum(order.posted for order in stored)
        if posted > clients.without_key + len(clients.keys) + len(operator.repeated):
            world.sim.violation(f"{posted} orders are more than were posted")
        self._resting.check(statuses)
        self._check_streams()
        self._check_leftovers()
        if self._on_pools:
            pools, ledger, executed = map(self._rows, papers.STATEMENTS)
            self.transactions = papers.kinds(ledger)
            for what in papers.broken(pools, ledger, executed):
                world.sim.violation(what)

    def quiet(self) -> None:
        """At a moment when nothing runs: nobody who is owed a frame may be left to the sweep without a fault."""
        world = self._world
        coming = {held.body for held in world.queues["order-engine-deliveries"].messages.values()}
        for socket, order_id in self._rows(LAGGING):
            owed_since = world.streams.owed_since((socket, order_id))
            if world.sim.faults.disturbed_until >= owed_since or socket not in world.gateway.open:
                continue
            if delivery_body(socket) not in coming:
                world.sim.violation(f"nobody pushes order {order_id} to {socket}")

    def _observe(self, name: str, _host: Host | None, began: float, params: Any, rows: list[tuple[Any, ...]]) -> None:
        """A statement was committed: a key stands for one order, and only the newest claim of an order writes."""
        if name == "claim":
            self._tokens |= {str(row[0]): row[5] for row in rows if row[1] == Verdict.CLAIMED}
        elif name == "cancel" and rows and (rows[0][0] == "cancelled" or rows[0][2]):
            self._tokens[str(params["id"])] = NOBODYS
        elif name == "expire":
            self._tokens |= {str(row[0]): NOBODYS for row in rows}
        elif name == "accept_keyed":
            order_id = rows[0][0]
            if self._keys.setdefault(params["key"], order_id) != order_id:
                self._world.sim.violation(f"{params['key']} stands for {self._keys[params['key']]} and for {order_id}")
        elif name == "write_transitions":
            written = {str(row[0]) for row in rows}
            for entry in json.loads(params["entries"]):
                if entry["order_id"] in written:
                    self._check_write(entry, began)

    def _check_write(self, entry: dict[str, Any], began: float) -> None:
        sim, order_id = self._world.sim, entry["order_id"]
        if entry["claim_token"] != self._tokens[order_id]:
            sim.violation(f"order {order_id} was written under a claim that is over")
        for event in entry["events"]:
            if event["status"] == Status.ROUTING and sim.loop.time() < self._not_before.get(order_id, 0.0):
                sim.violation(f"order {order_id} was tried again too soon")
            if event["status"] == Status.PENDING:
                self._not_before[order_id] = began + event["meta"]["nextTryInMs"] / 1000

    def _check_order(self, order: _Order) -> None:
        self.statuses["parked" if order.parked else order.status] += 1
        statuses = [Status(found) for _, found, _ in order.events]
        succeeded = [tx_id for tx_id, result in order.swaps if result == "succeeded"]
        untried = sum(result == UNTRIED for _, result in order.swaps)
        unresolved = [tx_id for tx_id, result in order.submissions if result is None]
        world = self._world
        promises = {
            "is terminal, at rest for a reason, or parked with a transaction that the chain does not know": (
                order.outcome is not None or (order.order_id in self._at_rest and not order.open_tx)
            )
            or (
                order.parked
                and order.open_tx is not None
                and not order.swaps
                and order.order_id in map(str, world.moods.forgotten)
            ),
            "has a log without gaps": [seq for seq, _, _ in order.events] == list(range(1, order.last_seq + 1)),
            "has a legal log": statuses[:1] == [Status.PENDING]
            and all(is_legal(before, after) for before, after in itertools.pairwise(statuses)),
            "has a log in the order of time": [ts for *_, ts in order.events] == sorted(ts for *_, ts in order.events),
            "ends once": sum(found in TERMINAL for found in statuses) == (order.outcome is not None),
            "agrees with its log": statuses[-1:] == [order.status]
            and (order.outcome is None or order.outcome == order.status),
            "made at most three attempts": order.attempts == 0
            if order.type != DEFAULT_TYPE
            else order.attempts <= 3 and order.attempts <= statuses.count(Status.ROUTING) <= order.attempts + untried,
            "swapped once if confirmed, and else never": len(succeeded)
            == (order.status == Status.CONFIRMED and order.type != Recurring.name),
            "names its swap": order.status != Status.CONFIRMED or succeeded == [order.tx_hash] * len(succeeded),
            "tells why it ended without a fill": (order.failure_reason is not None)
            == (order.status in TERMINAL - {Status.CONFIRMED}),
            "has no claim left": not order.leased,
            "has resolved its transactions": unresolved == ([order.open_tx] if order.open_tx else []),
        }
        for promise, kept in promises.items():
            if not kept:
                world.sim.violation(f"order {order.order_id} breaks: it {promise}")

    def _check_streams(self) -> None:
        world = self._world
        for socket, order_id, sent, last, leased in self._rows(SUBSCRIPTIONS):
            if socket not in world.gateway.open:
                continue
            if leased:
                world.sim.violation(f"the subscription of {socket} to {order_id} is leased still")
            if missing := world.streams.missing((socket, order_id), last):
                world.sim.violation(f"{socket} lacks frames {missing} of order {order_id}")
            if sent != last:
                world.sim.violation(f"the cursor of {socket} is at {sent} of {last} of order {order_id}")

    def _check_leftovers(self) -> None:
        world = self._world
        for name, queue in world.queues.items():
            if queue.messages:
                world.sim.violation(f"{name} holds {[held.body for held in queue.messages.values()]}")
        alive = {host.name for host in world.machine.hosts if host.alive}
        open_ones = Counter(
            one.host.name for one in world.server.connections if one.host is not None and not one.closed
        )
        for name, count in open_ones.items():
            if name not in alive or count > 2:
                world.sim.violation(f"{name} has {count} connections open")
        for host in world.machine.hosts:
            if host.alive and (left := host.busy()):
                world.sim.violation(f"{host.name} is at work still: {left}")

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._backends.monitor.execute(statement, {"now": self._world.server.now()}).fetchall()
