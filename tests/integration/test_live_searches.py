"""A node that takes long to look through a program's accounts: what is found in the end, and what goes on meanwhile."""

import asyncio

import pytest
from aiohttp import web

from chalicelib.domain import base58
from chalicelib.domain.errors import QuoteUnavailable
from chalicelib.domain.token import Token
from chalicelib.solana.rpc import MOST_SEARCHES
from chalicelib.venues.meteora import state as meteora
from tests.integration.live import ALL, METEORA, MUCH, RAYDIUM, Container, container, pools_of
from tests.integration.node import SLOT, Node
from tests.integration.paper import SOL, USDC

STILL = "Raydium's pools are still being searched for"


@pytest.fixture
def gate(node: Node) -> asyncio.Event:
    """What a test opens when the node has found them."""
    return node.gates.setdefault("getProgramAccounts", asyncio.Event())


async def test_a_search_that_takes_longer_than_an_attempt_serves_the_next(
    market: Container, node: Node, gate: asyncio.Event
) -> None:
    with pytest.raises(QuoteUnavailable, match=rf"^Solana RPC: {STILL}"):
        await market.quote(amount=MUCH)
    gate.set()
    await market.later()
    assert pools_of(await market.quote(amount=MUCH)) <= ALL
    # It was never asked for anew.
    assert len(node.called("getProgramAccounts")) == 4


async def test_a_search_that_failed_when_nobody_waited_is_begun_again_and_told(
    market: Container, node: Node, gate: asyncio.Event
) -> None:
    node.faults = [lambda _, method, __: web.Response(status=403) if method == "getProgramAccounts" else None]
    with pytest.raises(QuoteUnavailable, match=STILL):
        await market.quote()
    gate.set()
    node.gates["getProgramAccounts"] = again = asyncio.Event()
    node.called("getProgramAccounts")
    await market.later()
    with pytest.raises(QuoteUnavailable, match=f"{STILL}, after: Solana RPC: status 403"):
        await market.quote()
    assert len(node.called("getProgramAccounts")) == 4
    node.faults = []
    again.set()
    assert (await market.quote()).legs


async def test_pools_that_were_found_before_serve_while_they_are_searched_for_anew(
    market: Container, node: Node, database_url: str, node_url: str
) -> None:
    before = await market.quote(amount=MUCH)
    node.gates["getProgramAccounts"] = gate = asyncio.Event()
    await market.later(301)
    node.slot += 700
    for _ in range(2):
        assert (await market.quote(amount=MUCH)).legs == before.legs
        await market.later()
        node.slot += 1
    async with container(database_url, node_url) as other:
        # What is stored will do, read anew.
        await market.later(11)
        node.slot += 25
        assert (await other.quote(amount=MUCH)).legs == before.legs
        del node.accounts[RAYDIUM[0]]
        gate.set()
        await asyncio.wait(searches())
        for asking in (market, other):
            await asking.later(11)
            node.slot += 25
            route = await asking.quote(amount=MUCH)
            assert RAYDIUM[0] not in pools_of(route)
            assert RAYDIUM[0] not in route.decision


async def test_the_pools_of_one_program_do_not_wait_for_those_of_another(market: Container, node: Node) -> None:
    node.gates[meteora.PROGRAM] = gate = asyncio.Event()
    route = await market.quote(amount=MUCH)
    assert pools_of(route) <= set(RAYDIUM)
    assert "Solana RPC: Meteora's pools are still being searched for" in route.decision
    assert len(node.called("getProgramAccounts")) == 4
    gate.set()
    await market.later()
    assert pools_of(await market.quote(amount=MUCH)) & set(METEORA)
    # Neither was asked for anew.
    assert node.called("getProgramAccounts") == []


async def test_searches_do_not_hold_up_what_is_read(market: Container, node: Node) -> None:
    await market.quote()
    node.called("getProgramAccounts")
    node.gates["getProgramAccounts"] = asyncio.Event()
    others = [Token("", 9, base58.encode(bytes([number]) * 32)) for number in range(1, 4)]
    told = await asyncio.gather(*(market.quote(SOL, other) for other in others), return_exceptions=True)
    assert all(STILL in str(error) for error in told)
    await asyncio.gather(*(market.quote(USDC, other) for other in others), return_exceptions=True)
    # All that may be under way at once are, and others wait.
    assert len(node.called("getProgramAccounts")) == MOST_SEARCHES
    await market.later()
    node.slot += 1
    await market.quote()
    assert {slot for slot, _ in (await market.stored()).values()} == {SLOT + 1}


async def test_the_orders_own_pair_is_searched_for_first(market: Container, node: Node, gate: asyncio.Event) -> None:
    other = Token("", 9, base58.encode(b"\7" * 32))
    # Its name is the last of the three.
    assert other.mint > SOL.mint > USDC.mint
    with pytest.raises(QuoteUnavailable, match=STILL):
        await market.quote(other, USDC)
    first = [str(params) for params in node.called("getProgramAccounts")[:4]]
    assert all(other.mint in each and USDC.mint in each for each in first)


async def test_a_container_that_ends_leaves_no_search_behind(
    database_url: str, node_url: str, gate: asyncio.Event
) -> None:
    async with container(database_url, node_url) as market:
        with pytest.raises(QuoteUnavailable, match=STILL):
            await market.quote()
        assert searches()
    assert not searches()


def searches() -> set["asyncio.Task[object]"]:
    """Those that are under way."""
    return {task for task in asyncio.all_tasks() if "Search._search" in repr(task.get_coro())}
