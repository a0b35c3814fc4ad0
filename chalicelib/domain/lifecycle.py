"""The statuses of an order and the one table of legal transitions between them."""

from enum import StrEnum


class Status(StrEnum):
    """Where an order is on its way."""

    PENDING = "pending"
    ROUTING = "routing"
    BUILDING = "building"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    # At rest until its trigger fires; nobody works on it.
    OPEN = "open"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


_ENDED_EARLY = frozenset({Status.FAILED, Status.CANCELLED, Status.EXPIRED})

TRANSITIONS: dict[Status, frozenset[Status]] = {
    # A pending order fails without an attempt only when its claims keep crashing.
    Status.PENDING: frozenset({Status.ROUTING, Status.OPEN}) | _ENDED_EARLY,
    Status.ROUTING: frozenset({Status.BUILDING, Status.PENDING, Status.OPEN}) | _ENDED_EARLY,
    Status.BUILDING: frozenset({Status.SUBMITTED, Status.PENDING, Status.OPEN}) | _ENDED_EARLY,
    Status.SUBMITTED: frozenset({Status.CONFIRMED, Status.PENDING, Status.OPEN}) | _ENDED_EARLY,
    # Pending when its trigger fires; open again when it is amended, or an order that runs repeatedly has run once more;
    # confirmed with the last run.
    Status.OPEN: frozenset({Status.PENDING, Status.OPEN, Status.CONFIRMED, Status.CANCELLED, Status.EXPIRED}),
    Status.CONFIRMED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
}

# What an order that its client or its time ended says.
REASONS = {Status.CANCELLED: "cancelled by its client", Status.EXPIRED: "expired"}

TERMINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)


def is_legal(before: Status, after: Status) -> bool:
    """Whether an order may go from `before` straight to `after`."""
    return after in TRANSITIONS[before]
