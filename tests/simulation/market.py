"""The simulated market of the product, with what can go wrong between the engine and a market."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from chalicelib.domain.errors import OutcomeUnknown, QuoteUnavailable, Unavailable
from chalicelib.domain.quote import Route
from chalicelib.solana.clock import Clock
from chalicelib.venues.base import Answer, Attempt, Chain, Outcome, Transaction, Venue
from chalicelib.venues.pool import Quoting
from tests.simulation.clockwork import EPOCH, HOST, never
from tests.simulation.faults import Kind
from tests.simulation.sim import Sim

# Of a transaction that is valid for 15 seconds; and of those that are late, so many arrive just before that.
LATEST_ARRIVAL_SECONDS = 25.0
AT_THE_LAST_MOMENT = 0.5
FORGOTTEN = 0.02
POISON_TIMES = (1, 2, 3, 5, 8, 1000)


class Moods:
    """What is wrong with single orders: poison for whoever works on them, or forgotten by the chain for ever."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self.forgotten: set[UUID] = set()
        # The order of each transaction.
        self.orders: dict[str, UUID] = {}
        self._seen: set[UUID] = set()
        self._poison: dict[tuple[UUID, str], int] = {}
        self._blind_until: dict[str, float] = {}

    async def work_on(self, order_id: UUID, stage: str) -> None:
        """A container works on an order; a poisonous one kills it."""
        self._meet(order_id)
        left = self._poison.get((order_id, stage), 0)
        host = HOST.get()
        if left and host is not None and self.sim.faults.active:
            self._poison[order_id, stage] = left - 1
            self.sim.faults.count(Kind.POISON, order_id)
            host.die()
            await never()

    def is_blind(self, tx_id: str, order_id: UUID) -> bool:
        """Whether the chain knows nothing of a transaction at present."""
        if order_id in self.forgotten:
            return True
        if self.sim.faults.draw(Kind.CHAIN_BLIND):
            self._blind_until[tx_id] = self.sim.loop.time() + self.sim.faults.seconds(Kind.CHAIN_BLIND)
        return self.sim.faults.active and self.sim.loop.time() < self._blind_until.get(tx_id, 0.0)

    def poison(self, order_id: UUID, stage: str, times: int) -> None:
        """An order kills so many containers at a stage of its way: quote or ask."""
        self._poison[order_id, stage] = times

    def _meet(self, order_id: UUID) -> None:
        if order_id in self._seen:
            return
        self._seen.add(order_id)
        if self.sim.rng.random() < self.sim.faults.rate(Kind.POISON):
            self.poison(order_id, self.sim.rng.choice(("quote", "ask")), self.sim.rng.choice(POISON_TIMES))
        if self.sim.faults.rate(Kind.CHAIN_BLIND) and self.sim.rng.random() < FORGOTTEN:
            self.forgotten.add(order_id)


class FaultyVenue:
    """A venue that may fail, or never answer."""

    def __init__(self, venue: Venue, sim: Sim, moods: Moods) -> None:
        self.sim = sim
        self.name = venue.name
        self._venue = venue
        self._moods = moods

    async def pools(self, attempt: Attempt, mints: Collection[str]) -> Sequence[Quoting]:
        """Its pools, as they are now."""
        await self.sim.faults.crossing()
        await self._moods.work_on(attempt.order_id, "quote")
        match self.sim.faults.draw(Kind.QUOTE_FAILED, Kind.QUOTE_SILENT):
            case Kind.QUOTE_FAILED:
                raise QuoteUnavailable(f"{self.name}: no quote")
            case Kind.QUOTE_SILENT:
                await never()
        pools = await self._venue.pools(attempt, mints)
        await self.sim.faults.crossing()
        return pools


class FaultyChain:
    """A chain that transactions reach late or never, and that may know nothing of them for a while."""

    def __init__(self, chain: Chain, outside: Chain, sim: Sim, moods: Moods) -> None:
        self.sim = sim
        self._chain = chain
        self._outside = outside
        self._moods = moods

    def clock(self) -> Clock:
        """The chain's time."""
        return self._chain.clock()

    def prepare(self, attempt: Attempt, route: Route) -> Transaction:
        """Make the transaction of a route."""
        transaction = self._chain.prepare(attempt, route)
        self._moods.orders[transaction.tx_id] = attempt.order_id
        return transaction

    async def send(self, transaction: Transaction, valid_until: datetime) -> None:
        """Send it."""
        await self.sim.faults.crossing()
        if transaction.attempt.order_id in self._moods.forgotten:
            return
        kind = self.sim.faults.draw(Kind.SWAP_LOST, Kind.SWAP_LATE, Kind.SWAP_REPLY_LOST, Kind.CHAIN_SILENT)
        if kind == Kind.SWAP_LATE:
            self.sim.loop.on(None, self._late(transaction, valid_until))
        elif kind != Kind.SWAP_LOST:
            await self._chain.send(transaction, valid_until)
        await self.sim.faults.crossing()
        if kind == Kind.CHAIN_SILENT:
            await never()
        # A node may say that it took a transaction which then never, or late, reaches the others.
        if kind == Kind.SWAP_REPLY_LOST or (kind is not None and self.sim.rng.random() < 0.5):
            raise OutcomeUnknown("chain: no answer")

    async def ask(self, tx_id: str) -> Answer:
        """What became of it."""
        await self.sim.faults.crossing()
        if self.sim.faults.draw(Kind.CHAIN_SILENT):
            await never()
        order_id = self._moods.orders[tx_id]
        await self._moods.work_on(order_id, "ask")
        if self._moods.is_blind(tx_id, order_id):
            return Answer(outcome=Outcome.UNKNOWN)
        answer = await self._chain.ask(tx_id)
        await self.sim.faults.crossing()
        return answer

    async def decide(self, tx_id: str, order_id: UUID, valid_until: datetime) -> Answer:
        """The same for one past its validity."""
        await self.sim.faults.crossing()
        if self.sim.faults.draw(Kind.CHAIN_SILENT):
            await never()
        if self._moods.is_blind(tx_id, order_id):
            return Answer(outcome=Outcome.UNKNOWN)
        answer = await self._chain.decide(tx_id, order_id, valid_until)
        await self.sim.faults.crossing()
        return answer

    async def _late(self, transaction: Transaction, valid_until: datetime) -> None:
        moment = self.sim.rng.uniform(0, LATEST_ARRIVAL_SECONDS)
        if self.sim.rng.random() < AT_THE_LAST_MOMENT:
            now = EPOCH + timedelta(seconds=self.sim.loop.time())
            moment = (valid_until - now).total_seconds() - self.sim.rng.random()
        self.sim.faults.last_for(moment)
        await asyncio.sleep(moment)
        # A chain's own node does not lose its own work for good.
        for _ in range(20):
            try:
                await self._outside.send(transaction, valid_until)
            except Unavailable:
                await asyncio.sleep(0.5)
            else:
                return
