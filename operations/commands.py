"""The operator's commands: each reads or moves orders and returns what there is to tell."""

from typing import Protocol
from uuid import UUID

import msgspec

from chalicelib.domain.clock import Clock, Entropy, uuid7
from chalicelib.domain.errors import QueueError
from chalicelib.domain.lifecycle import Status
from chalicelib.domain.message import Message, MessageQueue
from chalicelib.store.operations import Case, Listed, Operations
from operations import report
from operations.diagnosis import Waiting, conclude


class Result(Protocol):
    """What a command has to tell; its fields are the same for machines."""

    @property
    def done(self) -> bool:
        """Whether all that was asked for was done."""
        ...

    def text(self) -> str:
        """The same for people."""
        ...


class Refused(Exception):
    """The command does not apply to the order; the message says why."""


class Listing(msgspec.Struct, frozen=True):
    """Orders that need somebody, oldest first; None where a kind was not asked for."""

    parked: list[Listed] | None
    failed: list[Listed] | None
    # The kinds of which there are more.
    more: list[str]
    done: bool = True

    def text(self) -> str:
        """A line an order."""
        kinds = {"parked": self.parked, "failed": self.failed}
        lists = [
            report.listing(kind, found, more=kind in self.more) for kind, found in kinds.items() if found is not None
        ]
        return "\n\n".join(lists)


class Explanation(msgspec.Struct, frozen=True):
    """All about one order, and what it waits for."""

    conclusion: str
    case: Case
    messages: Waiting
    done: bool = True

    def text(self) -> str:
        """A timeline that ends in the conclusion."""
        return report.explanation(self.case, self.conclusion)


class Resumed(msgspec.Struct, frozen=True):
    """Which orders go on, and why others do not."""

    resumed: list[UUID]
    # Those of them whose message the queue did not take.
    left_to_sweep: list[UUID]
    refused: dict[UUID, str]

    @property
    def done(self) -> bool:
        """Whether all of them go on."""
        return not self.refused

    def text(self) -> str:
        """A line an order."""
        lines = [f"resumed {each}{_LATER if each in self.left_to_sweep else ''}" for each in self.resumed]
        return "\n".join([*lines, *(f"refused {each}: {reason}" for each, reason in self.refused.items())])


class Repeated(msgspec.Struct, frozen=True):
    """The order that was placed anew for another: by this call, or before."""

    order_id: UUID
    repeat_of: UUID
    created: bool
    left_to_sweep: bool = False
    done: bool = True

    def text(self) -> str:
        """One line."""
        if not self.created:
            return f"order {self.repeat_of} was repeated before, as {self.order_id}"
        return f"order {self.repeat_of} is repeated as {self.order_id}{_LATER if self.left_to_sweep else ''}"


_LATER = " (the queue took no message: a sweep sends it within two minutes)"


class Commands:
    """What an operator can do."""

    def __init__(
        self,
        *,
        store: Operations,
        orders: MessageQueue,
        dead_letters: MessageQueue,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._orders = orders
        self._dead_letters = dead_letters
        self._clock = clock
        self._entropy = entropy

    async def need(self, *, parked: bool, failed: bool, limit: int) -> Listing:
        """Orders that need somebody: parked and failed ones, both where neither is asked for."""
        both = parked == failed
        # One more than asked for tells whether there are more.
        waiting = await self._store.parked(limit + 1) if parked or both else None
        ended = await self._store.failed(limit + 1) if failed or both else None
        more = [kind for kind, found in (("parked", waiting), ("failed", ended)) if found and len(found) > limit]
        return Listing(
            waiting[:limit] if waiting is not None else None,
            ended[:limit][::-1] if ended is not None else None,
            more,
        )

    async def explain(self, order_id: UUID) -> Explanation:
        """All about one order. Raises Refused where there is none."""
        case = await self._case(order_id)
        waiting = Waiting(await _backlog(self._orders), await _backlog(self._dead_letters))
        return Explanation(conclude(case, waiting), case, waiting)

    async def resume(self, order_ids: list[UUID]) -> Resumed:
        """Have parked orders asked for at once."""
        resumed, refused = [], {}
        for order_id in dict.fromkeys(order_ids):
            if await self._store.resume(order_id):
                resumed.append(order_id)
            else:
                refused[order_id] = await self._why_not_resumed(order_id)
        lost = [UUID(message.body) for message in await self._orders.send([Message(str(each)) for each in resumed])]
        if taken := [order_id for order_id in resumed if order_id not in lost]:
            await self._store.sent(taken)
        return Resumed(resumed, lost, refused)

    async def repeat(self, order_id: UUID) -> Repeated:
        """Place a failed order anew, once. Raises Refused."""
        new = uuid7(self._clock, self._entropy)
        await self._store.repeat(order_id, new, self._clock.now())
        case = await self._case(order_id)
        if case.row.outcome == Status.CONFIRMED:
            raise Refused(f"order {order_id} is confirmed: what was executed is not executed again")
        if case.repeated_as is None:
            raise Refused(f"order {order_id} has not ended, and may be executed yet. {conclude(case, None)}")
        if case.repeated_as != new:
            return Repeated(case.repeated_as, order_id, created=False)
        lost = await self._orders.send([Message(str(new))])
        return Repeated(new, order_id, created=True, left_to_sweep=bool(lost))

    async def _case(self, order_id: UUID) -> Case:
        case = await self._store.case(order_id)
        if case is None:
            raise Refused(f"no order has the id {order_id}")
        return case

    async def _why_not_resumed(self, order_id: UUID) -> str:
        case = await self._store.case(order_id)
        if case is None:
            return "no order has this id"
        conclusion = conclude(case, None)
        return conclusion if case.row.parked_at else f"it is not parked. {conclusion}"


async def _backlog(queue: MessageQueue) -> int | None:
    try:
        return await queue.backlog()
    except QueueError:
        return None
