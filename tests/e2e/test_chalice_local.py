"""`chalice local` serves the REST side, a thread a connection, with DATABASE_URL and AWS_ENDPOINT_URL set."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from infrastructure.package import ROOT
from local.aws import free_port
from local.stack import Endpoints
from tests.e2e.client import EXAMPLE, Client, until

REQUESTS = 24


@pytest_asyncio.fixture
async def local_url(endpoints: Endpoints, client: Client) -> AsyncIterator[str]:
    port = free_port()
    environment = os.environ | {
        "DATABASE_URL": endpoints.database_url,
        "AWS_ENDPOINT_URL": endpoints.aws_endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    command = [str(Path(sys.executable).with_name("chalice")), "local", "--port", str(port), "--stage", "engine"]
    process = await asyncio.create_subprocess_exec(*command, "--no-autoreload", cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        try:
            async with client.session.get(f"{url}/api/health") as reply:
                return reply.status == 200
        except OSError:
            assert process.returncode is None
            return False

    try:
        await until(answers)
        yield url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_requests_side_by_side_are_all_served(local_url: str, client: Client) -> None:
    async def post() -> str:
        async with client.session.post(f"{local_url}/api/orders/execute", json=EXAMPLE) as reply:
            assert reply.status == 200
            return str((await reply.json())["orderId"])

    order_ids = await asyncio.gather(*(post() for _ in range(REQUESTS)))
    ended = await asyncio.gather(*map(client.finish, order_ids))
    assert [order["status"] for order in ended] == ["confirmed"] * REQUESTS
