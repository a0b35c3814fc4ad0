"""The chain's own time."""

from typing import Self

import msgspec

from chalicelib.solana import address
from chalicelib.solana.account import Account

_BYTES = 40


class Clock(msgspec.Struct, frozen=True):
    """The Clock sysvar, as far as pools look at it. `timestamp` is in Unix seconds."""

    slot: int
    epoch: int
    timestamp: int

    @classmethod
    def read(cls, account: Account) -> Self:
        """The clock in the sysvar's account. Raises MalformedAccount."""
        account.require((address.SYSVARS,), _BYTES)
        if account.pubkey != address.CLOCK:
            raise account.malformed(f"it is not {address.CLOCK}")
        # At 8 is when the epoch started, at 24 the epoch that leaders are known for.
        return cls(slot=account.u64(0), epoch=account.u64(16), timestamp=account.i64(32))
