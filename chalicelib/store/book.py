"""The book: orders at rest. What fires, expires, cancels or amends them is decided on their rows alone."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from chalicelib.domain.errors import OutcomeUnknown
from chalicelib.domain.lifecycle import REASONS, Status
from chalicelib.domain.order import Cancelled, Cancelling, Terms
from chalicelib.domain.runs import Due, Run
from chalicelib.domain.transition import Rest
from chalicelib.store.database import Database
from chalicelib.store.orders import FIRST_META
from chalicelib.store.statements import load

_SQL = load("orders") | load("book")


class Book:
    """Orders at rest, through one connection. A statement whose reply was lost may run twice, but for `amend`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pairs(self) -> list[Terms]:
        """The terms of one order of each pair that resting orders watch; none of another release's."""
        rows = await self._database.insist(_SQL["pairs"])
        return [terms for row in rows if (terms := Terms.read(row[0]))]

    async def trigger(self, terms: Terms, reference: Decimal, most: int) -> list[UUID]:
        """Send orders of a pair that its reference price fires to work; returns them, twice that at most."""
        params = {
            "mint_in": terms.token_in.key,
            "mint_out": terms.token_out.key,
            "reference": reference,
            "most": most,
        }
        return [row[0] for row in await self._database.fetch(_SQL["trigger"], params)]

    async def expire(self, most: int) -> list[UUID]:
        """End orders whose time is over and that no transaction can fill any more; returns them."""
        rows = await self._database.fetch(_SQL["expire"], self._ending(Status.EXPIRED) | {"most": most})
        return [row[0] for row in rows]

    async def due_runs(self, most: int) -> list[Due]:
        """Orders that recur and whose next run has come up; none of another release's."""
        rows = await self._database.insist(_SQL["due_runs"], {"most": most})
        return [
            Due(order_id=order_id, seq=seq, terms=terms, runs=runs, late=late, busy=busy)
            for order_id, seq, payload, runs, late, busy in rows
            if (terms := Terms.read(payload))
        ]

    async def run(self, run: Run) -> bool:
        """Place or skip runs; False where somebody else has, or the order was amended."""
        params = {
            "id": run.order_id,
            "seq": run.seq,
            "through": run.through,
            "skipped": run.skipped,
            "every": run.every,
            "last": run.last,
            "child": run.child,
            "payload": msgspec.json.encode(run.terms).decode(),
            "meta": msgspec.json.encode(run.meta).decode(),
            "first": FIRST_META,
        }
        return bool(await self._database.fetch(_SQL["run"], params))

    async def finish_runs(self, order_id: UUID, runs: int) -> bool:
        """End an order that recurs, all of whose runs have ended; False where it has not come so far."""
        return bool(await self._database.fetch(_SQL["finish_runs"], {"id": order_id, "runs": runs}))

    async def cancel(self, order_id: UUID, account: str) -> Cancelled | None:
        """Cancel an order, or note the wish; None where the account has no such order."""
        params = self._ending(Status.CANCELLED) | {"id": order_id, "account": account}
        try:
            rows = await self._database.fetch(_SQL["cancel"], params)
        except OutcomeUnknown:
            rows = await self._database.insist(_SQL["cancel"], params)
            # What the lost statement did stands there as if another had done it.
            rows = [
                (Cancelling.CANCELLED, status, first) if status == Status.CANCELLED else (outcome, status, True)
                for outcome, status, first in rows
            ]
        return Cancelled(Cancelling(rows[0][0]), rows[0][1], rows[0][2]) if rows else None

    async def amend(self, order_id: UUID, terms: Terms, watch: Rest | None, seq: int, meta: msgspec.Raw) -> int | None:
        """Give an open order other terms; returns its event's seq, None where it is not open at `seq` any more."""
        params: dict[str, Any] = {
            "id": order_id,
            "payload": msgspec.json.encode(terms).decode(),
            "expires_at": terms.expires_at,
            "rising": watch and watch.rising,
            "price": watch and watch.price,
            "seq": seq,
            "meta": bytes(meta).decode(),
        }
        rows = await self._database.fetch(_SQL["amend"], params)
        return rows[0][0] if rows else None

    def _ending(self, status: Status) -> dict[str, Any]:
        return {"status": status, "reason": REASONS[status]}
