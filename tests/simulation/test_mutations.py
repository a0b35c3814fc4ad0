"""The simulation notices when a promise stands on nothing."""

import re
from pathlib import Path

import pytest

from tests.simulation.backends import Backends
from tests.simulation.mutations import MUTATIONS, Mutation

MOST_SEEDS = 60
RELIABILITY = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
COMMAND = re.compile(r'make simulate SEEDS=1 FIRST=(\d+) WITHOUT="([^"]+)"')


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what.replace(" ", "-"))
def test_notices_the_engine_without(mutation: Mutation, backends: Backends) -> None:
    seed = first_noticed(mutation, backends)
    assert mutation.run(seed, backends).violations == [], "it breaks with it, too"


def first_noticed(mutation: Mutation, backends: Backends) -> int:
    """The first seed that breaks the promise that stands on it."""
    with mutation.applied():
        for seed in range(1, MOST_SEEDS + 1):
            broken = mutation.run(seed, backends).violations
            if any(mutation.breaks in what for what in broken):
                return seed
    raise AssertionError(f"{MOST_SEEDS} seeds broke no promise without {mutation.what}")


@pytest.mark.parametrize(("seed", "what"), COMMAND.findall(RELIABILITY.read_text()))
def test_the_seed_that_is_written_down_shows_it(seed: str, what: str, backends: Backends) -> None:
    mutation = next(one for one in MUTATIONS if one.what == what)
    with mutation.applied():
        broken = mutation.run(int(seed), backends).violations
    assert any(mutation.breaks in each for each in broken)


def test_each_mended_defect_is_written_down() -> None:
    assert {what for _, what in COMMAND.findall(RELIABILITY.read_text())} >= {
        one.what for one in MUTATIONS if one.found
    }
