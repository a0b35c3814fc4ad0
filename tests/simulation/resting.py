"""What must hold of orders at rest: when they fire, within what they fill, how they run, and how they end."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from chalicelib.domain.lifecycle import Status
from chalicelib.domain.order import Terms
from chalicelib.domain.order_types import TYPES
from chalicelib.domain.order_types.recurring import Recurring
from chalicelib.domain.price import least_output
from tests.simulation.backends import Backends, Rows
from tests.simulation.clockwork import Host
from tests.simulation.wishes import dear

if TYPE_CHECKING:
    from tests.simulation.world import World

# Beside the price in dollars: fees, the bands of the venues' quotes, and what an execution may differ from its quote.
CLEARLY = Decimal("0.025")
RECURRING = Recurring()
AMENDED = "SELECT meta->'amended' FROM order_events WHERE order_id = %(id)s AND seq = %(seq)s"
TERMS = "SELECT payload::text FROM orders WHERE id = %(id)s"
OPEN = "SELECT id::text, payload::text FROM orders WHERE status = 'open'"
# A run that was just placed: what was wrong with the order that it is of, and how many others are on their way.
PLACED = """
SELECT p.outcome IS NOT NULL, coalesce(p.expires_at <= %(now)s, false), p.payload::text,
       (SELECT count(*) FROM orders o WHERE o.parent_id = p.id AND o.id <> c.id AND o.outcome IS NULL), c.run
FROM orders c JOIN orders p ON p.id = c.parent_id WHERE c.id = %(id)s
"""
FILLS = """
SELECT o.id::text, o.payload::text, s.tx_id, s.amount_in, s.amount_out, s.lands_at <= coalesce(o.expires_at, s.lands_at)
FROM simulated_swaps s JOIN orders o ON o.id = s.order_id WHERE s.outcome = 'succeeded' ORDER BY s.tx_id
"""
RUNS = """
SELECT o.id::text, o.payload::text, o.runs,
       coalesce((SELECT json_agg(c.run ORDER BY c.run) FROM orders c WHERE c.parent_id = o.id), '[]'),
       (SELECT count(*) FROM orders c WHERE c.parent_id = o.id AND c.outcome = 'confirmed'),
       (SELECT count(*) FROM orders c WHERE c.parent_id = o.id AND c.outcome <> 'confirmed'),
       (SELECT e.meta FROM order_events e WHERE e.order_id = o.id AND e.status = 'confirmed')
