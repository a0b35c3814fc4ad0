"""Resting orders as a client sees them: a stack of its own, whose market moves with what is traded."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from local.stack import Endpoints, Plan, Stack
from tests.e2e.client import Client


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    parameters = {"Market": "pools", "WatchTickSeconds": "1"}
    with Stack(Plan.ephemeral(tmp_path_factory.mktemp("resting"), parameters)) as stack:
        yield stack.endpoints


@pytest_asyncio.fixture
async def client(endpoints: Endpoints) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        yield Client(session, endpoints)


async def price(client: Client, **fields: Any) -> Decimal:
    """What one tokenOut costs now."""
    async with client.session.post(f"{client.endpoints.url}/api/quotes", json=fields) as reply:
        route = (await reply.json())["route"]
    return Decimal(int(route["amountIn"])) / Decimal(10**9) / (Decimal(int(route["amountOut"])) / Decimal(10**6))


async def test_a_limit_order_fills_once_the_market_has_come_to_its_price(client: Client) -> None:
    sale = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "3"}
    limit = await price(client, **sale) * Decimal("0.999")
    order_id = await client.post(**sale, orderType="limit", limitPrice=f"{limit:.12f}")
    following = asyncio.ensure_future(client.stream(order_id))
    # Whoever buys SOL makes USDC cheaper in SOL.
    for _ in range(20):
        await client.stream(await client.post(tokenIn="USDC", tokenOut="SOL", amount="20000"))
        done, _ = await asyncio.wait([following], timeout=5)
        if done:
            break
    frames = await following
    assert [frame["status"] for frame in frames[:3]] == ["pending", "routing", "open"]
    assert frames[-1]["status"] == "confirmed"
    filled = frames[-1]["meta"]
    assert Decimal(filled["amountIn"]) / 10**9 <= limit * Decimal(filled["amountOut"]) / 10**6
