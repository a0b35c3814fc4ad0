"""Somebody who looks after the orders that the engine leaves to an operator."""

import asyncio
from uuid import UUID

from chalicelib.domain.errors import Unavailable
from chalicelib.domain.retry import MAX_LAST_RESORTS
from chalicelib.store.database import Database
from chalicelib.store.operations import Listed, Operations
from operations.commands import Commands, Refused
from tests.simulation.queues import SimulatedQueue
from tests.simulation.sim import SeededEntropy, Sim, SimulatedClock

LOOKS_EVERY_SECONDS = 300.0
REPEATS = 0.3
PATIENT = 0.5
MOST = 50


def stuck(found: Listed) -> bool:
    """Whether nobody asks for a parked order any more."""
    return found.row.crashes >= MAX_LAST_RESORTS


class Operator:
    """Resumes what is parked, and repeats some of what failed."""

    def __init__(self, sim: Sim, database: Database, queues: dict[str, SimulatedQueue]) -> None:
        self.sim = sim
        # Orders that were, or may have been, placed anew.
        self.repeated: set[UUID] = set()
        self._patient = sim.rng.random() < PATIENT
        self._commands = Commands(
            store=Operations(database),
            orders=queues["order-engine-orders"],
            dead_letters=queues["order-engine-dead-letters"],
            clock=SimulatedClock(sim, 0.0),
            entropy=SeededEntropy(sim.rng),
        )

    async def operate(self) -> None:
        """Look at what needs somebody, again and again."""
        while True:
            await asyncio.sleep(self.sim.rng.uniform(0, LOOKS_EVERY_SECONDS))
            try:
                await self._look()
            except Unavailable as error:
                self.sim.trace.add("operator", str(error))

    async def _look(self) -> None:
        listing = await self._commands.need(parked=True, failed=True, limit=MOST)
        # The patient one leaves to the engine what it asks for by itself.
        parked = [found.row.id for found in listing.parked or () if not self._patient or stuck(found)]
        if parked:
            result = await self._commands.resume(parked)
            self.sim.trace.add("operator", result.text())
        for found in listing.failed or ():
            if found.row.repeat_of is None and found.repeated_as is None and self.sim.rng.random() < REPEATS:
                # Two operators may have the same idea.
                await asyncio.gather(self._repeat(found.row.id), self._repeat(found.row.id))

    async def _repeat(self, order_id: UUID) -> None:
        self.repeated.add(order_id)
        try:
            result = await self._commands.repeat(order_id)
        except Refused as refusal:
            self.sim.violation(f"failed order {order_id} could not be repeated: {refusal}")
        else:
            self.sim.trace.add("operator", result.text())
