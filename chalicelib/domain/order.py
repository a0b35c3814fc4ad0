"""An order as the client placed it, validated and in base units."""

import hashlib
import re
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import msgspec

from chalicelib.domain.errors import Fault
from chalicelib.domain.token import Token

DEFAULT_TYPE = "market"


_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def parse_order_id(text: str) -> UUID | None:
    """The id that `text` is in its usual form; None where it is none."""
    return UUID(text) if _UUID.fullmatch(text) else None


class Terms(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What is to be swapped, on which terms. Stored as the order's payload.

    A new field needs a default, which is left out: the payloads and digests of before stay true.
    """

    token_in: Token
    token_out: Token
    # Base units of token_in to sell; 0 where amount_out says what to buy.
    amount: int
    # 0 <= s < 1; 0.02 = 2 %.
    slippage_tolerance: Decimal
    # Base units of token_out to buy, for as little as possible.
    amount_out: int = 0
    # The client's own bounds in base units, instead of those that the tolerance makes; 0 where it gives none.
    min_amount_out: int = 0
    max_amount_in: int = 0
    # What its type is called, and the type's own fields as text: prices as plain decimals, moments in ISO-8601.
    order_type: str = DEFAULT_TYPE
    details: dict[str, str] = {}

    @property
    def expires_at(self) -> datetime | None:
        """From when on it must not execute."""
        text = self.details.get("expiresAt")
        return datetime.fromisoformat(text) if text else None

    @classmethod
    def read(cls, payload: str | bytes) -> "Terms | None":
        """The terms that were stored; None where another release stored what this one cannot read."""
        try:
            return msgspec.json.decode(payload, type=cls)
        except ValueError:
            return None

    def digest(self, client_order_id: str | None = None) -> bytes:
        """The same for the same terms, and name if any, in whatever spelling they were posted."""
        return hashlib.sha256(msgspec.json.encode(self) + (client_order_id or "").encode()).digest()


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it is posted: whose, its terms, and what else it goes by."""

    account: str
    terms: Terms
    # The client's own name for the order.
    client_order_id: str | None = None
    idempotency_key: str | None = None


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a post."""

    # Of an earlier post where that one holds the key.
    order_id: UUID
    # False where the key stands for another order.
    same_terms: bool = True
    # True where another order goes by the client's name for it: that one's id is here.
    same_name: bool = False
    # Why it was not stored, and after how many whole seconds it may be.
    limit: Fault | None = None
    retry_after: int = 0
    # No worker has ever claimed the order: it may lack its message.
    waiting: bool = True


class Cancelling(StrEnum):
    """What a wish to cancel an order came to."""

    CANCELLED = "cancelled"
    # A transaction is unresolved: unless that succeeds, the order is cancelled.
    REQUESTED = "requested"
    TERMINAL = "terminal"


class Cancelled(msgspec.Struct, frozen=True):
    """The same, the status that the order has now, and whether this wish was the first."""

    outcome: Cancelling
    status: str
    first: bool

    @property
    def told(self) -> str:
        """What its client is told of the order."""
        return "cancel_requested" if self.outcome == Cancelling.REQUESTED else self.status
