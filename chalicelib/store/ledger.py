"""The simulated chain's ledger."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from chalicelib.domain.quote import Leg
from chalicelib.store.database import Database
from chalicelib.store.gathering import Gathering
from chalicelib.store.statements import load

_SQL = load("ledger")
_encoder = msgspec.json.Encoder()


class Trade(Leg, frozen=True, kw_only=True):
    """A leg as it executed: in the order of versions, a pool's trades make its state again."""

    # What it took its pool to.
    version: int
    # The chain's time when it executed, on which fees depend.
    slot: int
    epoch: int
    timestamp: int


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction that arrives on the chain and will land `delay` seconds later. Amounts in base units."""

    tx_id: str
    order_id: UUID
    outcome: str
    venue: str
    amount_in: int
    amount_out: int
    reason: str | None
    delay: float
    valid_until: datetime
    # The swaps that it is made of, where they are known.
    legs: tuple[Trade, ...] | None = None


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the ledger; `wait` is the whole seconds until it lands. A tombstone has no amounts."""

    outcome: str
    amount_in: int | None
    amount_out: int | None
    reason: str | None
    venue: str | None
    wait: int


class Ledger:
    """The simulated_swaps table, through one connection. All of its statements may run twice."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._landing = Gathering(self._land)
        self._looking = Gathering(self._look)

    async def land(self, swap: Swap) -> None:
        """Take a transaction in, unless its id is known already or it comes too late."""
        await self._landing.of(swap)

    async def look(self, tx_id: str) -> LedgerEntry | None:
        """What the ledger knows of a transaction."""
        return await self._looking.of(tx_id)

    async def drop(self, tx_id: str, order_id: UUID, valid_until: datetime) -> None:
        """Give a transaction up before it was tried: it never lands."""
        params = {"tx_id": tx_id, "order_id": order_id, "valid_until": valid_until}
        await self._database.insist(_SQL["drop"], params)

    async def tombstone(self, tx_id: str, order_id: UUID, valid_until: datetime) -> None:
        """Leave a tombstone under the id of a transaction past its validity, unless it is there."""
        await self._database.insist(
            _SQL["tombstone"], {"tx_id": tx_id, "order_id": order_id, "valid_until": valid_until}
        )

    async def _land(self, swaps: Sequence[Swap]) -> Sequence[None]:
        await self._database.insist(_SQL["land"], {"swaps": _encoder.encode(swaps).decode()})
        return [None] * len(swaps)

    async def _look(self, tx_ids: Sequence[str]) -> Sequence[LedgerEntry | None]:
        rows = await self._database.insist(_SQL["look"], {"tx_ids": list(tx_ids)})
        found = {tx_id: _entry(row) for tx_id, *row in rows}
        return [found.get(tx_id) for tx_id in tx_ids]


def _entry(row: Sequence[Any]) -> LedgerEntry:
    outcome, amount_in, amount_out, reason, venue, wait = row
    return LedgerEntry(
        outcome=outcome,
        amount_in=None if amount_in is None else int(amount_in),
        amount_out=None if amount_out is None else int(amount_out),
        reason=reason,
        venue=venue,
        wait=wait,
    )
