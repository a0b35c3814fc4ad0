"""One SQS batch: its orders run side by side, keep away from the function's deadline, and fail alone."""

import asyncio
from collections import ChainMap, defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol
from uuid import UUID

import msgspec

from chalicelib.domain.claim import LEASE_SECONDS, Claim, ClaimResult, Verdict
from chalicelib.domain.clock import Clock
from chalicelib.domain.errors import ClaimLost, Contended, QueueError, StatementRefused, Unavailable
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
# With less time than this left, nothing new is begun.
LEAST_SECONDS = 2.0
# The end of an invocation that pushes must not reach.
SPARE_SECONDS = 0.5
SOON = Disposition(Action.SEND_AGAIN, 1)
# Also where only the sending was cut off and the chain could be asked sooner: such a moment is no time to hurry.
CUT_OFF = Disposition(Action.SEND_AGAIN, OUTAGE_SECONDS)


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

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """End claims that are still held, without a word on the orders."""
        ...


# Works on a claimed order and gives the claim back.
Runner = Callable[[Claim], Coroutine[Any, Any, Disposition]]


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
        end = self._clock.monotonic() + seconds
        messages: dict[UUID, Received] = {}
        for message in batch:
            order_id = parse_order_id(message.body)
            if order_id is None:
                self._telemetry.failure("message dropped", "not an order id", body=message.body[:100])
            else:
                # The same id twice in a batch is one piece of work.
                messages.setdefault(order_id, message)
        failed = await self._work(messages, end - MARGIN_SECONDS)
        await self._publisher.drain(end - self._clock.monotonic() - SPARE_SECONDS)
        return failed

    async def _work(self, messages: dict[UUID, Received], deadline: float) -> list[str]:
        """Work on the orders of some messages; returns the ids of the messages that must come back."""
        if not messages:
            return []
        dispositions = await self._round(list(messages), deadline, alone=len(messages) == 1)
        failed = await self._settle(messages, dispositions)
        # One that crashed before runs when nothing is owed to its neighbours any more: it can only take itself along.
        for order_id in [order_id for order_id, found in dispositions.items() if found is None]:
            alone = await self._round([order_id], deadline, alone=True)
            failed += await self._settle(messages, {order_id: alone[order_id] or SOON})
        return failed

    async def _round(self, order_ids: list[UUID], deadline: float, *, alone: bool) -> dict[UUID, Disposition | None]:
        """Claim and run; None for an order that must be alone. Suspects come in the order of their crashes."""
        if self._clock.monotonic() > deadline - LEAST_SECONDS:
            return dict.fromkeys(order_ids, SOON)
        try:
            results = await self._claims.claim(order_ids, alone=alone, last_resort=self._last_resort)
        except Contended as error:
            if len(order_ids) == 1:
                return self._unclaimed(order_ids, error)
            # One order that somebody has locked must not hold up the others.
            singly = [await self._round([order_id], deadline, alone=alone) for order_id in order_ids]
            return dict(ChainMap(*singly))
        except (Unavailable, StatementRefused) as error:
            return self._unclaimed(order_ids, error)
        dispositions: dict[UUID, Disposition | None] = {
            result.order_id: self._refused(result)
            for result in sorted(results, key=lambda result: result.crashes)
            if result.claim is None
        }
        for order_id in set(order_ids) - {result.order_id for result in results}:
            self._telemetry.failure("message dropped", "no such order", orderId=str(order_id))
            dispositions[order_id] = DONE
        return dispositions | await self._run_all([result.claim for result in results if result.claim], deadline)

    def _unclaimed(self, order_ids: list[UUID], error: Exception) -> dict[UUID, Disposition | None]:
        self._telemetry.failure("orders not claimed, sent again later", error, orders=len(order_ids))
        return dict.fromkeys(order_ids, CUT_OFF)

    async def _run_all(self, claims: list[Claim], deadline: float) -> dict[UUID, Disposition]:
        """Work on claimed orders side by side."""
        running = {claim.order_id: asyncio.ensure_future(self._runner(claim)) for claim in claims}
        if running:
            await asyncio.wait(running.values(), timeout=max(0.0, deadline - self._clock.monotonic()))
        await _cancel([task for task in running.values() if not task.done()])
        finished = {order_id: self._finished(order_id, task) for order_id, task in running.items()}
        await self._give_back([claim for claim in claims if finished[claim.order_id] is None])
        return {order_id: found or CUT_OFF for order_id, found in finished.items()}

    def _finished(self, order_id: UUID, task: "asyncio.Task[Disposition]") -> Disposition | None:
        """What became of an order; None where it was cut off and its claim may be held still."""
        error = TimeoutError("the deadline is near") if not task.done() or task.cancelled() else task.exception()
        match error:
            case None:
                return task.result()
            case ClaimLost():
                # Whoever has the order now has a message of its own; if nobody has, the sweep sends one.
                self._telemetry.failure("claim lost", error)
                return DONE
            case TimeoutError() | Unavailable() | Contended():
                self._telemetry.failure("order cut off, sent again later", error, orderId=str(order_id))
                return None
            case _:
                # The lease ends by itself and counts as a crash, so that this has an end.
                self._telemetry.defect("order left to its lease", error, orderId=str(order_id))
                return Disposition(Action.SEND_AGAIN, LEASE_SECONDS)

    async def _give_back(self, claims: list[Claim]) -> None:
        """End the claims of orders that were cut off: neither an outage nor a deadline may count as a crash."""
        if not claims:
            return
        # A write may still be under way.
        await self._journal.drain()
        try:
            await self._claims.give_back(claims)
        except (Unavailable, StatementRefused) as error:
            self._telemetry.failure("claims left to their leases", error, orders=len(claims))

    def _refused(self, result: ClaimResult) -> Disposition | None:
        match result.verdict:
            case Verdict.TERMINAL:
                # Its last frames may have been lost with the worker that ended it.
                self._publisher.notify([result.order_id])
                return DONE
            case Verdict.PARKED | Verdict.RESTING:
                return DONE
            case Verdict.SUSPECT:
                return None
            case Verdict.EXHAUSTED:
                return Disposition(Action.DEAD_LETTER)
            case Verdict.UNREADABLE:
                # Perhaps a newer release wrote it; the sweep brings it back, less and less often.
                self._telemetry.failure("order left to the sweep", "it cannot be read", orderId=str(result.order_id))
                return DONE
            case _:
                return Disposition(Action.SEND_AGAIN, result.wait)

    async def _settle(
        self, messages: dict[UUID, Received], dispositions: Mapping[UUID, Disposition | None]
    ) -> list[str]:
        """Do with each message what became of its order; returns the ids of those that must come back."""
        by_action: dict[Action, list[tuple[Received, int]]] = defaultdict(list)
        for order_id, found in dispositions.items():
            if found is not None:
                by_action[found.action].append((messages[order_id], found.seconds))
        handed_back = by_action[Action.HAND_BACK]
        refused = await asyncio.gather(
            self._replace(self._orders, by_action[Action.SEND_AGAIN]),
            self._replace(self._dead_letters, by_action[Action.DEAD_LETTER]),
            self._hand_back([(message.receipt_handle, seconds) for message, seconds in handed_back]),
        )
        return [message.message_id for message, _ in handed_back] + [*chain(*refused)]

    async def _replace(self, queue: MessageQueue, given: Sequence[tuple[Received, int]]) -> list[str]:
        """Send new messages for received ones; returns the ids of those that were not replaced."""
        refused = await queue.send([Message(message.body, seconds) for message, seconds in given])
        bodies = {message.body for message in refused}
        return [message.message_id for message, _ in given if message.body in bodies]

    async def _hand_back(self, receipts: Sequence[tuple[str, int]]) -> list[str]:
        try:
            await self._source.hand_back(receipts)
        except QueueError as error:
            self._telemetry.failure("messages come back after the queue's own timeout", error)
        return []


async def _cancel(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """End tasks, all at once: what one of them takes to end must not add up over a batch."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
