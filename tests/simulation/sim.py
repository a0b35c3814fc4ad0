"""What all parts of one simulation share."""

from random import Random

from tests.simulation.clockwork import VirtualLoop
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
