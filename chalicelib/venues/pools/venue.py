"""A venue of the pool market: a directory's pools of one program."""

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from chalicelib.domain.errors import EngineError, MarketUnavailable, QuoteUnavailable, Unavailable
from chalicelib.venues.base import Attempt
from chalicelib.venues.pools.shelf import Shelved


class Pools(Protocol):
    """Where pools are found."""

    async def between(self, mints: Collection[str]) -> list[Shelved]:
        """The pools that trade some of these mints for each other, as they are now."""
        ...


class PoolVenue:
    """A program's pools. `fresh` sees to it that a directory's are stored, and tells the addresses of all of them."""

    def __init__(self, name: str, pools: Pools, fresh: Callable[[Collection[str]], Awaitable[Collection[str]]]) -> None:
        self.name = name
        self._pools = pools
        self._fresh = fresh

    async def pools(self, attempt: Attempt, mints: Collection[str]) -> list[Shelved]:
        """Its pools that trade some of these tokens for each other, as they are now.

        Raises Unavailable where the database cannot be reached, PoolsUnreadable, and QuoteUnavailable.
        """
        try:
            own = await self._fresh(mints)
            found = await self._pools.between(mints)
        except (Unavailable, MarketUnavailable):
            raise
        except EngineError as error:
            raise QuoteUnavailable(f"{self.name}: {error}") from error
        # Others are stored too: of another directory, or of the chain.
        return [pool for pool in found if pool.venue == self.name and pool.address in own and not pool.stored.live]
