"""What the pool market knows of tokens, and how often it looks for more."""

import asyncio
from collections.abc import Collection

import pytest

from chalicelib.domain.clock import SystemClock
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.pool import StoredPool
from chalicelib.domain.token import KNOWN, Token
from chalicelib.venues.pools.catalogue import REFRESH_SECONDS, PoolCatalogue

MINT, OTHER = "2" * 44, "3" * 44


class Market(SystemClock):
    """A clock that is moved by hand, pools that are there once somebody saw to it, and their tokens."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.traded = [(MINT, 3), (KNOWN[0].mint, 9)]
        self.reads = 0
        self.stored = self.down = False
        self.catalogue = PoolCatalogue(self, self.fresh, self, self)

    def monotonic(self) -> float:
        return self.seconds

    async def fresh(self, mints: Collection[str]) -> None:
        self.stored = True

    async def decimals(self, wanted: Collection[str]) -> dict[str, int]:
        self.wanted = list(wanted)
        return {OTHER: 5} if OTHER in wanted else {}

    async def mints(self, own: Collection[str] | None) -> list[tuple[str, int]]:
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("no database")
        self.reads += 1
        return self.traded if self.stored else []

    async def page(self, own: Collection[str] | None, after: str, limit: int) -> list[StoredPool]:
        return [StoredPool(after or "1", limit, 1, None, "Raydium", MINT, OTHER, True, 0.0)] if self.stored else []


async def test_tokens_of_pools_follow_those_of_the_file() -> None:
    market = Market()
    assert market.catalogue.tokens.tokens == KNOWN
    assert (await market.catalogue.refreshed()).tokens == (*KNOWN, Token(MINT, 3, MINT))
    assert market.catalogue.tokens.find(MINT) == [Token(MINT, 3, MINT)]


async def test_new_tokens_are_looked_for_once_in_a_while() -> None:
    market = Market()
    await asyncio.gather(*(market.catalogue.refreshed() for _ in range(5)))
    market.traded.append((OTHER, 0))
    market.seconds = REFRESH_SECONDS - 0.001
    assert (await market.catalogue.refreshed()).find(OTHER) == []
    assert market.reads == 1
    market.seconds = REFRESH_SECONDS
    assert (await market.catalogue.refreshed()).find(OTHER) == [Token(OTHER, 0, OTHER)]
    assert market.reads == 2


async def test_wanted_mints_that_no_pool_trades_are_looked_up_and_not_listed() -> None:
    market = Market()
    third = "4" * 44
    found = await market.catalogue.refreshed([MINT, OTHER, third, "FOO", KNOWN[0].name])
    assert market.wanted == [OTHER, third]
    assert (found.find(OTHER), found.find(third), found.find(MINT)) == (
        [Token(OTHER, 5, OTHER)],
        [],
        [Token(MINT, 3, MINT)],
    )
    assert (await market.catalogue.refreshed()).find(OTHER) == []
    # Without a node there is nobody to ask.
    alone = PoolCatalogue(market, market.fresh, market)
    assert (await alone.refreshed([OTHER])).find(OTHER) == []


async def test_a_look_that_failed_is_no_look() -> None:
    market = Market()
    market.down = True
    with pytest.raises(Unavailable):
        await market.catalogue.refreshed()
    market.down = False
    assert (await market.catalogue.refreshed()).find(MINT)


async def test_pools_are_there_before_anybody_asked_for_a_quote() -> None:
    found = await Market().catalogue.pools("", 5)
    assert [(pool.address, pool.slot) for pool in found] == [("1", 5)]