FROM orders o WHERE o.type = 'recurring' ORDER BY o.id
"""
# Orders whose last run the chain never knows.
WAITING_FOR_A_RUN = """
SELECT p.id::text, c.id FROM orders p JOIN orders c ON c.parent_id = p.id
WHERE p.status = 'open' AND c.outcome IS NULL AND c.parked_at IS NOT NULL
"""


class _Fill(NamedTuple):
    """A row of FILLS."""

    order_id: str
    payload: str
    tx_id: str
    amount_in: Decimal
    amount_out: Decimal
    in_time: bool


class Resting:
    """The promises to traders whose orders wait."""

    def __init__(self, world: World, backends: Backends) -> None:
        self._world = world
        self._backends = backends
        # Orders whose cancelling waits for a transaction.
        self._requested: set[str] = set()

    def at_rest(self) -> set[str]:
        """Open orders that may stay so for as long as the market stays as it is."""
        found = {order_id for order_id, payload in self._rows(OPEN) if _rests(_terms(payload))}
        forgotten = self._world.moods.forgotten
        return found | {order_id for order_id, child in self._rows(WAITING_FOR_A_RUN) if child in forgotten}

    def observe(self, name: str, _host: Host | None, _began: float, params: Any, rows: Rows) -> None:
        """A statement was committed."""
        match name:
            case "trigger":
                for (order_id,) in rows:
                    self._check_trigger(order_id, params["reference"])
            case "cancel" if rows and rows[0][0] == "requested":
                self._requested.add(str(params["id"]))
            case "run" if rows and params["child"] is not None:
                self._check_run(params)
            case "write_transitions" if self._requested:
                written = {str(row[0]) for row in rows} & self._requested
                for entry in json.loads(params["entries"]):
                    if entry["order_id"] in written and _attempts(entry):
                        self._broken(f"order {entry['order_id']} was tried again after its client cancelled it")

    def check(self, statuses: dict[str, str]) -> None:
        """What must hold at the end, where orders have these statuses."""
        clients = self._world.clients
        for order_id in sorted(clients.cancelled):
            if statuses[order_id] != Status.CANCELLED:
                self._broken(f"order {order_id} was said to be cancelled and is {statuses[order_id]}")
        forgotten = {str(order_id) for order_id in self._world.moods.forgotten}
        for order_id in sorted(clients.requested - forgotten):
            if statuses[order_id] not in (Status.CANCELLED, Status.CONFIRMED):
                self._broken(f"order {order_id} was to be cancelled and is {statuses[order_id]}")
        self._check_amendments()
        for row in self._rows(FILLS):
            self._check_fill(_Fill(*row))
        for order_id, payload, runs, placed, filled, failed, meta in self._rows(RUNS):
            count = RECURRING.schedule(_terms(payload)).count
            if runs > count or placed != sorted(set(placed)):
                self._broken(f"order {order_id} has run {placed} of {count}")
            if meta and (meta["filled"], meta["failed"], sum(meta.values())) != (filled, failed, count):
                self._broken(f"order {order_id} says {meta} where {filled} were filled and {failed} failed")

    def _check_trigger(self, order_id: Any, reference: Decimal) -> None:
        """By the terms of the latest amendment that was committed, which no acknowledged one can follow."""
        terms = _terms(self._rows(TERMS, id=order_id)[0][0])
        watch = TYPES[terms.order_type].watch(terms)
        if watch is None or not watch.fires_at(reference):
            self._broken(f"order {order_id} fired at {reference} where it waits for {watch}")

    def _check_run(self, params: dict[str, Any]) -> None:
        ended, late, payload, others, run = self._rows(PLACED, id=params["child"])[0]
        if others:
            self._broken(f"run {run} of order {params['id']} overlaps with another")
        if ended or late:
            self._broken(f"run {run} of order {params['id']} comes after its end")
        if run > RECURRING.schedule(_terms(payload)).count:
            self._broken(f"run {run} of order {params['id']} is one too many")

    def _check_amendments(self) -> None:
        for order_id, seq in sorted(self._world.clients.amended):
            found = self._rows(
                "SELECT meta->'amended' FROM order_events WHERE order_id = %(id)s AND seq = %(seq)s",
                id=order_id,
                seq=seq,
            )
            if not found or not found[0][0]:
                self._broken(f"event {seq} of order {order_id} is not its amendment")

    def _check_fill(self, fill: _Fill) -> None:
        terms = _terms(fill.payload)
        if not fill.in_time:
            self._broken(f"order {fill.order_id} was executed after its expiry: {fill.tx_id}")
        if limit := terms.details.get("limitPrice"):
            least = least_output(Decimal(limit), int(fill.amount_in), terms.token_in, terms.token_out)
            if fill.amount_out < least:
                self._broken(f"order {fill.order_id} was filled beyond its limit: {fill.tx_id}")

    def _broken(self, what: str) -> None:
        self._world.sim.violation(what)

    def _rows(self, statement: str, **params: Any) -> Rows:
        return self._backends.monitor.execute(statement, {"now": self._world.server.now()} | params).fetchall()


def _attempts(entry: dict[str, Any]) -> bool:
    tried = {Status.ROUTING, Status.BUILDING, Status.SUBMITTED}
    return entry["submission"] is not None or any(event["status"] in tried for event in entry["events"])


def _terms(payload: str) -> Terms:
    found = Terms.read(payload)
    assert found is not None
    return found


def _rests(terms: Terms) -> bool:
    """Whether the market, as it stands, leaves an open order where it is: nothing fires it, or its limit holds it."""
    watch = TYPES[terms.order_type].watch(terms)
    if watch is None:
        return False
    low, high = (dear(terms.token_out.name) * (1 + share) for share in (-CLEARLY, CLEARLY))
    limit = terms.details.get("limitPrice")
    held = limit is not None and high > Decimal(limit)
    return held or not watch.fires_at(low if watch.rising else high)
