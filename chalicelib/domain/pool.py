"""A pool as it is kept and listed."""

import msgspec


class StoredPool(msgspec.Struct, frozen=True):
    """A pool's state. `version` grows with each fill and with each new set of accounts; `slot` is the accounts'."""

    address: str
    slot: int
    version: int
    # None where nothing has been filled since the accounts were read.
    state: str | None
    venue: str
    mint_0: str
    mint_1: str
    # Whether newer accounts replace these, and the fills with them.
    live: bool
    # Seconds since the accounts were read.
    age: float
