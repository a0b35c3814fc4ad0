"""Containers of the pool market without an engine around them: they route and trade on the shipped sandbox."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
from psycopg.types.json import set_json_loads

from chalicelib.domain.clock import Clock, SystemClock, SystemEntropy
from chalicelib.domain.order import Terms
from chalicelib.domain.quote import Route
from chalicelib.domain.token import Token, find
from chalicelib.routing.paths import Planner
from chalicelib.routing.router import Router
from chalicelib.store.database import Database, connect
from chalicelib.store.ledger import Ledger
from chalicelib.store.pools import Pools
from chalicelib.venues.base import Answer, Attempt, Transaction
from chalicelib.venues.pools.chain import PaperChain
from chalicelib.venues.pools.directory import SANDBOX, DirectoryPools
from chalicelib.venues.pools.programs import PROGRAMS
from chalicelib.venues.pools.shelf import Shelf
from chalicelib.venues.pools.time import OpenTime
from chalicelib.venues.pools.venue import PoolVenue
from tests.replay import LEDGER, POOLS, Entry, Kept, disagreements


def token(symbol: str) -> Token:
    found = find(symbol)
    assert found
    return found


SOL, USDC, BONK = token("SOL"), token("USDC"), token("BONK")


class Container:
    """A container's part of the pool market, on a connection of its own."""

    def __init__(self, url: str, directory: Path = SANDBOX, clock: Clock | None = None) -> None:
        self.database = Database(url, SystemClock(), connect, pooler=False, name="order-engine work")
        self.store = Pools(self.database)
        self.ledger = Ledger(self.database)
        self.shelf = Shelf(self.store, {program.venue: program.read for program in PROGRAMS})
        self.source = DirectoryPools(directory, self.store)
        self.chain = PaperChain(
            fills=self.store,
            pools=self.shelf,
            ledger=self.ledger,
            entropy=SystemEntropy(),
            time_scale=0,
            time=OpenTime(clock or SystemClock()).now,
        )
        venues = [PoolVenue(program.venue, self.shelf, self.source.fresh) for program in PROGRAMS]
        self.router = Router(venues, self.chain.clock, Planner(middles=(SOL.key, USDC.key)), [SOL, USDC])

    async def route(self, terms: Terms) -> Route:
        return await self.router.route(Attempt(uuid4(), 1, terms))

    async def prepared(self, terms: Terms, route: Route | None = None) -> Transaction:
        return self.chain.prepare(Attempt(uuid4(), 1, terms), route or await self.route(terms))

    async def send(self, *transactions: Transaction, valid: float = 15) -> list[Answer]:
        """Send at once, and what the chain then says."""
        until = datetime.now(UTC) + timedelta(seconds=valid)
        await asyncio.gather(*(self.chain.send(each, until) for each in transactions))
        return [await self.chain.ask(each.tx_id) for each in transactions]

    async def trade(self, terms: Terms) -> Answer:
        [answer] = await self.send(await self.prepared(terms))
        return answer


def sell(sold: Token, bought: Token, amount: int, slippage: str = "0.9", **more: int) -> Terms:
    """Terms in base units, which by default bear any price."""
    return Terms(sold, bought, amount, Decimal(slippage), **more)


def over(route: Route, *pools: str) -> Route:
    """The route over these of its pools alone."""
    return msgspec.structs.replace(route, legs=tuple(leg for leg in route.legs if leg.pool in pools))


class Books:
    """What the database holds of pools and their trades."""

    def __init__(self, url: str) -> None:
        self._url = url

    def sql(self, statement: str, *params: Any) -> list[Any]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            set_json_loads(msgspec.json.decode, connection)
            cursor = connection.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

    def versions(self) -> dict[str, int]:
        return dict(self.sql("SELECT address, version FROM pools"))

    def ledger(self) -> list[Entry]:
        """The rows in the order of their ids."""
        return [Entry(*row) for row in self.sql(LEDGER)]

    def outcomes(self) -> list[str]:
        return sorted(entry.outcome for entry in self.ledger())

    def check(self) -> int:
        """Compare ledger and pools with a replay of every trade; returns how many there were."""
        ledger = self.ledger()
        assert list(disagreements([Kept(*row) for row in self.sql(POOLS)], ledger)) == []
        return sum(len(entry.trades) for entry in ledger)
