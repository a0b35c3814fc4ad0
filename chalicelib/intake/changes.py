"""What a client changes of an order that is there: cancelling it, or amending it while it rests."""

import re
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from chalicelib.domain.account import Caller
from chalicelib.domain.clock import Clock
from chalicelib.domain.errors import ClientError, Conflict, Fault, NotFound
from chalicelib.domain.event import Publishing, raw
from chalicelib.domain.lifecycle import Status
from chalicelib.domain.message import Message, MessageQueue
from chalicelib.domain.order import Cancelled, Cancelling, Terms
from chalicelib.domain.order_types import TYPES
from chalicelib.domain.order_types.base import Kind, waiting_for
from chalicelib.domain.strict_json import parse, refuse_unknown
from chalicelib.domain.transition import Rest
from chalicelib.intake.details import parse_field
from chalicelib.intake.triggers import Triggers
from chalicelib.intake.validation import BODY_LIMIT, client_bound
from chalicelib.telemetry import Telemetry

MIN_AMOUNT_OUT = "minAmountOut"
# Prices and moments.
AMENDABLE = {Kind.PRICE, Kind.MOMENT}
_ETAG = re.compile(r'\s*"?(?P<seq>[0-9]{1,9})"?\s*')


class RestingOrders(Protocol):
    """Where orders are changed."""

    async def cancel(self, order_id: UUID, account: str) -> Cancelled | None:
        """Cancel an order, or note the wish; None where the account has no such order."""
        ...

    async def amend(self, order_id: UUID, terms: Terms, watch: Rest | None, seq: int, meta: msgspec.Raw) -> int | None:
        """Give an open order other terms; returns its event's seq, None where it is not open at `seq` any more."""
        ...


class Found(Protocol):
    """An order as it stands."""

    @property
    def terms(self) -> Terms | None:
        """Its terms; None where another release stored what this one cannot read."""
        ...

    @property
    def status(self) -> str:
        """Its status."""
        ...

    @property
    def order_id(self) -> UUID:
        """Its id."""
        ...


class Orders(Protocol):
    """Where orders are looked up."""

    async def find(self, order_id: UUID, account: str) -> Found | None:
        """An order of an account, without its events."""
        ...


class Changes:
    """Cancels and amends orders; each change is one statement that decides on the order's row."""

    def __init__(
        self,
        *,
        book: RestingOrders,
        orders: Orders,
        triggers: Triggers,
        queue: MessageQueue,
        publisher: Publishing,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._book = book
        self._orders = orders
        self._triggers = triggers
        self._queue = queue
        self._publisher = publisher
        self._clock = clock
        self._telemetry = telemetry

    async def cancel(self, caller: Caller, order_id: UUID, seconds: float) -> Cancelled:
        """Cancel an order, or have it cancelled unless the transaction that is on its way fills it.

        Raises NotFound, or Conflict where it has ended.
        """
        found = await self._cancel(caller, order_id)
        if found is None:
            raise unknown(order_id)
        if found.outcome == Cancelling.TERMINAL:
            raise Conflict(Fault.ALREADY_TERMINAL, f"the order is {found.status} already")
        await self._publisher.drain(seconds)
        return found

    async def _cancel(self, caller: Caller, order_id: UUID) -> Cancelled | None:
        found = await self._book.cancel(order_id, caller.account)
        if found is not None and found.outcome == Cancelling.CANCELLED:
            self._publisher.notify([order_id])
        elif found is not None and found.first and await self._queue.send([Message(str(order_id))]):
            self._telemetry.failure("order left to the sweep", "the queue took no message", orderId=str(order_id))
        return found

    async def cancel_all(self, caller: Caller, orders: Sequence[Found], seconds: float) -> list[tuple[UUID, str]]:
        """Cancel several, each by itself; returns what became of each: its status, or cancel_requested."""
        became: list[tuple[UUID, str]] = []
        for order in orders:
            found = await self._cancel(caller, order.order_id)
            # One that is gone by now had ended.
            became.append((order.order_id, found.told if found else order.status))
        await self._publisher.drain(seconds)
        return became

    async def amend(self, caller: Caller, order_id: UUID, body: bytes, if_match: str | None, seconds: float) -> int:
        """Change prices, bound or expiry of an open order; returns its seq as it is now.

        Raises NotFound; Conflict where it is not open or not as the client saw it; ClientError.
        """
        fields = parse(body, BODY_LIMIT)
        seq = _seq(if_match)
        found = await self._orders.find(order_id, caller.account)
        if found is None or found.terms is None or found.terms.order_type not in TYPES:
            raise unknown(order_id)
        if found.status != Status.OPEN:
            raise Conflict(Fault.NOT_OPEN, f"only an open order can be amended, this one is {found.status}")
        terms, changed = self._amended(found.terms, fields)
        await self._triggers.check(terms)
        watch = TYPES[terms.order_type].watch(terms)
        meta = raw(waiting_for(watch) | {"amended": changed})
        now_at = await self._book.amend(order_id, terms, Rest.of(terms, watch), seq, meta)
        if now_at is None:
            raise Conflict(Fault.CHANGED, f"the order is not at seq {seq} any more: read it again")
        self._publisher.notify([order_id])
        await self._publisher.drain(seconds)
        return now_at

    def _amended(self, terms: Terms, fields: dict[str, object]) -> tuple[Terms, dict[str, str]]:
        """The terms with other values for the fields of a body, and those values."""
        own = {field.name: field for field in TYPES[terms.order_type].fields if field.kind in AMENDABLE}
        known = {name: field for name, field in own.items() if name in terms.details}
        refuse_unknown(fields, [*known, MIN_AMOUNT_OUT])
        if not fields:
            raise ClientError(Fault.NOTHING_TO_CHANGE, f"give at least one of {', '.join([*known, MIN_AMOUNT_OUT])}")
        changed = {
            name: parse_field(field, fields[name], self._clock.now()) for name, field in known.items() if name in fields
        }
        least = terms.min_amount_out
        if MIN_AMOUNT_OUT in fields:
            amount = {"amount": terms.amount} if terms.amount else {}
            least = client_bound(fields | amount, MIN_AMOUNT_OUT, "amount", Fault.INVALID_MIN_AMOUNT_OUT)
        amended = msgspec.structs.replace(terms, details=terms.details | changed, min_amount_out=least)
        return amended, changed | ({MIN_AMOUNT_OUT: str(least)} if MIN_AMOUNT_OUT in fields else {})


def unknown(order_id: UUID | str) -> NotFound:
    """What a client is told of an id that no order has."""
    return NotFound(Fault.UNKNOWN_ORDER, f"no order has the id {order_id}")


def _seq(if_match: str | None) -> int:
    found = _ETAG.fullmatch(if_match or "")
    if found is None:
        raise Conflict(Fault.IF_MATCH_REQUIRED, "If-Match must be the seq of the order's last event, as GET shows it")
    return int(found["seq"])
