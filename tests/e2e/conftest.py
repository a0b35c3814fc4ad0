from collections.abc import AsyncIterator, Iterator

import aiohttp
import psycopg
import pytest
import pytest_asyncio

from local.stack import Endpoints, Plan, Stack
from tests.e2e.client import Client


@pytest.fixture(scope="session")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """The whole engine, deployed from its template on free ports, with its default delays."""
    with Stack(Plan.ephemeral(tmp_path_factory.mktemp("stack"))) as stack:
        yield stack.endpoints


@pytest_asyncio.fixture
async def client(endpoints: Endpoints) -> AsyncIterator[Client]:
    """A client of the engine; no answer within the timeout fails the test."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        yield Client(session, endpoints)


@pytest.fixture
def database(endpoints: Endpoints) -> Iterator[psycopg.Connection]:
    with psycopg.connect(endpoints.database_url, autocommit=True) as connection:
        yield connection
