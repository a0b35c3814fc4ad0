"""One SQS batch: its orders run side by side, keep away from the function's deadline, and fail alone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol
from uuid import UUID

import msgspec

from chalicelib.domain.claim import LEASE_SECONDS, Claim, ClaimResult, Verdict
from chalicelib.domain.clock import Clock
from chalicelib.domain.errors import ClaimLost, QueueError, StatementRefused, Unavailable
from chalicelib.domain.event import Publishing
from chalicelib.domain.message import Message, MessageQueue
from chalicelib.domain.order import parse_order_id
from chalicelib.execution.executor import DONE, Action, Disposition
from chalicelib.telemetry import Telemetry

# Kept free at the end of an invocation, for the writes and pushes that are still under way.
MARGIN_SECONDS = 4.0
# How long the orders that are cut off then may take to end.
CANCEL_SECONDS = 1.0
# How long the messages of a batch stay away while the database cannot be reached.
OUTAGE_SECONDS = 10


class Received(msgspec.Struct, frozen=True):
    """A message as a queue delivered it."""

    message_id: str
    receipt_handle: str
    body: str


class Claims(Protocol):
    """Where orders are claimed."""

    async def claim(
        self, order_ids: Sequence[UUID], *, alone: bool = False, last_resort: bool = False
    ) -> list[ClaimResult]:
        """Claim each order that may be claimed."""
        ...


# Works on a claimed order and gives the claim back.
Runner = Callable[[Claim], Awaitable[Disposition]]


class Draining(Protocol):
    """What must come to rest before an invocation may end."""

    async def drain(self) -> None:
        """Wait until nothing is on its way."""
        ...


class BatchWorker:
    """Works on the orders that a batch of messages names. `last_resort` is the dead-letter function's way to claim."""

    def __init__(
        self,
        *,
        claims: Claims,
        runner: Runner,
        journal: Draining,
        publisher: Publishing,
        source: MessageQueue,
        orders: MessageQueue,
        dead_letters: MessageQueue,
        clock: Clock,
        telemetry: Telemetry,
        last_resort: bool = False,
    ) -> None:
        self._claims = claims
        self._runner = runner
        self._journal = journal
        self._publisher = publisher
        self._source = source
        self._orders = orders
        self._dead_letters = dead_letters
        self._clock = clock
        self._telemetry = telemetry
        self._last_resort = last_resort

    async def run(self, batch: Sequence[Received], seconds: float) -> list[str]:
        """Work for at most `seconds`; returns the ids of the messages that must come back."""
        deadline = self._clock.monotonic() + seconds - MARGIN_SECONDS
        first: dict[UUID, Received] = {}
        for message in batch:
            order_id = parse_order_id(message.body)
            if order_id is None:
                self._telemetry.failure("message dropped", "not an order id", body=message.body[:100])
            else:
                # The same id twice in a batch is one piece of work.
                first.setdefault(order_id, message)
        dispositions = await self._work(list(first), deadline)
        failed = await self._settle([(first[order_id], disposition) for order_id, disposition in dispositions.items()])
        # An order that was cut off by the deadline may have left a write under way.
        await self._journal.drain()
        await self._publisher.drain()
        return failed

    async def _work(self, order_ids: list[UUID], deadline: float) -> dict[UUID, Disposition]:
        if not order_ids:
            return {}
        dispositions = await self._round(order_ids, deadline, alone=len(order_ids) == 1)
        suspects = [order_id for order_id, found in dispositions.items() if found is None]
        settled = {order_id: found for order_id, found in dispositions.items() if found is not None}
        # One that crashed before runs when no neighbour is in hand any more, so that it can only take itself along.
        for order_id in suspects:
            if self._clock.monotonic() > deadline:
                settled[order_id] = Disposition(Action.SEND_AGAIN)
            else:
                again = await self._round([order_id], deadline, alone=True)
                settled[order_id] = again[order_id] or Disposition(Action.SEND_AGAIN, 1)
        return settled

    async def _round(self, order_ids: list[UUID], deadline: float, *, alone: bool) -> dict[UUID, Disposition | None]:
        """Claim and run; None for an order that must be alone. Suspects come in the order of their crashes."""
        try:
            results = await self._claims.claim(order_ids, alone=alone, last_resort=self._last_resort)
        except (Unavailable, StatementRefused) as error:
            self._telemetry.failure("orders not claimed, sent again later", error, orders=len(order_ids))
            return dict.fromkeys(order_ids, Disposition(Action.SEND_AGAIN, OUTAGE_SECONDS))
        dispositions: dict[UUID, Disposition | None] = {}
        for order_id in set(order_ids) - {result.order_id for result in results}:
            self._telemetry.failure("message dropped", "no such order", orderId=str(order_id))
            dispositions[order_id] = DONE
        running = {
            result.order_id: asyncio.ensure_future(self._run_one(result.claim)) for result in results if result.claim
        }
        for result in sorted(results, key=lambda result: result.crashes):
            if result.claim is None:
                dispositions[result.order_id] = self._refused(result)
        if running:
            await asyncio.wait(running.values(), timeout=max(0.0, deadline - self._clock.monotonic()))
        await _cancel([task for task in running.values() if not task.done()])
        return dispositions | {order_id: self._finished(order_id, task) for order_id, task in running.items()}

    async def _run_one(self, claim: Claim) -> Disposition:
        try:
            return await self._runner(claim)
        except ClaimLost as error:
            # Whoever has the order now has a message of its own.
            self._telemetry.failure("claim lost", error)
            return DONE
        except (Unavailable, StatementRefused) as error:
            self._telemetry.failure("order left to its lease", error, orderId=str(claim.order_id))
            return Disposition(Action.SEND_AGAIN, LEASE_SECONDS)

    def _finished(self, order_id: UUID, task: "asyncio.Task[Disposition]") -> Disposition:
        if not task.done() or task.cancelled():
            self._telemetry.failure("order left to its lease", "the deadline is near", orderId=str(order_id))
            return Disposition(Action.SEND_AGAIN, LEASE_SECONDS)
        if error := task.exception():
            self._telemetry.defect("order left to its lease", error, orderId=str(order_id))
            return Disposition(Action.SEND_AGAIN, LEASE_SECONDS)
        return task.result()

    def _refused(self, result: ClaimResult) -> Disposition | None:
        match result.verdict:
            case Verdict.TERMINAL:
                # Its last frames may have been lost with the worker that ended it.
                self._publisher.notify([result.order_id])
                return DONE
            case Verdict.PARKED:
                return DONE
            case Verdict.SUSPECT:
                return None
            case Verdict.EXHAUSTED:
                return Disposition(Action.DEAD_LETTER)
            case _:
                return Disposition(Action.SEND_AGAIN, result.wait)

    async def _settle(self, dispositions: Sequence[tuple[Received, Disposition]]) -> list[str]:
        """Do with each message what became of its order; returns the ids of those that must come back."""
        failed: list[str] = []
        for queue, action in ((self._orders, Action.SEND_AGAIN), (self._dead_letters, Action.DEAD_LETTER)):
            chosen = [(message, found) for message, found in dispositions if found.action == action]
            refused = await queue.send([Message(message.body, found.seconds) for message, found in chosen])
            bodies = {message.body for message in refused}
            failed += [message.message_id for message, _ in chosen if message.body in bodies]
        backs = [(message, found) for message, found in dispositions if found.action == Action.HAND_BACK]
        failed += [message.message_id for message, _ in backs]
        try:
            await self._source.hand_back([(message.receipt_handle, found.seconds) for message, found in backs])
        except QueueError as error:
            self._telemetry.failure("messages come back after the queue's own timeout", error)
        return failed


async def _cancel(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """End tasks, all at once: what one of them takes to end must not add up over a batch."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
