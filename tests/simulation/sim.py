"""What all parts of one simulation share."""

import asyncio
from datetime import datetime, timedelta
from random import Random

from tests.simulation.clockwork import EPOCH, VirtualLoop
from tests.simulation.faults import Faults
from tests.simulation.trace import Trace


class Sim:
    """The virtual time, the draws of the seed, the faults, the trace and the promises that were broken."""

    def __init__(self, seed: int) -> None:
        self.loop = VirtualLoop()
        self.rng = Random(seed)
        self.trace = Trace(self.loop)
        self.faults = Faults(self.rng, self.loop, self.trace)
        self.violations: list[str] = []

    def violation(self, what: str) -> None:
        """A promise was broken."""
        self.trace.add("VIOLATION", what)
        self.violations.append(what)


class SimulatedClock:
    """A host's clock: it may be wrong by a little, but never runs backwards."""

    def __init__(self, sim: Sim, skew: float) -> None:
        self._sim = sim
        self._skew = timedelta(seconds=skew)

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._sim.loop.time()) + self._skew

    def monotonic(self) -> float:
        return self._sim.loop.time()

    async def sleep(self, seconds: float) -> None:
        await self._sim.faults.crossing()
        await asyncio.sleep(seconds)
        await self._sim.faults.crossing()


class SeededEntropy:
    """Ids and draws from the seed."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def bits(self, count: int) -> int:
        return self._rng.getrandbits(count)
