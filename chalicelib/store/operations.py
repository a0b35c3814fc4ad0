"""What an operator reads and does: orders that need somebody, all about one order, resuming and repeating."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from chalicelib.domain.lifecycle import Status
from chalicelib.domain.order import Terms
from chalicelib.store.database import Database
from chalicelib.store.orders import FIRST_META, RESEND_SECONDS
from chalicelib.store.statements import load

_SQL = load("operations")
# Of the sockets that lack frames, so many are described; the others are counted.
MOST_SOCKETS = 10


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row, each field named as its column. Another release may have written what this one cannot read."""

    id: UUID
    payload: msgspec.Raw
    status: str
    created_at: datetime
    last_update: datetime
    attempts: int
    failure_reason: str | None
    tx_hash: str | None
    account: str
    type: str
    outcome: str | None
    claim_token: int
    crashes: int
    last_seq: int
    lease_until: datetime | None
    open_tx: str | None
    next_try_at: datetime | None
    enqueued_at: datetime
    parked_at: datetime | None
    repeat_of: UUID | None
    expires_at: datetime | None
    watch_rising: bool | None
    watch_price: Decimal | None

    def terms(self) -> Terms | None:
        """What is to be swapped; None where that cannot be read."""
        return Terms.read(self.payload)

    def readable(self) -> bool:
        """Whether workers of this release can go on with it."""
        return self.terms() is not None and self.status in set(Status)


class LoggedEvent(msgspec.Struct, frozen=True):
    """A line of an order's log."""

    seq: int
    status: str
    meta: msgspec.Raw
    ts: datetime


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """An order that needs somebody, as a list shows it at `now`."""

    now: datetime
    row: OrderRow
    repeated_as: UUID | None
    # Until when the transaction of a parked order could land.
    valid_until: datetime | None


class WriteAhead(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction of an order, as it was stored before it was sent; no outcome while it is unresolved."""

    tx_id: str
    attempt: int
    venue: str
    written_at: datetime
    valid_until: datetime
    outcome: str | None


class LaggingSocket(msgspec.Struct, frozen=True, kw_only=True):
    """A socket that lacks events after `last_seq`."""

    connection_id: str
    last_seq: int
    lease_until: datetime | None
    open: bool
    not_before: datetime | None
    push_failures: int


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """All that the database knows of one order at one moment, `now`."""

    now: datetime
    row: OrderRow
    # When the sweep takes the order's message for lost.
    resend_at: datetime
    # The order that was placed anew for this one.
    repeated_as: UUID | None
    events: tuple[LoggedEvent, ...]
    submissions: tuple[WriteAhead, ...]
    # Sockets that follow the order, and how many of them lack events; some of the latter.
    followers: int
    lagging: int
    sockets: tuple[LaggingSocket, ...]


class Operations:
    """The operator's statements, through one connection. All of them may run twice."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def parked(self, limit: int) -> list[Listed]:
        """The parked orders that were placed first, oldest first."""
        return await self._listed("parked", limit)

    async def failed(self, limit: int) -> list[Listed]:
        """The failed orders that were placed last, newest first."""
        return await self._listed("failed", limit)

    async def case(self, order_id: UUID) -> Case | None:
        """All about one order."""
        params = {"id": order_id, "gap": RESEND_SECONDS, "most": MOST_SOCKETS}
        rows = await self._database.insist(_SQL["case"], params)
        return msgspec.json.decode(rows[0][0], type=Case) if rows else None

    async def resume(self, order_id: UUID) -> bool:
        """A parked order is parked no more; False where it was not, or somebody is asking for it at this moment."""
        return bool(await self._database.insist(_SQL["resume"], {"id": order_id}))

    async def sent(self, order_ids: Collection[UUID]) -> None:
        """The queue took the messages of resumed orders: the sweep need not send them."""
        await self._database.insist(_SQL["sent"], {"ids": list(order_ids)})

    async def repeat(self, repeat_of: UUID, order_id: UUID, ts: datetime) -> None:
        """Place a failed order anew under an id, unless it has been."""
        params: dict[str, Any] = {"id": order_id, "repeat_of": repeat_of, "meta": FIRST_META, "ts": ts}
        await self._database.insist(_SQL["repeat"], params)

    async def _listed(self, statement: str, limit: int) -> list[Listed]:
        rows = await self._database.insist(_SQL[statement], {"limit": limit})
        return [msgspec.json.decode(row[0], type=Listed) for row in rows]
