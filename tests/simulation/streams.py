"""Watches what every socket is sent: each event once a bind, in order, without a gap, and promptly."""

import json
from collections import defaultdict
from typing import Any

from chalicelib.store.streams import SUBSCRIPTION_LEASE_SECONDS as LEASE_SECONDS
from tests.simulation.backends import Backends
from tests.simulation.clockwork import HOST, Host
from tests.simulation.sim import Sim

NEVER = float("-inf")
# What statements that move orders without a holder have just written.
LAST_EVENTS = """
SELECT o.id::text, e.seq, e.status, e.meta FROM orders o JOIN order_events e ON e.order_id = o.id AND e.seq = o.last_seq
WHERE o.id = ANY(%s::uuid[])
"""
# A socket and an order that it follows.
Pair = tuple[str, str]


class Lease:
    """A lease on a subscription, as it was committed."""

    def __init__(self, pair: Pair, cursor: int, bind_no: int, holder: Any, taken_at: float) -> None:
        self.pair = pair
        # The frame that its holder pushes next.
        self.next_seq = cursor + 1
        self.bind_no = bind_no
        self.holder = holder
        self.taken_at = taken_at
        self.expires_at = taken_at + LEASE_SECONDS
        self.released = False


class Delivery:
    """A frame on its way to a socket."""

    def __init__(self, lease: Lease, seq: int) -> None:
        self.lease = lease
        self.seq = seq
        # Whoever pushed it was told that it failed.
        self.unsure = False


class Streams:
    """What sockets follow, under which leases they are pushed to, and what they got."""

    def __init__(self, sim: Sim, backends: Backends) -> None:
        self.sim = sim
        self._backends = backends
        # For each pair the cursors that its binds set.
        self.binds: dict[Pair, list[int]] = defaultdict(list)
        # For each pair and bind the deliveries.
        self.got: dict[tuple[Pair, int], list[Delivery]] = defaultdict(list)
        # When publishing an order was last due: by an event, a bind, or a claim refused since it is terminal.
        self._due_at: dict[str, float] = {}
        # The log, by order and seq: status and meta.
        self._log: dict[tuple[str, int], tuple[str, Any]] = {}
        self._held: dict[Pair, Lease] = {}
        self._by_host: dict[tuple[str, Pair], list[Lease]] = defaultdict(list)

    def observe(self, name: str, host: Host | None, began: float, params: Any, rows: list[tuple[Any, ...]]) -> None:
        """A statement was committed."""
        now = self.sim.loop.time()
        match name:
            case "bind" | "bind_first" if rows:
                self.binds[params["id"], str(params["order_id"])].append(params["after_seq"])
                self._due_at[str(params["order_id"])] = now
            case "lease":
                for pair, cursor, bind_no in dict.fromkeys(((row[0], str(row[1])), row[2], row[3]) for row in rows):
                    self._take(Lease(pair, cursor, bind_no, params["holder"], began), host)
            case "release":
                self._release(params)
            case "write_transitions":
                written = {str(row[0]) for row in rows}
                self._write([entry for entry in json.loads(params["entries"]) if entry["order_id"] in written])
            case "trigger" | "expire" | "run" | "finish_runs":
                self._look([row[0] for row in rows])
            case "amend" | "cancel" if rows:
                self._look([params["id"]])
            case "claim":
                self._due_at |= {str(row[0]): now for row in rows if row[1] == "terminal"}

    def _write(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            if entry["events"]:
                self._due_at[entry["order_id"]] = self.sim.loop.time()
            for event in entry["events"]:
                self._log[entry["order_id"], event["seq"]] = event["status"], event["meta"]

    def _release(self, params: Any) -> None:
        for pair in zip(params["connection_ids"], map(str, params["order_ids"]), strict=True):
            held = self._held.get(pair)
            if held is not None and held.holder == params["holder"]:
                held.released = True

    def _look(self, order_ids: list[Any]) -> None:
        """Orders were moved, and the frames of that are due."""
        for order_id, seq, status, meta in self._backends.monitor.execute(LAST_EVENTS, (order_ids,)):
            self._due_at[order_id] = self.sim.loop.time()
            self._log[order_id, seq] = status, meta

    def pushing(self, connection_id: str, data: bytes) -> Delivery | None:
        """A container pushes a frame; None for one that is not an event."""
        frame, host = json.loads(data), HOST.get()
        if "seq" not in frame or host is None:
            return None
        logged = self._log.get((frame["orderId"], frame["seq"]), ("pending", {"bound": True}))
        if (frame["status"], frame["meta"]) != logged:
            self.sim.violation(f"{host.name} pushes {frame} where the log has {logged}")
        # A container that stood still may hold an old lease beside a new one.
        leases = self._by_host[host.name, (connection_id, frame["orderId"])]
        for lease in reversed(leases):
            if lease.next_seq == frame["seq"]:
                lease.next_seq += 1
                return Delivery(lease, frame["seq"])
        self.sim.violation(f"{host.name} pushes {frame} to {connection_id} without a lease")
        return None

    def delivered(self, delivery: Delivery) -> None:
        """A frame arrived."""
        lease = delivery.lease
        before = self.got[lease.pair, lease.bind_no]
        if any(not _may_repeat(earlier, delivery) for earlier in before if earlier.seq == delivery.seq):
            self.sim.violation(f"frame {delivery.seq} of bind {lease.bind_no} came twice for no reason: {lease.pair}")
        cursors = self.binds[lease.pair]
        start = cursors[lease.bind_no - 1] if lease.bind_no <= len(cursors) else 0
        highest = max((earlier.seq for earlier in before), default=start)
        if delivery.seq > highest + 1:
            self.sim.violation(f"frame {delivery.seq} of bind {lease.bind_no} follows {highest}: {lease.pair}")
        before.append(delivery)

    def owed_since(self, pair: Pair) -> float:
        """When a socket should last have been served; never while whoever held the lease was dead and it not over."""
        held, due = self._held.get(pair), self._due_at.get(pair[1], NEVER)
        return NEVER if held is not None and not held.released and held.expires_at >= due else due

    def missing(self, pair: Pair, last_seq: int) -> list[int]:
        """The frames of its newest bind that a socket has not got."""
        cursors = self.binds[pair]
        got = {delivery.seq for delivery in self.got[pair, len(cursors)]}
        return [seq for seq in range(cursors[-1] + 1, last_seq + 1) if seq not in got]

    def _take(self, lease: Lease, host: Host | None) -> None:
        self._held[lease.pair] = lease
        if host is not None:
            self._by_host[host.name, lease.pair].append(lease)


def _may_repeat(earlier: Delivery, later: Delivery) -> bool:
    """Whether something stood between the first push and the storing of its cursor."""
    if earlier.unsure or later.unsure:
        return True
    first, second = sorted((earlier.lease, later.lease), key=lambda lease: lease.taken_at)
    return first.expires_at <= second.taken_at and not first.released
