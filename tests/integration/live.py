"""The pool market on a node's RPC: one or several containers with one database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg

from chalicelib.bootstrap import pool_market
from chalicelib.domain.clock import SystemEntropy
from chalicelib.domain.errors import QuoteUnavailable
from chalicelib.domain.order import Terms
from chalicelib.domain.quote import Route
from chalicelib.domain.token import Token
from chalicelib.routing.router import Router
from chalicelib.settings import Settings
from chalicelib.solana.clock import Clock as ChainClock
from chalicelib.store.database import Database, connect
from chalicelib.venues.base import Attempt
from chalicelib.venues.pool import Quoting
from tests.integration.paper import SOL, USDC

# Of SOL and USDC: two of Raydium, the second the deeper one, and two of Meteora.
RAYDIUM = ("9bZB3NKnN5svBNkEEkYqdVfyLBCuaCFDSTk7NGqpjeAC", "B6ZEcKSibfwWnDaWxxPrKk4np8iSPfNAttowCgsWsezU")
METEORA = ("CBy3Kba657CUQk6nm7S2V7fzSkAKjXXihbpd9D7bZTiq", "9gY5xCqh4stMxxsRSb1nsKBZJ8DCsSEVZTbciuMarpg7")
ALL = {*RAYDIUM, *METEORA}
# So much moves through all of them.
MUCH = 10**12


class HeldClock:
    """Goes on when a test says so."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.passed += seconds


class Container:
    """A container's market."""

    def __init__(self, database_url: str, rpc_url: str, **settings: object) -> None:
        self.clock = HeldClock()
        self._url = database_url
        self._database = Database(database_url, self.clock, connect, pooler=False, name="live pools")
        given = Settings(
            database_url=database_url, solana_rpc_url=rpc_url, market="pools", middle_tokens="SOL", **settings
        )
        self._market = pool_market(given, self._database, clock=self.clock, entropy=SystemEntropy())
        middles = self._market.middles
        self._router = Router(self._market.venues, self._market.chain.clock, self._market.planner, middles)

    async def quote(self, sold: Token = SOL, bought: Token = USDC, amount: int = 10**9) -> Route:
        return await self._router.route(Attempt(UUID(int=1), 1, Terms(sold, bought, amount, Decimal("0.01"))))

    async def found(self, sold: Token, bought: Token, amount: int) -> Route:
        """The same once its pools have been found, however slowly this machine finds them."""
        for _ in range(20):
            with suppress(QuoteUnavailable):
                return await self.quote(sold, bought, amount)
        return await self.quote(sold, bought, amount)

    def chain_time(self) -> ChainClock:
        return self._market.chain.clock()

    async def later(self, seconds: float = 1.5) -> None:
        """Let time pass, for the container and for what is stored."""
        self.clock.passed += seconds
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            await connection.execute("UPDATE pools SET read_at = read_at - %s * interval '1 second'", (seconds,))

    async def ask(self, sold: Token = SOL, bought: Token = USDC, amount: int = 10**9) -> list[Quoting]:
        """The pools that a quote is made of."""
        attempt = Attempt(UUID(int=1), 1, Terms(sold, bought, amount, Decimal("0.01")))
        return [pool for venue in self._market.venues for pool in await venue.pools(attempt, [])]

    async def sweep(self) -> None:
        """Forget pools as the schedule does."""
        assert self._market.expire_pools
        await self._market.expire_pools(100)

    async def stored(self) -> dict[str, tuple[int, bool]]:
        """The slot of each stored pool, and whether it is a live one."""
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            rows = await (await connection.execute("SELECT address, slot, live FROM pools")).fetchall()
        return {address: (slot, live) for address, slot, live in rows}

    async def close(self) -> None:
        for client in (*self._market.clients, self._database):
            await client.close()


@asynccontextmanager
async def container(database_url: str, rpc_url: str, **settings: object) -> AsyncIterator[Container]:
    made = Container(database_url, rpc_url, **settings)
    try:
        yield made
    finally:
        await made.close()


def pools_of(route: Route) -> set[str]:
    return {leg.pool for leg in route.legs}
