"""What a holder did to an order since its last write: the unit that the journal stores."""

import asyncio
from datetime import datetime
from uuid import UUID

import msgspec

from chalicelib.domain.event import Event
from chalicelib.domain.lifecycle import Status
from chalicelib.domain.order import Terms
from chalicelib.domain.order_types.base import Watch

# Ends when a transition is durable, with the validity of the submission in it, if any.
Written = asyncio.Future[datetime | None]


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """The write-ahead of a transaction: stored before it is sent. Amounts in base units, as text."""

    tx_id: str
    attempt: int
    venue: str
    amount_in: str
    min_amount_out: str
    # What the order is held to from its first write-ahead on.
    bound: str
    # For how long from now, in the database's time, the transaction may land.
    valid_ms: int


class Resolved(msgspec.Struct, frozen=True):
    """What became of a transaction: succeeded, reverted or dead."""

    tx_id: str
    outcome: str


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """What an order waits for at rest: the reference price of a pair, `rising` to so much or falling to it."""

    mint_in: str
    mint_out: str
    rising: bool
    price: str

    @classmethod
    def of(cls, terms: Terms, watch: Watch | None) -> "Rest | None":
        """What an order on these terms waits for; None where that is no price."""
        if watch is None:
            return None
        return cls(
            mint_in=terms.token_in.key, mint_out=terms.token_out.key, rising=watch.rising, price=f"{watch.price:f}"
        )


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """The new state of one order, written only if it is still held under `claim_token` at `base_seq`."""

    order_id: UUID
    claim_token: int
    base_seq: int
    last_seq: int
    status: Status
    last_update: datetime
    attempts: int
    failure_reason: str | None
    tx_hash: str | None
    open_tx: str | None
    outcome: Status | None
    # True gives the claim back.
    released: bool = False
    # How many claims in a row crashed, as a release leaves it: one that ended well ends the row.
    crashes: int = 0
    # When the order may be claimed again, from now; None = at once.
    next_try_ms: int | None = None
    parked: bool = False
    events: tuple[Event, ...] = ()
    submission: Submission | None = None
    resolved: Resolved | None = None
    watch: Rest | None = None

    def followed_by(self, later: "Transition") -> "Transition":
        """Both as one write."""
        return msgspec.structs.replace(
            later,
            base_seq=self.base_seq,
            events=self.events + later.events,
            submission=later.submission or self.submission,
            resolved=later.resolved or self.resolved,
        )
