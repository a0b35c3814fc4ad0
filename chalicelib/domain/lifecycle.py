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


TRANSITIONS: dict[Status, frozenset[Status]] = {
    # A pending order fails without an attempt only when its claims keep crashing.
    Status.PENDING: frozenset({Status.ROUTING, Status.FAILED}),
    Status.ROUTING: frozenset({Status.BUILDING, Status.PENDING, Status.FAILED}),
    Status.BUILDING: frozenset({Status.SUBMITTED, Status.PENDING, Status.FAILED}),
    Status.SUBMITTED: frozenset({Status.CONFIRMED, Status.PENDING, Status.FAILED}),
    Status.CONFIRMED: frozenset(),
    Status.FAILED: frozenset(),
}

TERMINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)


def is_legal(before: Status, after: Status) -> bool:
    """Whether an order may go from `before` straight to `after`."""
    return after in TRANSITIONS[before]
