"""What is true of every order's event log."""

from collections.abc import Sequence
from itertools import pairwise

from chalicelib.domain.lifecycle import Status, is_legal


def checked(events: Sequence[tuple[int, str]]) -> list[Status]:
    """The statuses of a log of (seq, status), which must be whole, and legal by the transition table."""
    assert [seq for seq, _ in events] == list(range(1, len(events) + 1))
    statuses = [Status(status) for _, status in events]
    assert all(is_legal(before, after) for before, after in pairwise(statuses)), statuses
    return statuses
