"""A holder's hold on an order, what came of an attempt to get one, and the transaction it may find open."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from chalicelib.domain.lifecycle import Status
from chalicelib.domain.order import Terms

# Longer than any function that claims may run, shorter than the queue's visibility timeout.
LEASE_SECONDS = 15


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A holder's hold on one order: the order as it was when claimed, and the token that fences every write."""

    order_id: UUID
    claim_token: int
    terms: Terms
    status: Status
    attempts: int
    crashes: int
    last_seq: int
    # The last event's time; the next event's is never before it.
    last_update: datetime
    # The unresolved transaction, if there is one.
    open_tx: str | None = None
    # The bound on amounts that its first write-ahead set, in base units.
    bound: int | None = None
    # How it ends unless a transaction fills it: cancelled where its client asked for that, or expired.
    ending: Status | None = None
    # It was waiting for an operator when it was claimed.
    parked: bool = False
    # (status, milliseconds since the epoch) of each event so far.
    timeline: tuple[tuple[Status, int], ...] = ()


class Verdict(StrEnum):
    """What came of an attempt to claim an order."""

    CLAIMED = "claimed"
    TERMINAL = "terminal"
    PARKED = "parked"
    LEASED = "leased"
    EARLY = "early"
    # Waits for its trigger: whoever sees it fire sends it on.
    RESTING = "resting"
    # Crashed too often: only the dead-letter function may claim it.
    EXHAUSTED = "exhausted"
    # Crashed before: may be claimed only with no other order in hand.
    SUSPECT = "suspect"
    # Stored in a form that this release cannot read; the claim was given back.
    UNREADABLE = "unreadable"


class ClaimResult(msgspec.Struct, frozen=True):
    """The verdict on one order; `wait` is in whole seconds, for LEASED and EARLY."""

    order_id: UUID
    verdict: Verdict
    wait: int
    crashes: int
    claim: Claim | None


class OpenSubmission(msgspec.Struct, frozen=True):
    """A transaction whose outcome is not known: `overdue` is the seconds since it could last land."""

    valid_until: datetime
    overdue: float
