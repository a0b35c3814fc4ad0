"""What the engine needs of a market: venues that quote, and a chain that transactions are sent to."""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec

from chalicelib.domain.order import Terms
from chalicelib.domain.pool import StoredPool
from chalicelib.domain.quote import Route
from chalicelib.domain.token import Registry
from chalicelib.solana.clock import Clock
from chalicelib.venues.pool import Quoting


class Attempt(msgspec.Struct, frozen=True):
    """One attempt at an order: what is quoted, and the key of every draw made for it."""

    order_id: UUID
    # Counts from 1.
    number: int
    terms: Terms
    # What an earlier attempt's first quote set: the least output, or with a wanted output the most input.
    bound: int | None = None


class Transaction(msgspec.Struct, frozen=True):
    """A transaction made for a route and not sent yet. Its id is decided here and never changes."""

    tx_id: str
    attempt: Attempt
    route: Route
    # For how long after its write-ahead it may land.
    valid_ms: int
    # The seconds after which it should have landed.
    lands_after: float


class Outcome(StrEnum):
    """What the chain says of a transaction."""

    SUCCEEDED = "succeeded"
    # It landed and moved nothing, for instance because the price had moved too far.
    REVERTED = "reverted"
    # It never landed and never will.
    DEAD = "dead"
    UNKNOWN = "unknown"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the chain knows of one transaction. Amounts in base units, for SUCCEEDED."""

    outcome: Outcome
    venue: str = ""
    amount_in: int = 0
    amount_out: int = 0
    reason: str = ""
    # For DEAD: it could not be tried at all, so for a while it counts as no attempt.
    untried: bool = False
    # For UNKNOWN: the whole seconds until it should land; None where the chain has not seen it.
    ask_again: int | None = None


class Venue(Protocol):
    """A place that has pools."""

    name: str

    async def pools(self, attempt: Attempt, mints: Collection[str]) -> Sequence[Quoting]:
        """Its pools that trade some of these tokens for each other, as they are now. Raises QuoteUnavailable."""
        ...


class Catalogue(Protocol):
    """What a market trades."""

    @property
    def tokens(self) -> Registry:
        """The tokens that are known by now."""
        ...

    async def refreshed(self, wanted: Collection[str] = ()) -> Registry:
        """The same with those that came since, and those of wanted mints that can be found.

        Raises Unavailable, and PoolsUnreadable.
        """
        ...

    async def pools(self, after: str, limit: int) -> Sequence[StoredPool]:
        """Pools in the order of their addresses, from behind one on, without their states.

        Raises Unavailable, and PoolsUnreadable.
        """
        ...


class Chain(Protocol):
    """Where transactions land. Sending one id twice is harmless."""

    def clock(self) -> Clock:
        """The chain's time, on which what pools pay depends."""
        ...

    def prepare(self, attempt: Attempt, route: Route) -> Transaction:
        """Make the transaction of a route."""
        ...

    async def send(self, transaction: Transaction, valid_until: datetime) -> None:
        """Send it; returns at once."""
        ...

    async def ask(self, tx_id: str) -> Answer:
        """What became of it."""
        ...

    async def decide(self, tx_id: str, order_id: UUID, valid_until: datetime) -> Answer:
        """The same for one past `valid_until` that the chain has not seen: from now on it can't land any more."""
        ...
