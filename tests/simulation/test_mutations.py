"""The simulation notices when a promise stands on nothing."""

import pytest

from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.postgres import Backends
from tests.simulation.world import run

MOST_SEEDS = 60


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what.replace(" ", "-"))
def test_notices_the_engine_without(mutation: Mutation, backends: Backends) -> None:
    with mutation.applied():
        for seed in range(1, MOST_SEEDS + 1):
            if broken := run(seed, backends, faults=mutation.faults).violations:
                print(seed, broken[:3])
                return
    raise AssertionError(f"{MOST_SEEDS} seeds broke no promise without {mutation.what}")
