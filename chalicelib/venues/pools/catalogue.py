"""What the pool market trades: the tokens of the file, and those of the pools that are stored."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from chalicelib.domain.clock import Clock
from chalicelib.domain.errors import ConfigurationError, Unavailable
from chalicelib.domain.pool import StoredPool
from chalicelib.domain.token import KNOWN, Registry, Token, is_mint

# A token of a new pool is known this long after it at the latest, and nobody's guesses make the database busier.
REFRESH_SECONDS = 10.0


class Listing(Protocol):
    """Where pools are kept."""

    async def mints(self) -> Sequence[tuple[str, int]]:
        """All that pools trade: (mint, decimals)."""
        ...

    async def page(self, after: str, limit: int) -> Sequence[StoredPool]:
        """Pools in the order of their addresses, from behind one on."""
        ...


class Mints(Protocol):
    """Where mints are looked up that no pool trades yet."""

    async def decimals(self, wanted: Collection[str]) -> Mapping[str, int]:
        """Those of the mints among these addresses. Raises Unavailable."""
        ...


class PoolCatalogue:
    """The market's tokens and pools. `fresh` sees to it that the pools between some mints are stored.

    Without `mints` there are no others than those of pools.
    """

    def __init__(
        self,
        store: Listing,
        fresh: Callable[[Collection[str]], Awaitable[None]],
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

        The last are nobody else's business. Raises Unavailable.
        """
        async with self._reading:
            now = self._clock.monotonic()
            if self._read_at is None or now - self._read_at >= REFRESH_SECONDS:
                await self._stored()
                listed = {token.mint for token in KNOWN}
                traded = await self._store.mints()
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
        """Pools in the order of their addresses, from behind one on, without their states. Raises Unavailable."""
        await self._stored()
        return await self._store.page(after, limit)

    async def _stored(self) -> None:
        """All that can be stored now is stored."""
        try:
            await self._fresh(())
        except ConfigurationError as error:
            # Nothing that a client asks for is wrong, and an operator may mend it.
            raise Unavailable(str(error)) from error
