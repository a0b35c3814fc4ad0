"""Interleaved rounds: what is compared runs side by side in time, so that a slow moment meets all of it."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from benchmarks.reporting.bar import Bar

T = TypeVar("T")

ROUNDS = 5


def interleaved(variants: Mapping[str, Callable[[], T]], rounds: int = ROUNDS, warm: int = 0) -> dict[str, list[T]]:
    """What each variant measured, round by round; every other round goes backwards. `warm` rounds don't count."""
    found: dict[str, list[T]] = {name: [] for name in variants}
    order, done = list(variants), 0
    with Bar("runs", (rounds + warm) * len(order)) as bar:
        for number in range(-warm, rounds):
            for name in order if number % 2 == 0 else reversed(order):
                bar.show(done, name)
                measured = variants[name]()
                done += 1
                if number >= 0:
                    found[name].append(measured)
        bar.show(done)
    return found
