"""Faults where and when a test wants them."""

from dataclasses import dataclass

from tests.simulation.faults import Faults, Kind
from tests.simulation.sim import Sim


@dataclass
class _Rule:
    kind: Kind
    where: str
    seconds: float
    # So many times it could strike first.
    skip: int


class Script(Faults):
    """Takes the place of a seed's faults."""

    def __init__(self, sim: Sim) -> None:
        super().__init__(sim.rng, sim.loop, sim.trace)
        sim.faults = self
        self.rates = dict.fromkeys(Kind, 0.0)
        self._rules: list[_Rule] = []
        self._lasting = 0.0

    def strike(self, kind: Kind, where: str, *, seconds: float = 0.0, skip: int = 0) -> None:
        """Have a fault strike once, at a place as `draw` names it."""
        self._rules.append(_Rule(kind, where, seconds, skip))

    def draw(self, *kinds: Kind, where: str = "") -> Kind | None:
        for rule in self._rules:
            if rule.kind in kinds and rule.where == where:
                rule.skip -= 1
                if rule.skip < 0:
                    self._rules.remove(rule)
                    self._lasting = rule.seconds
                    self.count(rule.kind, where)
                    return rule.kind
        return None

    def seconds(self, kind: Kind) -> float:
        self.last_for(self._lasting)
        return self._lasting

    def wakes_up(self) -> bool:
        return True

    def struck(self) -> bool:
        """Whether all of it has happened."""
        return not self._rules
