"""An order as the client placed it, validated and in base units."""

from decimal import Decimal
from uuid import UUID

import msgspec

from chalicelib.domain.lifecycle import Status
from chalicelib.domain.token import Token

ACCOUNT = "default"
TYPE = "market"


class Terms(msgspec.Struct, frozen=True, rename="camel"):
    """What is to be swapped, on which terms. Stored as the order's payload."""

    token_in: Token
    token_out: Token
    # Base units of token_in.
    amount: int
    # 0 <= s < 1; 0.02 = 2 %.
    slippage_tolerance: Decimal


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A holder's hold on one order: the order as it was when claimed, and the token that fences every write."""

    order_id: UUID
    claim_token: int
    terms: Terms
    status: Status
    attempts: int
    crashes: int
    last_seq: int
    # The last event's time; the next event's is never before it.
    last_update_ms: int
    # The unresolved transaction, if there is one.
    open_tx: str | None = None
    # (status, milliseconds since the epoch) of each event so far, only where open_tx is set.
    timeline: tuple[tuple[Status, int], ...] = ()
