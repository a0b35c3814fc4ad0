from collections.abc import Iterator

import pytest

from local.postgres import Postgres, ephemeral
from tests.simulation.__main__ import prepared
from tests.simulation.backends import Backends


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with ephemeral() as server:
        yield server


@pytest.fixture(scope="session")
def backends(server: Postgres) -> Iterator[Backends]:
    backends = Backends(prepared(server, "in_process"))
    yield backends
    backends.close()
