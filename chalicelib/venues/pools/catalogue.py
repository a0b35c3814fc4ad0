"""What the pool market trades: the tokens of the file, and those of its source's pools."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from chalicelib.domain.clock import Clock
from chalicelib.domain.pool import StoredPool
from chalicelib.domain.token import KNOWN, Registry, Token, is_mint

# A token of a new pool is known this long after it at the latest, and nobody's guesses make the database busier.
REFRESH_SECONDS = 10.0


class Listing(Protocol):
    """Where pools are kept."""

    async def mints(self, own: Collection[str] | None) -> Sequence[tuple[str, int]]:
        """All that a directory's pools at these addresses trade, or with None the chain's: (mint, decimals)."""
        ...

    async def page(self, own: Collection[str] | None, after: str, limit: int) -> Sequence[StoredPool]:
        """The same pools in the order of their addresses, from behind one on."""
        ...


class Mints(Protocol):
    """Where mints are looked up that no pool trades yet."""

    async def decimals(self, wanted: Collection[str]) -> Mapping[str, int]:
        """Those of the mints among these addresses. Raises Unavailable."""
        ...


class PoolCatalogue:
    """The market's tokens and pools: those of its source, whatever else is stored.

    `fresh` sees to it that the pools between some mints are stored, and tells the addresses of all that are a
    directory's; None for those of the chain. It raises PoolsUnreadable for a directory that has none. Without `mints`
    there are no other tokens than those of pools.
    """

    def __init__(
        self,
        store: Listing,
        fresh: Callable[[Collection[str]], Awaitable[Collection[str] | None]],
        clock: Clock,
        mints: Mints | None = None,
    ) -> None:
        self.tokens = Registry()
        self._store = store
        self._fresh = fresh
        self._clock = clock
        self._mints = mints
        self._read_at: float | None = None
        self._reading = asyncio.Lock()

    async def refreshed(self, wanted: Collection[str] = ()) -> Registry:
        """The tokens of the file, then those that only pools name, by their mints, then wanted ones of the chain.

        The last are nobody else's business. Raises Unavailable, and PoolsUnreadable.
        """
        async with self._reading:
            now = self._clock.monotonic()
            if self._read_at is None or now - self._read_at >= REFRESH_SECONDS:
                listed = {token.mint for token in KNOWN}
                traded = await self._store.mints(await self._fresh(()))
                self.tokens = Registry(
                    [*KNOWN, *(Token(mint, decimals, mint) for mint, decimals in traded if mint not in listed)]
                )
                self._read_at = now
        unknown = [mint for mint in wanted if is_mint(mint) and not self.tokens.find(mint)]
        if self._mints is None or not unknown:
            return self.tokens
        found = await self._mints.decimals(unknown)
        return Registry([*self.tokens.tokens, *(Token(mint, decimals, mint) for mint, decimals in found.items())])

    async def pools(self, after: str, limit: int) -> Sequence[StoredPool]:
        """Pools in the order of their addresses, from behind one on, without their states.

        Raises Unavailable, and PoolsUnreadable.
        """
        return await self._store.page(await self._fresh(()), after, limit)
