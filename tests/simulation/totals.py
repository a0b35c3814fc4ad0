"""What many simulations came to."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.simulation.faults import Kind
from tests.simulation.papers import OUTCOMES, SHAPES


@dataclass
class Totals:
    """Sums over simulations; `broken` holds the broken promises of each seed that broke any."""

    seeds: int = 0
    steps: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    transactions: Counter[str] = field(default_factory=Counter)
    faults: Counter[Kind] = field(default_factory=Counter)
    broken: dict[int, list[str]] = field(default_factory=dict)

    def add(self, other: "Totals") -> None:
        """Take the results of others in."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.statuses += other.statuses
        self.transactions += other.transactions
        self.faults += other.faults
        self.broken |= other.broken

    def table(self) -> Iterator[str]:
        """The closing table."""
        rows: list[tuple[str, int]] = [
            ("simulations", self.seeds),
            ("steps", self.steps),
            ("orders", self.statuses.total()),
        ]
        rows += [(f"  {status}", count) for status, count in sorted(self.statuses.items())]
        rows += [("transactions on pools", sum(self.transactions[outcome] for outcome in OUTCOMES))]
        rows += [(f"  {kind}", self.transactions[kind]) for kind in (*OUTCOMES, *SHAPES)]
        rows += [("faults", self.faults.total())]
        rows += [(f"  {kind}", self.faults[kind]) for kind in Kind]
        rows += [("simulations that broke a promise", len(self.broken))]
        for name, count in rows:
            yield f"{name:<58} {count:>12,}"
