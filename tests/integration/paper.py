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

from chalicelib.domain.clock import SystemClock, SystemEntropy
from chalicelib.domain.order import Terms
from chalicelib.domain.quote import Route
from chalicelib.domain.token import Token, find
from chalicelib.routing.paths import Planner
from chalicelib.routing.router import Router
from chalicelib.solana.clock import Clock as ChainClock
from chalicelib.store.database import Database, connect
from chalicelib.store.ledger import Ledger, Trade
from chalicelib.store.pools import Pools
from chalicelib.venues.base import Answer, Attempt, Transaction
from chalicelib.venues.pool import Pool
from chalicelib.venues.pools.chain import PaperChain
from chalicelib.venues.pools.directory import SANDBOX, DirectoryPools, accounts_in
from chalicelib.venues.pools.programs import PROGRAMS
from chalicelib.venues.pools.shelf import Shelf
from chalicelib.venues.pools.time import OpenTime
from chalicelib.venues.pools.venue import PoolVenue

# The chain's time stands still, so that a replay sees the fees that a fill saw.
NOW = datetime(2026, 1, 1, tzinfo=UTC)


CHAIN_NOW = ChainClock(slot=2**62, epoch=2**62, timestamp=int(NOW.timestamp()))


class StandingClock(SystemClock):
    def now(self) -> datetime:
        return NOW


def token(symbol: str) -> Token:
    found = find(symbol)
    assert found
    return found


SOL, USDC, BONK = token("SOL"), token("USDC"), token("BONK")


class Container:
    """A container's part of the pool market, on a connection of its own."""

    def __init__(self, url: str, directory: Path = SANDBOX) -> None:
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
            time=OpenTime(StandingClock()).now,
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


def shipped() -> dict[str, Pool]:
    """The sandbox's pools as they are shipped."""
    accounts = accounts_in(SANDBOX)
    return {
        account.pubkey: program.read(account.pubkey, accounts)
        for account in accounts.values()
        for program in PROGRAMS
        if account.is_a(program.address, program.kind)
    }


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

    def ledger(self) -> list[Any]:
        """The rows in the order of their ids: tx_id, outcome, amount_in, amount_out, reason, legs."""
        return self.sql(
            "SELECT tx_id, outcome, amount_in, amount_out, reason, legs FROM simulated_swaps ORDER BY tx_id"
        )

    def outcomes(self) -> list[str]:
        return sorted(row[1] for row in self.ledger())

    def trades(self) -> dict[str, list[Trade]]:
        """The legs that landed, by pool and in the order of versions."""
        found: dict[str, list[Trade]] = {}
        for row in self.ledger():
            for leg in msgspec.convert(row[5] or [], list[Trade]):
                found.setdefault(leg.pool, []).append(leg)
        return {pool: sorted(legs, key=lambda leg: leg.version) for pool, legs in found.items()}

    def check(self) -> int:
        """Compare ledger and pools with a replay of every trade; returns how many there were."""
        pools, trades = shipped(), self.trades()
        stored = {row[0]: row[1:] for row in self.sql("SELECT address, version, state::text FROM pools")}
        for address, (version, state) in stored.items():
            pool, legs = pools[address], trades.get(address, [])
            # Each made the next version: none is lost, none was made twice.
            assert [leg.version for leg in legs] == list(range(2, version + 1))
            for leg in legs:
                fill, pool = pool.swap(leg.amount_in, pool.mints[0] == leg.mint_in, CHAIN_NOW)
                assert (fill.amount_in, fill.amount_out) == (leg.amount_in, leg.amount_out)
                assert (fill.fee_in, fill.fee_out) == (leg.fee_in, leg.fee_out)
            assert (state is None) == (not legs)
            if state:
                assert msgspec.json.decode(state) == msgspec.json.decode(pool.state())
                assert pools[address].resumed(state.encode()) == pool
        for _, outcome, amount_in, amount_out, _, legs in self.ledger():
            if outcome == "succeeded":
                last = max(leg["hop"] for leg in legs)
                assert amount_in == sum(leg["amount_in"] for leg in legs if leg["hop"] == 1)
                assert amount_out == sum(leg["amount_out"] for leg in legs if leg["hop"] == last)
            else:
                assert legs is None
        return sum(map(len, trades.values()))
