"""The pool market on nodes that tell strange things of pools, or that are several behind one URL."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from chalicelib.domain import base58
from chalicelib.domain.errors import QuoteUnavailable
from chalicelib.solana import address
from chalicelib.solana.address import to_bytes
from chalicelib.venues.pools import discovery
from chalicelib.venues.raydium import state as raydium
from tests.integration.live import ALL, METEORA, MUCH, RAYDIUM, Container, pools_of
from tests.integration.node import SLOT, Node, answer

Found = list[dict[str, Any]]


def finds(node: Node, change: Callable[[Found], Found]) -> None:
    """Searches come to something else from now on."""

    def fault(_: web.Request, method: str, params: list[Any]) -> web.Response | None:
        return answer(change(node.program_accounts(*params))) if method == "getProgramAccounts" else None

    node.faults = [fault]


async def test_pools_that_come_twice_are_one(market: Container, node: Node) -> None:
    before = await market.quote(amount=MUCH)
    node.called("getMultipleAccounts")
    finds(node, lambda found: found * 3)
    await market.later(301)
    node.slot += 750
    assert (await market.quote(amount=MUCH)).legs == before.legs
    for params in node.called("getMultipleAccounts"):
        assert len(set(params[0])) == len(params[0])


@pytest.mark.parametrize(
    "changes",
    [{"data": ["", "base64"]}, {"data": ["AAAA", "base64"]}, {"owner": address.TOKEN_PROGRAM}],
    ids=["empty", "short", "owner"],
)
async def test_a_search_that_comes_to_something_else_does_not_make_pools_forgotten(
    market: Container, node: Node, changes: dict[str, Any]
) -> None:
    before = await market.quote(amount=MUCH)
    finds(node, lambda found: [{**each, "account": each["account"] | changes} for each in found])
    await market.later(301)
    node.slot += 750
    assert (await market.quote(amount=MUCH)).legs == before.legs


async def test_a_search_that_only_comes_to_something_else_is_told(market: Container, node: Node) -> None:
    finds(node, lambda found: [{**each, "account": each["account"] | {"data": ["", "base64"]}} for each in found])
    with pytest.raises(QuoteUnavailable, match="which was not asked for"):
        await market.quote()


async def test_pools_of_other_pairs_are_not_traded_with(market: Container, node: Node) -> None:
    everything = {each.pubkey for each in node.accounts.values() if each.owner == raydium.PROGRAM}

    def fault(_: web.Request, method: str, params: list[Any]) -> web.Response | None:
        if method != "getProgramAccounts":
            return None
        # A node that knows no filter but the size.
        return answer(node.program_accounts(params[0], params[1] | {"filters": params[1]["filters"][:1]}))

    node.faults = [fault]
    route = await market.quote(amount=MUCH)
    assert everything - set(RAYDIUM)
    assert pools_of(route) <= ALL


async def test_a_pool_that_is_closed_between_search_and_read_is_named(market: Container, node: Node) -> None:
    def closes(_: web.Request, method: str, __: object) -> None:
        if method == "getMultipleAccounts":
            node.accounts.pop(RAYDIUM[0], None)

    node.faults = [closes]
    route = await market.quote(amount=MUCH)
    assert pools_of(route) <= ALL - {RAYDIUM[0]}
    assert f"{RAYDIUM[0]}: " in route.decision
    assert set(await market.stored()) == ALL - {RAYDIUM[0]}


async def test_a_pool_that_is_closed_between_two_rounds_of_a_read_is_named(market: Container, node: Node) -> None:
    def closes(_: web.Request, method: str, params: list[Any]) -> None:
        # The first round has its account, the second asks for what it names.
        if method == "getMultipleAccounts" and len(params[0]) > len(ALL) + 1:
            node.accounts.pop(METEORA[0], None)

    node.faults = [closes]
    route = await market.quote(amount=MUCH)
    assert pools_of(route) <= ALL - {METEORA[0]}
    assert f"{METEORA[0]}: " in route.decision


async def test_more_accounts_than_a_node_gives_at_once_are_read_at_one_slot(
    market: Container, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "MOST_POOLS", 40)
    for pool in (RAYDIUM[0], METEORA[0]):
        for number in range(1, 30):
            copy = base58.encode(bytes([number]) * 16 + to_bytes(pool)[16:])
            node.accounts[copy] = replace(node.accounts[pool], pubkey=copy)
    route = await market.quote(amount=MUCH)
    calls = [len(params[0]) for params in node.called("getMultipleAccounts")]
    assert max(calls) == 100
    assert pools_of(route)
    assert {slot for slot, _ in (await market.stored()).values()} == {SLOT}


@pytest.mark.parametrize("honest", [True, False])
async def test_two_nodes_behind_one_url_never_take_a_pool_back(market: Container, node: Node, honest: bool) -> None:
    node.keeps_to_least_slot = honest
    newest = 0
    for step in range(12):
        # Turn and turn about, one of them three slots behind.
        node.slots = [SLOT + 4 * step - 3 * (number % 2) for number in range(8)]
        node.slot = SLOT + 4 * step
        route = await market.quote(amount=MUCH)
        slots = {slot for pool, (slot, _) in (await market.stored()).items() if pool in pools_of(route)}
        assert len(slots) == 1
        assert min(slots) >= newest
        newest = min(slots)
        await market.later()
    assert newest >= SLOT + 4 * 11 - 3
