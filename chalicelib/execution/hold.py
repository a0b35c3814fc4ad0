"""A claimed order in a worker's hands: records what happens to it and writes it to the journal."""

from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from chalicelib.domain.claim import Claim
from chalicelib.domain.clock import Clock
from chalicelib.domain.event import Event, raw
from chalicelib.domain.lifecycle import TERMINAL, Status, is_legal
from chalicelib.domain.order import Terms
from chalicelib.domain.order_types import TYPES
from chalicelib.domain.order_types.base import OrderType
from chalicelib.domain.transition import Resolved, Rest, Submission, Transition, Written
from chalicelib.telemetry import Telemetry


class TransitionLog(Protocol):
    """Where transitions are written."""

    def put(self, transition: Transition) -> Written:
        """Write a transition; the future ends when it is durable."""
        ...


class Hold:
    """The state of one order under one claim. Every write carries the claim's token and the seq that it follows."""

    def __init__(self, claim: Claim, journal: TransitionLog, clock: Clock, telemetry: Telemetry) -> None:
        self._claim = claim
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self._seq = claim.last_seq
        self._last = claim.last_update
        self._unconfirmed: list[Written] = []
        self.status = claim.status
        self.attempts = claim.attempts
        self.open_tx = claim.open_tx
        self.bound = claim.bound
        self.failure_reason: str | None = None
        self.tx_hash: str | None = None
        self.timeline = list(claim.timeline)

    @property
    def order_id(self) -> UUID:
        """The order."""
        return self._claim.order_id

    @property
    def terms(self) -> Terms:
        """What it is about."""
        return self._claim.terms

    @property
    def crashes(self) -> int:
        """How many claims of it ended by an expired lease."""
        return self._claim.crashes

    @property
    def fresh(self) -> bool:
        """Whether nothing has happened to it yet."""
        return self._seq == 1

    @property
    def kind(self) -> OrderType:
        """Its type."""
        return TYPES[self.terms.order_type]

    @property
    def ending(self) -> Status | None:
        """How it ends unless a transaction fills it."""
        return self._claim.ending

    @property
    def next_seq(self) -> int:
        """Of its next event."""
        return self._seq + 1

    @property
    def parked(self) -> bool:
        """Whether it was waiting for an operator already."""
        return self._claim.parked

    def event(self, status: Status, meta: dict[str, Any]) -> Event:
        """The next event of the order; the `put` that follows writes it."""
        if not is_legal(self.status, status):
            raise AssertionError(f"order {self.order_id}: {self.status} to {status} is not a transition")
        # Never before the event that it follows, whatever this machine's clock says.
        self._last = max(self._clock.now(), self._last)
        self.status = status
        self.timeline.append((status, int(self._last.timestamp() * 1000)))
        self._seq += 1
        self._telemetry.moved(self.order_id, status, self._seq)
        return Event(self._seq, status, raw(meta), self._last)

    def put(
        self,
        *events: Event,
        released: bool = False,
        next_try_ms: int | None = None,
        parked: bool = False,
        crashes: int = 0,
        submission: Submission | None = None,
        resolved: Resolved | None = None,
        watch: Rest | None = None,
    ) -> None:
        """Send the order's present state and what led to it to the journal, without waiting."""
        written = self._journal.put(
            Transition(
                order_id=self.order_id,
                claim_token=self._claim.claim_token,
                base_seq=self._seq - len(events),
                last_seq=self._seq,
                status=self.status,
                last_update=self._last,
                attempts=self.attempts,
                failure_reason=self.failure_reason,
                tx_hash=self.tx_hash,
                open_tx=self.open_tx,
                outcome=self.status if self.status in TERMINAL else None,
                released=released,
                next_try_ms=next_try_ms,
                parked=parked,
                crashes=crashes,
                events=events,
                submission=submission,
                resolved=resolved,
                watch=watch,
            )
        )
        self._unconfirmed.append(written)

    async def sync(self) -> datetime | None:
        """Wait until all that was put is durable; returns the validity of a submission in the last of it.

        Raises ClaimLost, Unavailable or StatementRefused.
        """
        unconfirmed, self._unconfirmed = self._unconfirmed, []
        valid_until = None
        for written in unconfirmed:
            valid_until = await written
        return valid_until

    @property
    def rests(self) -> int:
        """How often it has rested of late."""
        return sum(status == Status.OPEN for status, _ in self.timeline)

    def seconds_tried(self) -> float:
        """For how long now it has been tried, pauses included."""
        began = next((since for status, since in self.timeline if status == Status.ROUTING), None)
        return 0.0 if began is None else self._clock.now().timestamp() - began / 1000

    def milliseconds(self) -> dict[str, int]:
        """How long the order was in each status."""
        spent: dict[str, int] = {}
        for (status, since), (_, until) in zip(self.timeline, self.timeline[1:], strict=False):
            spent[status] = spent.get(status, 0) + until - since
        return spent
