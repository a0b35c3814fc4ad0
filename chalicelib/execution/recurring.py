"""Recurring orders: places the run that has come up, or skips it, and ends an order after its last run."""

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from chalicelib.domain.clock import Clock, Entropy, uuid7
from chalicelib.domain.errors import AttemptFailed, StatementRefused
from chalicelib.domain.event import Publishing
from chalicelib.domain.message import Message, MessageQueue
from chalicelib.domain.order_types.recurring import Recurring
from chalicelib.domain.runs import Due, Run
from chalicelib.routing.router import Router
from chalicelib.telemetry import Telemetry
from chalicelib.venues.base import Attempt

# Orders looked at in one tick.
MOST = 200
RECURRING = Recurring()


class RecurringOrders(Protocol):
    """Where they are stored."""

    async def due_runs(self, most: int) -> Sequence[Due]:
        """Orders whose next run has come up."""
        ...

    async def run(self, run: Run) -> bool:
        """Place or skip runs; False where somebody else has, or the order was amended."""
        ...

    async def finish_runs(self, order_id: UUID, runs: int) -> bool:
        """End an order all of whose runs have ended."""
        ...


class Recurrences:
    """Sets off what has come up. Several may do so at once: each run is placed once."""

    def __init__(
        self,
        *,
        book: RecurringOrders,
        market: Router,
        queue: MessageQueue,
        publisher: Publishing,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
    ) -> None:
        self._book = book
        self._market = market
        self._queue = queue
        self._publisher = publisher
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry

    async def tick(self, end: float) -> None:
        """Set off what has come up, until the clock is at `end`. Raises Unavailable or StatementRefused."""
        for due in await self._book.due_runs(MOST):
            if self._clock.monotonic() >= end:
                break
            try:
                await self._set_off(due)
            except StatementRefused as error:
                self._telemetry.failure("run left to the next tick", error, orderId=str(due.order_id))

    async def _set_off(self, due: Due) -> None:
        if due.runs < RECURRING.schedule(due.terms).count:
            await self._run(due)
        elif await self._book.finish_runs(due.order_id, due.runs):
            self._publisher.notify([due.order_id])

    async def _run(self, due: Due) -> None:
        schedule = RECURRING.schedule(due.terms)
        # Of runs that nobody set off in time only the last is left.
        through = min(due.runs + 1 + int(due.late // schedule.every), schedule.count)
        missed = through - due.runs - 1
        reason = "a run before is on its way" if due.busy else await self._objection(due)
        child = None if reason else uuid7(self._clock, self._entropy)
        meta: dict[str, Any] = {"run": through, "of": schedule.count}
        meta |= {"missed": missed} if missed else {}
        meta |= {"orderId": str(child)} if child else {"skipped": reason}
        placed = await self._book.run(
            Run(
                order_id=due.order_id,
                seq=due.seq,
                through=through,
                skipped=missed + (child is None),
                every=schedule.every,
                last=through == schedule.count,
                child=child,
                terms=RECURRING.run(due.terms),
                meta=meta,
            )
        )
        if not placed:
            return
        self._publisher.notify([due.order_id])
        if child is not None and await self._queue.send([Message(str(child))]):
            self._telemetry.failure("order left to the sweep", "the queue took no message", orderId=str(child))

    async def _objection(self, due: Due) -> str | None:
        if not RECURRING.bounded(due.terms):
            return None
        try:
            reference = await self._market.reference(Attempt(due.order_id, due.runs + 1, due.terms))
        except AttemptFailed as error:
            return f"the reference price is not known: {error}"
        return RECURRING.objection(due.terms, reference)
