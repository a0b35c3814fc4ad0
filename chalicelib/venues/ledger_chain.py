"""What the simulated chain and the paper one have in common: their transactions are rows of one ledger."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from chalicelib.store.ledger import LedgerEntry
from chalicelib.venues.base import Answer, Outcome

LANDING_SECONDS = (2.0, 3.0)
VALID_MS = 15_000
# What the ledger says of a transaction that its sender gave up before it was tried.
UNTRIED = "untried"


class Entries(Protocol):
    """Where a chain looks its transactions up."""

    async def look(self, tx_id: str) -> LedgerEntry | None:
        """What is known of a transaction."""
        ...

    async def tombstone(self, tx_id: str, order_id: UUID, valid_until: datetime) -> None:
        """Decide that a transaction past its validity never lands, unless it is there."""
        ...


async def ask(ledger: Entries, tx_id: str) -> Answer:
    """What became of a transaction."""
    entry = await ledger.look(tx_id)
    if entry is None:
        return Answer(outcome=Outcome.UNKNOWN)
    if entry.wait > 0:
        return Answer(outcome=Outcome.UNKNOWN, ask_again=entry.wait)
    untried = entry.outcome == UNTRIED
    return Answer(
        outcome=Outcome.DEAD if untried else Outcome(entry.outcome),
        venue=entry.venue or "",
        amount_in=entry.amount_in or 0,
        amount_out=entry.amount_out or 0,
        reason=entry.reason or ("it could not be tried" if untried else ""),
        untried=untried,
    )


async def decide(ledger: Entries, tx_id: str, order_id: UUID, valid_until: datetime) -> Answer:
    """The same for one past its validity that the chain has not seen: from now on it can't land any more."""
    await ledger.tombstone(tx_id, order_id, valid_until)
    # The unique key may have decided for the transaction, so what holds is read in a statement of its own.
    return await ask(ledger, tx_id)
