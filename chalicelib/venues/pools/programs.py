"""The programs whose pools the market trades with."""

from collections.abc import Callable, Mapping

import msgspec

from chalicelib.solana.account import Account
from chalicelib.venues.meteora import state as meteora
from chalicelib.venues.pool import Pool
from chalicelib.venues.raydium import state as raydium


class Program(msgspec.Struct, frozen=True):
    """How the pools of a program are found among accounts and read from them."""

    venue: str
    address: str
    # The name of its accounts that are pools.
    kind: str
    # The accounts that a pool is read from, beside its own.
    parts: Callable[[Account], tuple[str, ...]]
    # Raises IncompleteState or MalformedAccount.
    read: Callable[[str, Mapping[str, Account | None]], Pool]
    # How pools are found on the chain: their size in bytes, and where in them the two mints are, and the two vaults,
    # one behind the other.
    size: int
    mints_at: tuple[int, int]
    vaults_at: int


PROGRAMS = (
    Program("Raydium", raydium.PROGRAM, "PoolState", raydium.parts, raydium.read, 637, (168, 200), 72),
    Program("Meteora", meteora.PROGRAM, "LbPair", meteora.parts, meteora.read, 904, (88, 120), 152),
)
