"""Pools of the pool market: the accounts they were read from, their state since, and the transactions they fill."""

from collections.abc import Collection, Sequence

import msgspec

from chalicelib.domain.pool import StoredPool
from chalicelib.store.database import Database
from chalicelib.store.gathering import Gathering
from chalicelib.store.ledger import Swap
from chalicelib.store.statements import load

# Live pools are kept for so long after they were read: for much longer than a transaction is valid.
KEEP_SECONDS = 60 * 60
# How long a fill waits for a pool that another session holds.
PATIENCE = "250ms"

_SQL = load("pools")
_encoder = msgspec.json.Encoder()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The accounts of a pool at a slot, as documents of the Solana CLI."""

    address: str
    venue: str
    mint_0: str
    mint_1: str
    decimals_0: int
    decimals_1: int
    live: bool
    slot: int
    accounts: list[msgspec.Raw]
    # The database's time before they were asked for; None where that makes no difference.
    read_at: str | None = None


class Change(msgspec.Struct, frozen=True):
    """What transactions make of a pool that is at `version`: each that trades with it adds one to it."""

    address: str
    version: int
    becomes: int
    # None where they only looked at it.
    state: msgspec.Raw | None


class Filled(msgspec.Struct, frozen=True):
    """What became of transactions. Where they did not land though pools are unchanged, they are known or too late."""

    landed: bool
    unchanged: bool


class Pools:
    """The pools table, through one connection. All of its statements may run twice."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._between = Gathering(self._read_between)

    async def between(self, mints: Collection[str]) -> list[StoredPool]:
        """The pools that trade some of these mints for each other."""
        return await self._between.of(frozenset(mints))

    async def _read_between(self, asked: Sequence[frozenset[str]]) -> list[list[StoredPool]]:
        rows = await self._database.insist(_SQL["between"], {"mints": sorted(frozenset().union(*asked))})
        found = [StoredPool(*row) for row in rows]
        return [[pool for pool in found if {pool.mint_0, pool.mint_1} <= mints] for mints in asked]

    async def named(self, addresses: Collection[str]) -> list[StoredPool]:
        """These pools, those of them that are there."""
        rows = await self._database.insist(_SQL["named"], {"addresses": sorted(addresses)})
        return [StoredPool(*row) for row in rows]

    async def page(self, own: Collection[str] | None, after: str, limit: int) -> list[StoredPool]:
        """Pools in the order of their addresses, from behind one on, without their states.

        Those of a directory at these addresses, or with None those of the chain.
        """
        given = {"own": None if own is None else sorted(own), "after": after, "limit": limit}
        rows = await self._database.insist(_SQL["page"], given)
        return [StoredPool(*row) for row in rows]

    async def mints(self, own: Collection[str] | None) -> list[tuple[str, int]]:
        """All that the same pools trade, in order: (mint, decimals)."""
        rows = await self._database.insist(_SQL["mints"], {"own": None if own is None else sorted(own)})
        return [(mint, decimals) for mint, decimals in rows]

    async def accounts(self, addresses: Collection[str]) -> list[tuple[StoredPool, str]]:
        """The same with the accounts that a pool's state belongs to, a JSON list of documents of the Solana CLI."""
        rows = await self._database.insist(_SQL["accounts"], {"addresses": sorted(addresses)})
        return [(StoredPool(*row), accounts) for *row, accounts in rows]

    async def now(self) -> str:
        """The database's time, for what is read from now on: however late that is stored, it does not seem younger."""
        return str((await self._database.insist(_SQL["now"]))[0][0])

    async def keep(self, snapshots: Sequence[Snapshot]) -> None:
        """Store pools that are new, newer accounts of live ones, and those that have become live or ceased to be."""
        await self._database.insist(_SQL["keep"], {"pools": _encoder.encode(snapshots).decode()})

    async def expire(self, most: int) -> None:
        """Forget live pools that nobody has read for long."""
        await self._database.insist(_SQL["expire"], {"keep": KEEP_SECONDS, "most": most})

    async def unlocked(self, addresses: Collection[str]) -> set[str]:
        """Those of these pools that no session holds at this moment."""
        rows = await self._database.insist(_SQL["unlocked"], {"addresses": sorted(addresses)})
        return {address for (address,) in rows}

    async def fill(self, swaps: Sequence[Swap], changes: Sequence[Change]) -> Filled:
        """Land transactions, all or none, if the pools that they looked at are as they were computed from.

        Raises Contended where a pool is held for long, and StatementRefused where only some of them could land.
        """
        rows = await self._database.insist(
            _SQL["fill"],
            {
                "swaps": _encoder.encode(swaps).decode(),
                "pools": _encoder.encode(changes).decode(),
                "wanted": len(swaps),
                "patience": PATIENCE,
            },
        )
        return Filled(*rows[0])
