"""Pools as the database keeps them, decoded: what a container decoded once it keeps while it is good."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Protocol

from chalicelib.domain.pool import StoredPool
from chalicelib.solana.account import Account
from chalicelib.solana.clock import Clock
from chalicelib.venues.pool import Curve, Fill, Pool
from chalicelib.venues.pools.recent import Recent
from chalicelib.venues.pools.snapshots import accounts_of

# So many pools are kept decoded. A table of bins and its pool take about 100 KB.
MOST = 200

# Reads the pool at an address from accounts by their address.
Reader = Callable[[str, Mapping[str, Account | None]], Pool]


class PoolStore(Protocol):
    """Where pools are kept."""

    async def between(self, mints: Collection[str]) -> Sequence[StoredPool]:
        """The pools that trade some of these mints for each other."""
        ...

    async def named(self, addresses: Collection[str]) -> Sequence[StoredPool]:
        """These pools, those of them that are there."""
        ...

    async def accounts(self, addresses: Collection[str]) -> Sequence[tuple[StoredPool, str]]:
        """The same with the accounts that a pool's state belongs to, as a JSON list of documents."""
        ...


class Shelved:
    """A stored pool, decoded, with its curves."""

    def __init__(self, stored: StoredPool, pool: Pool) -> None:
        self.stored = stored
        self.pool = pool
        self._curves: dict[bool, tuple[Hashable, Curve]] = {}

    @property
    def address(self) -> str:
        """Its own."""
        return self.pool.address

    @property
    def venue(self) -> str:
        """The name of its venue."""
        return self.pool.venue

    @property
    def mints(self) -> tuple[str, str]:
        """Token 0 and token 1."""
        return self.pool.mints

    def curve(self, zero_for_one: bool, clock: Clock) -> Curve:
        """What it pays: the curve of before while that is good. Raises PoolRefused."""
        regime = self.pool.regime(clock)
        kept = self._curves.get(zero_for_one)
        if kept is None or kept[0] != regime:
            kept = self._curves[zero_for_one] = regime, self.pool.curve(zero_for_one, clock)
        return kept[1]

    def fill(self, amount_in: int, zero_for_one: bool, clock: Clock) -> Fill:
        """What selling exactly so much comes to. Raises PoolRefused."""
        return self.pool.swap(amount_in, zero_for_one, clock)[0]


class Shelf:
    """The pools of a container."""

    def __init__(self, store: PoolStore, readers: Mapping[str, Reader]) -> None:
        self._store = store
        # By the name of the venue.
        self._readers = readers
        # By address: the pool as its accounts have it, with their slot; and as it is.
        self._read: Recent[str, tuple[int, Pool]] = Recent(MOST)
        self._current: Recent[str, Shelved] = Recent(MOST)

    async def between(self, mints: Collection[str]) -> list[Shelved]:
        """The pools that trade some of these mints for each other, as they are now."""
        return await self._decoded(await self._store.between(mints))

    async def named(self, addresses: Collection[str]) -> dict[str, Shelved]:
        """These pools as they are now, those that are still there, by address."""
        return {pool.address: pool for pool in await self._decoded(await self._store.named(addresses))}

    async def _decoded(self, stored: Sequence[StoredPool]) -> list[Shelved]:
        """Stored pools, decoded."""
        # Held here: the shelf may drop any of them while others are read.
        known = {pool.address: self._read.get(pool.address) for pool in stored}
        bases = {pool.address: kept[1] for pool in stored if (kept := known[pool.address]) and kept[0] == pool.slot}
        current = {pool.address: pool for pool in stored}
        missing = [address for address in current if address not in bases]
        for pool, documents in await self._store.accounts(missing) if missing else ():
            # Its accounts may have been replaced since, and the state with them.
            current[pool.address] = pool
            bases[pool.address] = self._readers[pool.venue](pool.address, accounts_of(documents))
        return [self._shelved(pool, bases[address]) for address, pool in current.items() if address in bases]

    def _shelved(self, stored: StoredPool, base: Pool) -> Shelved:
        """A pool in its state, from the accounts that the state belongs to."""
        self._read.put(stored.address, (stored.slot, base))
        kept = self._current.get(stored.address)
        # A pool that was forgotten and found again counts its versions anew.
        if kept is None or (kept.stored.slot, kept.stored.version) != (stored.slot, stored.version):
            kept = Shelved(stored, base.resumed(stored.state.encode()) if stored.state else base)
        else:
            kept.stored = stored
        return self._current.put(stored.address, kept)
