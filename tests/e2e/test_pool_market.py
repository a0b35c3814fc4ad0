"""The pool market as a client sees it: a stack of its own, deployed with Market=pools, on the pools that come along."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
import pytest_asyncio

from local.stack import Endpoints, Plan, Stack, StackError
from tests.e2e.client import Client
from tests.replay import LEDGER, POOLS, Entry, Kept, disagreements

AT_ONCE = 50


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    with Stack(Plan.ephemeral(tmp_path_factory.mktemp("pools"), {"Market": "pools"})) as stack:
        yield stack.endpoints


@pytest_asyncio.fixture
async def client(endpoints: Endpoints) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        yield Client(session, endpoints)


async def ordered(client: Client, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The route and the end of an order that is followed on a socket."""
    frames = await client.stream(await client.post(**fields))
    assert frames[-1]["status"] == "confirmed", frames[-1]
    return frames[2]["meta"]["route"], frames[-1]["meta"]


async def test_a_large_order_splits_and_moves_the_price(client: Client) -> None:
    first, filled = await ordered(client, amount=900)
    assert len(first["legs"]) == 3
    assert first["chosen"]["dex"] == "Raydium + Meteora"
    assert int(first["amountOut"]) > int(first["bestSingle"]) > 0
    assert filled["amountOut"] == first["amountOut"]
    second, _ = await ordered(client, amount=900)
    assert int(second["amountOut"]) < int(first["amountOut"])
    assert second["chosen"]["price"] > first["chosen"]["price"]


async def test_a_token_without_a_pool_of_its_own_goes_over_another(client: Client) -> None:
    route, filled = await ordered(client, tokenIn="BONK", tokenOut="USDC", amount=50_000_000)
    assert {(leg["tokenIn"], leg["tokenOut"]) for leg in route["legs"]} == {("BONK", "SOL"), ("SOL", "USDC")}
    assert int(filled["amountOut"]) >= int(route["minAmountOut"])


async def test_an_order_for_an_output_costs_no_more_than_its_quote_allows(client: Client) -> None:
    asked = {"tokenIn": "SOL", "tokenOut": "USDC", "amountOut": "450"}
    async with client.session.post(f"{client.endpoints.url}/api/quotes", json=asked) as reply:
        quote = await reply.json()
    frames = await client.stream(await client.post(amount=None, amountOut="450", maxAmountIn=quote["maxAmountIn"]))
    filled = frames[-1]["meta"]
    assert int(filled["amountOut"]) >= 450 * 10**6
    assert int(filled["amountIn"]) <= int(quote["maxAmountIn"])


@pytest.mark.parametrize(
    ("bought", "amount", "pools"),
    # SOL and USDC have four pools; that token has one, a real one.
    [("USDC", 20, 4), ("Df6yfrKC8kZE3KNkrHERKzAetSxbrWeniQfyJY4Jpump", 0.001, 1)],
)
async def test_fifty_orders_at_once_leave_ledger_pools_and_fills_in_agreement(
    client: Client, bought: str, amount: float, pools: int
) -> None:
    posts = [client.post(tokenOut=bought, amount=amount, slippageTolerance=0.2) for _ in range(AT_ONCE)]
    order_ids = await asyncio.gather(*posts)
    ended = await asyncio.gather(*(client.finish(order_id) for order_id in order_ids))
    assert {shown["status"] for shown in ended} == {"confirmed"}
    with psycopg.connect(client.endpoints.database_url, autocommit=True) as database:
        ledger = [Entry(*row) for row in database.execute(LEDGER).fetchall()]
        stored = [Kept(*row) for row in database.execute(POOLS).fetchall()]
    assert list(disagreements(stored, ledger)) == []
    fills = {entry.tx_id: entry for entry in ledger if entry.outcome == "succeeded"}
    told = [
        (shown["txHash"], *(int(shown["events"][-1]["meta"][each]) for each in ("amountIn", "amountOut")))
        for shown in ended
    ]
    assert len({tx_id for tx_id, *_ in told}) == AT_ONCE
    assert told == [(tx_id, fills[tx_id].amount_in, fills[tx_id].amount_out) for tx_id, *_ in told]
    assert len({trade.pool for tx_id, *_ in told for trade in fills[tx_id].trades}) == pools


def test_a_directory_without_a_pool_ends_the_start_with_what_is_to_be_mended(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    plan = Plan.ephemeral(tmp_path / "stack", {"Market": "pools", "PoolsDirectory": str(nowhere)})
    with pytest.raises(StackError) as refused, Stack(plan):
        pass
    assert str(refused.value) == f"POOLS_DIRECTORY {nowhere}: no such directory; mend that, then start again"
